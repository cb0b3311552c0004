import assert from "node:assert/strict";
import { BusError } from "../../service/bus/bus.ts";
import { memoryBus } from "../../service/bus/memory_bus.ts";
import { testContext } from "../../service/testing/context.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { watchTopics } from "./topic_watch.ts";

Deno.test("watchTopics() makes a topic that was removed again, and says so once", async () => {
  const world = new VirtualWorld();
  const context = { ...testContext(), world };
  const bus = memoryBus({ world });
  await bus.createTopic("signer.v1");
  const unwatch = watchTopics({ bus, topics: [{ name: "signer.v1" }] }, context);
  await bus.deleteTopic("signer.v1");
  await world.advance(11_000);
  assert.ok(await bus.describeTopic("signer.v1"));
  assert.match(context.health.report(), /\[\+\]topics ok/);
  await world.advance(60_000);
  assert.equal(context.lines.filter((line) => line.includes("was missing")).length, 1);
  unwatch();
  assert.equal(world.pendingTimers, 0);
});

Deno.test("watchTopics() has the readiness say what is missing and cannot be made", async () => {
  const world = new VirtualWorld();
  const context = { ...testContext(), world };
  const inner = memoryBus({ world });
  let allowed = false;
  const unwatch = watchTopics({
    bus: {
      ...inner,
      createTopic: (name, options) =>
        allowed
          ? inner.createTopic(name, options)
          : Promise.reject(new BusError("unknown-topic", "not authorized")),
    },
    topics: [{ name: "signer.v1" }, { name: "signer.v1.keys", compacted: true }],
  }, context);
  await world.advance(25_000);
  assert.match(context.health.report(), /\[-\]topics missing: signer\.v1, signer\.v1\.keys/);
  assert.equal(context.lines.filter((line) => line.includes("cannot be looked after")).length, 2);
  allowed = true;
  await world.advance(11_000);
  assert.match(context.health.report(), /\[\+\]topics ok/);
  unwatch();
});
