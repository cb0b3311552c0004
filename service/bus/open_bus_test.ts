import assert from "node:assert/strict";
import { StartError } from "../life_cycle.ts";
import { testContext } from "../testing/context.ts";
import { testWith } from "../testing/permissions.ts";
import { drainMicrotasks, VirtualWorld } from "../world/virtual_world.ts";
import { type Bus, BusError } from "./bus.ts";
import { memoryBus } from "./memory_bus.ts";
import { busFlags, ensureTopics, openBus } from "./open_bus.ts";

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
    await assert.rejects(trying, {
      ...{ kind: "unavailable", message: "the program was asked to stop" },
    });
    assert.equal(world.pendingTimers, 0);
  }
});

Deno.test("the bus's flags say what they take, and have the defaults that are written down", () => {
  const { brokers, tls, tlsCa, saslMechanism, saslUsername, saslPasswordFile } = busFlags;
  const { startTimeout, outageLimit, maxMessageBytes } = busFlags;
  for (
    const [option, usage, byDefault] of [
      [brokers(), "--kafka-brokers <host:port,…>", undefined],
      [tls(), "--kafka-tls", undefined],
      [tlsCa(), "--kafka-tls-ca <file>", undefined],
      [saslMechanism(), "--kafka-sasl-mechanism <name>", undefined],
      [saslUsername(), "--kafka-sasl-username <name>", undefined],
      [saslPasswordFile(), "--kafka-sasl-password-file <file>", undefined],
      [startTimeout(), "--kafka-start-timeout-ms <ms>", 30_000],
      [outageLimit(), "--kafka-outage-limit-ms <ms>", 300_000],
      [maxMessageBytes(), "--max-message-bytes <n>", 1_000_000],
    ] as const
  ) {
    assert.deepEqual([option.flags, option.defaultValue], [usage, byDefault]);
    assert.notEqual(option.description, "");
  }
  assert.deepEqual(saslMechanism().argChoices, ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]);
  assert.deepEqual(brokers().parseArg!("a:1,b:2", undefined!), ["a:1", "b:2"]);
  for (
    const [option, least, most] of [
      [startTimeout(), 0, 3_600_000],
      [outageLimit(), 1_000, undefined],
      [maxMessageBytes(), 1, 67_108_864],
    ] as const
  ) {
    const parse = (value: number) => option.parseArg!(String(value), 0);
    assert.equal(parse(least), least);
    assert.throws(() => parse(least - 1));
    if (most === undefined) continue;
    assert.equal(parse(most), most);
    assert.throws(() => parse(most + 1));
  }
  assert.equal(startTimeout().parseArg!("2s", 0), 2_000);
  assert.equal(outageLimit().parseArg!("1m", 0), 60_000);
});

testWith(["env", "read", "sys"], "openBus() says where Kafka is that cannot be used", async () => {
  const kafka = { ...flags, kafkaBrokers: ["127.0.0.1:1", "127.0.0.1:2"], kafkaStartTimeoutMs: 1 };
  await assert.rejects(
    openBus(kafka, { clientId: "test", topics }, testContext()),
    (error) => {
      assert.ok(error instanceof StartError);
      assert.match(
        error.message,
        /^Cannot use Kafka at 127\.0\.0\.1:1, 127\.0\.0\.1:2: .+\. Start it, or name other brokers with --kafka-brokers\.$/,
      );
      return true;
    },
  );
  const context = testContext();
  context.stop();
  await assert.rejects(
    openBus(kafka, { clientId: "test", topics }, context),
    new StartError("Stopped while waiting for Kafka at 127.0.0.1:1, 127.0.0.1:2."),
  );
  // What needs no topic is not kept waiting.
  const bus = await openBus(kafka, { clientId: "test" }, testContext());
  assert.deepEqual([bus.system, bus.maxValueBytes], ["kafka", 10]);
  await bus.close();
});

Deno.test("ensureTopics() waits longer from one attempt to the next, for half a minute in all", async () => {
  const world = new VirtualWorld();
  const attempts: number[] = [];
  const bus: Bus = {
    ...memoryBus(),
    createTopic() {
      attempts.push(world.monotonicMs());
      return Promise.reject(away());
    },
  };
  const context = testContext({ world });
  const trying = ensureTopics(bus, topics, {}, context);
  await assert.rejects(world.runUntil(trying), { message: "nobody is there" });
  assert.deepEqual(context.lines, ['WARN Waiting for the bus reason="nobody is there"']);
  assert.equal(world.monotonicMs(), 30_000);
  const waits = attempts.slice(1).map((atMs, index) => atMs - attempts[index]!);
  assert.ok(waits[0]! >= 125 && waits[0]! <= 250, `${waits[0]}`);
  assert.ok(waits[1]! > 250, `${waits[1]}`);
  for (const waitMs of waits.slice(2)) assert.ok(waitMs >= 500 && waitMs <= 1_000, `${waitMs}`);

  const silent = ensureTopics(busThat([]), topics, { timeoutMs: 70 }, testContext({ world }));
  await assert.rejects(world.runUntil(silent), {
    ...{ kind: "unavailable", message: "no answer within 70 ms" },
  });
});

Deno.test("ensureTopics() makes each topic with its options, and says nothing of one that is there", async () => {
  const asked: unknown[] = [];
  const bus: Bus = {
    ...memoryBus(),
    createTopic(name, options) {
      asked.push([name, options]);
      return Promise.resolve(false);
    },
  };
  const context = testContext();
  const two = [{ name: "jobs", partitions: 3 }, { name: "done", compacted: true }];
  await ensureTopics(bus, two, {}, context);
  assert.deepEqual(asked, two.map((topic) => [topic.name, topic]));
  assert.deepEqual(context.lines, []);
  const inside = await openBus(flags, { clientId: "test", topics: two }, context);
  const handle = () => Promise.resolve();
  await assert.rejects(inside.consume({ topic: "done", group: "g", handle }), TypeError);
});
