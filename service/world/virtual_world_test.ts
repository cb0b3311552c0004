import assert from "node:assert/strict";
import { drainMicrotasks, VirtualWorld } from "./virtual_world.ts";
import { realWorld, unrefTimer, type World } from "./world.ts";

Deno.test("advance() fires what is due, in the order of time and then of setting", async () => {
  const world = new VirtualWorld();
  const fired: string[] = [];
  world.setTimeout(() => fired.push("late"), 20);
  world.setTimeout(() => fired.push("first"), 10);
  world.setTimeout(() => fired.push("second"), 10);
  await world.advance(15);
  assert.deepEqual(fired, ["first", "second"]);
  assert.equal(world.monotonicMs(), 15);
  await world.advance(5);
  assert.deepEqual(fired, ["first", "second", "late"]);
  assert.equal(world.pendingTimers, 0);
});

Deno.test("microtasks run between two timers that are due at the same time", async () => {
  const world = new VirtualWorld();
  const order: string[] = [];
  world.setTimeout(async () => {
    order.push("timer 1");
    for (let hop = 1; hop <= 20; hop++) await Promise.resolve();
    order.push("promise of timer 1");
  }, 1);
  world.setTimeout(() => order.push("timer 2"), 1);
  await world.advance(1);
  assert.deepEqual(order, ["timer 1", "promise of timer 1", "timer 2"]);
});

Deno.test("a timer that is set by a timer within the time advanced fires too, at its own time", async () => {
  const world = new VirtualWorld();
  const at: number[] = [];
  world.setTimeout(() => {
    at.push(world.monotonicMs());
    world.setTimeout(() => at.push(world.monotonicMs()), 5);
  }, 10);
  await world.advance(30);
  assert.deepEqual(at, [10, 15]);
});

Deno.test("an interval fires each time until it is cleared, from within itself too", async () => {
  const world = new VirtualWorld();
  let times = 0;
  const timer = world.setInterval(() => {
    if (++times === 3) world.clearInterval(timer);
  }, 10);
  await world.advance(100);
  assert.equal(times, 3);
  assert.equal(world.pendingTimers, 0);
});

Deno.test("a cleared timeout never fires; clearing one that has fired or is unknown is fine", async () => {
  const world = new VirtualWorld();
  let fired = 0;
  const cleared = world.setTimeout(() => fired++, 5);
  const kept = world.setTimeout(() => fired++, 5);
  world.clearTimeout(cleared);
  await world.advance(10);
  assert.equal(fired, 1);
  world.clearTimeout(kept);
  world.clearTimeout(undefined);
  world.clearTimeout({});
  assert.equal(world.pendingTimeouts, 0);
});

Deno.test("a thousand timeouts taken back leave the others in their order", async () => {
  const world = new VirtualWorld({ seed: 3 });
  const fired: number[] = [];
  const kept: number[] = [];
  for (let i = 0; i < 2_000; i++) {
    const delayMs = Math.floor(world.random() * 1_000);
    const timer = world.setTimeout(() => fired.push(delayMs), delayMs);
    if (i % 10 === 0) kept.push(delayMs);
    else world.clearTimeout(timer);
  }
  assert.equal(world.pendingTimeouts, 200);
  await world.runUntilIdle();
  assert.deepEqual(fired, kept.sort((a, b) => a - b));
});

Deno.test("runUntilIdle() ends when only intervals are left", async () => {
  const world = new VirtualWorld();
  let beats = 0;
  world.setInterval(() => beats++, 10);
  world.setTimeout(() => {}, 95);
  await world.runUntilIdle();
  assert.equal(world.monotonicMs(), 95);
  assert.equal(beats, 9);
  assert.equal(world.pendingTimers, 1);
});

Deno.test("runUntil() lets time pass for a promise, and says when nothing can settle it", async () => {
  const world = new VirtualWorld();
  const later = new Promise<string>((resolve) => world.setTimeout(() => resolve("done"), 60_000));
  assert.equal(await world.runUntil(later), "done");
  assert.equal(world.monotonicMs(), 60_000);
  await assert.rejects(world.runUntil(Promise.reject(new Error("broken"))), /broken/);
  await assert.rejects(world.runUntil(new Promise(() => {})), /never settles/);
});

Deno.test("an endless loop of timers is an error, not a hang", async () => {
  const world = new VirtualWorld();
  const again = () => void world.setTimeout(again, 0);
  again();
  await assert.rejects(world.runUntilIdle({ maxTimers: 1_000 }), /1000 timers have fired/);
});

Deno.test("what a timer throws reaches the caller, and the world can be run on", async () => {
  const world = new VirtualWorld();
  world.setTimeout(() => {
    throw new Error("in a timer");
  }, 1);
  await assert.rejects(world.advance(5), /in a timer/);
  await world.advance(5);
  await assert.rejects(
    Promise.all([world.advance(1), world.advance(1)]),
    /is being run on already/,
  );
});

Deno.test("the same seed draws the same, another seed something else", () => {
  const draw = (world: World) => [
    ...Array.from({ length: 50 }, () => world.random()),
    world.randomUuid(),
    world.randomBytes(8).toHex(),
  ];
  assert.deepEqual(draw(new VirtualWorld({ seed: 7 })), draw(new VirtualWorld({ seed: 7 })));
  assert.notDeepEqual(draw(new VirtualWorld({ seed: 7 })), draw(new VirtualWorld({ seed: 8 })));
  assert.throws(() => new VirtualWorld({ seed: 1.5 }), /'seed' must be a whole number/);
});

Deno.test("a world's numbers lie in their ranges and its UUIDs are of version 4", () => {
  for (const world of [new VirtualWorld({ seed: 2 }), realWorld]) {
    const drawn = Array.from({ length: 1_000 }, () => world.random());
    assert.ok(drawn.every((value) => value >= 0 && value < 1));
    const mean = drawn.reduce((sum, value) => sum + value) / drawn.length;
    assert.ok(mean > 0.4 && mean < 0.6, `mean ${mean}`);
    assert.match(
      world.randomUuid(),
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    assert.equal(world.randomBytes(5).length, 5);
  }
});

Deno.test("the wall clock begins where it is told to and goes with the monotonic one", async () => {
  const world = new VirtualWorld({ startMs: 1_000 });
  await world.advance(2.5);
  assert.equal(world.nowMs(), 1_002);
  assert.equal(world.monotonicMs(), 2.5);
});

Deno.test("drainMicrotasks() waits for a chain of promises", async () => {
  let hops = 0;
  (async () => {
    for (; hops < 1_000; hops++) await null;
  })();
  await drainMicrotasks();
  assert.equal(hops, 1_000);
});

Deno.test("the real world's timers fire, and can be taken back", async () => {
  let cleared = true;
  const timeout = realWorld.setTimeout(() => cleared = false, 1);
  realWorld.clearTimeout(timeout);
  const beforeMs = realWorld.monotonicMs();
  const beats = await new Promise<number>((resolve) => {
    let count = 0;
    const timer = realWorld.setInterval(() => {
      if (++count < 3) return;
      realWorld.clearInterval(timer);
      resolve(count);
    }, 1);
  });
  await new Promise<void>((resolve) => realWorld.setTimeout(resolve, 1));
  assert.equal(beats, 3);
  assert.ok(cleared);
  assert.ok(realWorld.monotonicMs() > beforeMs);
  assert.ok(Math.abs(realWorld.nowMs() - Date.now()) < 1_000);
});

Deno.test("VirtualWorld fires what is due at once in the order in which it was set, an interval at its turn", async () => {
  const world = new VirtualWorld();
  const fired: string[] = [];
  // Enough that a heap would change their order.
  for (let number = 0; number < 40; number++) {
    world.setTimeout(() => fired.push(`${number}`), 10);
  }
  const every = world.setInterval(() => fired.push("every"), 5);
  world.setTimeout(() => fired.push("last"), 10);
  await world.advance(10);
  world.clearInterval(every);
  const numbers = Array.from({ length: 40 }, (_, number) => `${number}`);
  assert.deepEqual(fired, ["every", ...numbers, "last", "every"]);
});

Deno.test("VirtualWorld.runUntil() stops when the promise has settled, whatever else is set", async () => {
  const world = new VirtualWorld();
  const beat = world.setInterval(() => {}, 1);
  world.setTimeout(() => {}, 5_000);
  const done = new Promise<string>((resolve) => world.setTimeout(() => resolve("done"), 100));
  assert.equal(await world.runUntil(done), "done");
  assert.equal(world.monotonicMs(), 100);
  world.clearInterval(beat);
  assert.equal(world.pendingTimers, 1);
});

Deno.test("VirtualWorld lets as many timers fire as it is told, and says when that is not enough", async () => {
  const world = new VirtualWorld();
  let left = 5;
  const step = () => void (left-- > 0 && world.setTimeout(step, 1));
  step();
  await world.runUntilIdle({ maxTimers: 5 });
  left = 6;
  step();
  await assert.rejects(world.runUntilIdle({ maxTimers: 5 }), {
    message: "5 timers have fired and it does not come to rest.",
  });
});

Deno.test("VirtualWorld's bytes are of all values, and of the seed", () => {
  const [one, same, other] = [1, 1, 2].map((seed) => new VirtualWorld({ seed }).randomBytes(4_096));
  assert.deepEqual(one, same);
  assert.notDeepEqual(one, other);
  assert.equal(new Set(one).size, 256);
});

Deno.test("unrefTimer() lets Node's timers keep no process alive, and takes any other kind", () => {
  let unreferenced = 0;
  unrefTimer({ unref: () => unreferenced++ });
  assert.equal(unreferenced, 1);
  for (const timer of [7, {}, Object.assign(() => {}, { unref: () => unreferenced++ })]) {
    unrefTimer(timer);
  }
  assert.equal(unreferenced, 1);
});
