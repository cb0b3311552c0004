import assert from "node:assert/strict";
import { scopedWorld } from "./scoped_world.ts";
import { VirtualWorld } from "./virtual_world.ts";

Deno.test("a scope's timers come in their time, and all that are left are taken back at once", async () => {
  const world = new VirtualWorld({ seed: 7 });
  const scope = scopedWorld(world);
  const came: string[] = [];
  scope.setTimeout(() => came.push("first"), 10);
  scope.setTimeout(() => came.push("late"), 100);
  scope.clearTimeout(scope.setTimeout(() => came.push("cleared"), 10));
  scope.clearInterval(scope.setInterval(() => came.push("no beat"), 10));
  scope.setInterval(() => came.push("beat"), 20);
  world.setTimeout(() => came.push("another's"), 100);
  assert.equal(scope.pendingTimers, 3);
  await world.advance(50);
  assert.equal(scope.pendingTimers, 2);
  scope.clearTimers();
  assert.equal(scope.pendingTimers, 0);
  assert.equal(world.pendingTimers, 1);
  scope.setTimeout(() => came.push("anew"), 10);
  await world.advance(100);
  assert.deepEqual(came, ["first", "beat", "beat", "anew", "another's"]);
  assert.equal(world.pendingTimers, 0);
});

Deno.test("a scope has the time and the chance of its world", async () => {
  const world = new VirtualWorld({ seed: 7 });
  const twin = new VirtualWorld({ seed: 7 });
  const scope = scopedWorld(world);
  await world.advance(5);
  await twin.advance(5);
  assert.deepEqual(
    [scope.nowMs(), scope.monotonicMs(), scope.random(), scope.randomUuid()],
    [twin.nowMs(), twin.monotonicMs(), twin.random(), twin.randomUuid()],
  );
  assert.deepEqual(scope.randomBytes(4), twin.randomBytes(4));
});
