import assert from "node:assert/strict";
import { StartError } from "../life_cycle.ts";
import { testContext } from "../testing/context.ts";
import { drainMicrotasks, VirtualWorld } from "../world/virtual_world.ts";
import { type Bus, BusError } from "./bus.ts";
import { memoryBus } from "./memory_bus.ts";
import { ensureTopics, openBus } from "./open_bus.ts";

/** A bus whose attempts to make a topic end as the list says; beyond it they hang. */
function busThat(outcomes: (boolean | Error)[]): Bus {
  return {
    ...memoryBus(),
    createTopic() {
      const outcome = outcomes.shift();
      if (outcome === undefined) return new Promise(() => {});
      return outcome instanceof Error ? Promise.reject(outcome) : Promise.resolve(outcome);
    },
  };
}

const away = () => new BusError("unavailable", "nobody is there");
const topics = [{ name: "jobs", partitions: 3 }];
const flags = { kafkaStartTimeoutMs: 1_000, kafkaOutageLimitMs: 1_000, maxMessageBytes: 10 };

Deno.test("openBus() without brokers is a bus inside the process, with the topics", async () => {
  const bus = await openBus(flags, { clientId: "test", topics }, testContext());
  assert.equal(bus.system, "in_process");
  assert.equal(bus.maxValueBytes, 10);
  assert.deepEqual(await bus.unfollowedTopics(""), ["jobs"]);
  await bus.close();
});

Deno.test("openBus() refuses flags that do not go together before it connects", async () => {
  const kafka = { ...flags, kafkaBrokers: ["127.0.0.1:1"], kafkaSaslUsername: "ann" };
  await assert.rejects(openBus(kafka, { clientId: "test" }, testContext()), StartError);
});

Deno.test("ensureTopics() waits for a bus that is unavailable, and says so once", async () => {
  const world = new VirtualWorld();
  const context = testContext({ world });
  await world.runUntil(ensureTopics(busThat([away(), away(), true]), topics, {}, context));
  assert.deepEqual(context.lines, [
    'WARN Waiting for the bus reason="nobody is there"',
    "INFO Made a topic topic=jobs",
  ]);
  assert.equal(world.pendingTimers, 0);
});

Deno.test("ensureTopics() gives up in time with the bus's own reason, also when an attempt hangs", async () => {
  const world = new VirtualWorld();
  const context = testContext({ world });
  const trying = ensureTopics(busThat([away(), away()]), topics, { timeoutMs: 5_000 }, context);
  await assert.rejects(world.runUntil(trying), { kind: "unavailable", message: "nobody is there" });
  assert.equal(world.monotonicMs(), 5_000);
  assert.equal(world.pendingTimers, 0);
});

Deno.test("ensureTopics() does not wait for what never works", async () => {
  const world = new VirtualWorld();
  const never = new BusError("unknown-topic", "not a name");
  const trying = ensureTopics(busThat([never]), topics, {}, testContext({ world }));
  await assert.rejects(world.runUntil(trying), never);
  assert.equal(world.monotonicMs(), 0);
});

Deno.test("ensureTopics() ends at once when the program is asked to stop, in a wait and in an attempt", async () => {
  for (const outcomes of [[away(), away(), away()], [away()]]) {
    const world = new VirtualWorld();
    const context = testContext({ world });
    const trying = ensureTopics(busThat(outcomes), topics, {}, context);
    trying.catch(() => {});
    await world.advance(outcomes.length === 1 ? 300 : 100);
    context.stop();
    await drainMicrotasks();
    await assert.rejects(trying, /asked to stop/);
    assert.equal(world.pendingTimers, 0);
  }
});
