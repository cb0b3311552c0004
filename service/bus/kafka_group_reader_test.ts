import assert from "node:assert/strict";
import { assertNothingAddsUp } from "../testing/rounds.ts";
import { drainMicrotasks, VirtualWorld } from "../world/virtual_world.ts";
import { BusError, type ConsumeOptions, type ReaderState, type ReceivedRecord } from "./bus.ts";
import { KafkaGroupReader } from "./kafka_group_reader.ts";
import { type KafkaReaderOptions, readerOptions } from "./kafka_reader.ts";
import { ScriptedTopic } from "./test_kafka_consumer.ts";

interface Scene {
  topic: ScriptedTopic;
  world: VirtualWorld;
  reader: KafkaGroupReader;
  /** Values of the records that `handle` was called with, in order. */
  handled: string[];
  /** Settles the oldest open call for this value. */
  settle(value: string, how?: "done" | "reject"): Promise<void>;
  states: ReaderState[];
}

/** A reader on a scripted topic, whose handler is the test itself. */
async function scene(
  options: Partial<ConsumeOptions> & KafkaReaderOptions & { topic?: never; partitions?: number },
  run: (scene: Scene) => Promise<void>,
): Promise<void> {
  const world = new VirtualWorld();
  const topic = new ScriptedTopic(options.partitions);
  const handled: string[] = [];
  const open: { value: string; resolve: () => void; reject: (error: Error) => void }[] = [];
  const states: ReaderState[] = [];
  const reader = new KafkaGroupReader(
    {
      topic: "t",
      group: "g",
      onState: (state) => states.push(state),
      handle: (record) => {
        const value = text(record);
        handled.push(value);
        return new Promise<void>((resolve, reject) => open.push({ value, resolve, reject }));
      },
      ...options.maxInFlight !== undefined && { maxInFlight: options.maxInFlight },
      ...options.handle && { handle: options.handle },
    },
    readerOptions({ ...options, world }),
    topic.makeConsumer,
  );
  await reader.start();
  await run({
    topic,
    world,
    reader,
    handled,
    states,
    async settle(value, how = "done") {
      const index = open.findIndex((call) => call.value === value);
      assert.notEqual(index, -1, `nobody works on ${value}`);
      const [call] = open.splice(index, 1);
      if (how === "done") call!.resolve();
      else call!.reject(new Error("not this time"));
      await drainMicrotasks();
    },
  });
  await world.runUntil(reader.close(AbortSignal.abort()));
  assert.equal(world.pendingTimers, 0, "no timer is left behind");
}

Deno.test("KafkaGroupReader commits what is done with, never past what is not", () =>
  scene({}, async ({ topic, world, settle }) => {
    topic.add(3);
    await world.advance(1);
    await settle("0:0");
    await settle("0:2");
    await world.advance(200);
    assert.equal(topic.committed.get(0), 1n);
    await settle("0:1");
    await world.advance(200);
    assert.equal(topic.committed.get(0), 3n);
    await world.advance(1_000);
    assert.equal(topic.consumer.commits.length, 2, "what is committed is not committed again");
  }));

Deno.test("KafkaGroupReader goes on with room that records of a lost session have made", () =>
  scene({ maxInFlight: 4 }, async ({ topic, world, settle, handled, states }) => {
    topic.add(20);
    await world.advance(1);
    assert.deepEqual(handled, ["0:0", "0:1", "0:2", "0:3"]);
    assert.equal(topic.consumer.isPaused, true);

    // A reconnect under load: the new session begins while the old one's records are under way.
    topic.consumer.break();
    await world.advance(1_100);
    assert.equal(topic.consumers.length, 2);
    assert.deepEqual(states.at(-1), "ok");
    assert.equal(handled.length, 4, "no more than maxInFlight are under way");
    for (const value of ["0:0", "0:1", "0:2", "0:3"]) await settle(value);
    await world.advance(1);
    assert.equal(handled.length, 8, "the new session's records flow");
    assert.equal(topic.consumers[0]!.isClosed, true);
    assert.equal(topic.consumers[0]!.isPaused, true, "nothing resumes the session that is lost");
  }));

Deno.test("KafkaGroupReader takes a rejected record up again alone, in place", () =>
  scene({}, async ({ topic, world, settle, handled, states }) => {
    topic.add(3);
    await world.advance(1);
    await settle("0:1", "reject");
    await settle("0:0");
    await world.advance(49);
    assert.deepEqual(handled, ["0:0", "0:1", "0:2"], "not at once");
    await world.advance(200);
    assert.deepEqual(handled, ["0:0", "0:1", "0:2", "0:1"]);
    assert.equal(topic.consumers.length, 1, "the session goes on");
    assert.deepEqual(states, ["ok"]);

    topic.add(1);
    await world.advance(1);
    await settle("0:2");
    await settle("0:3");
    await world.advance(1_000);
    assert.equal(topic.committed.get(0), 1n, "nothing is committed past it");
    await settle("0:1");
    await world.advance(200);
    assert.equal(topic.committed.get(0), 4n);
    assert.deepEqual(handled, ["0:0", "0:1", "0:2", "0:1", "0:3"], "no other came twice");
  }));

Deno.test("KafkaGroupReader waits longer for a record that is rejected again and again, up to a limit", async () => {
  const at: number[] = [];
  const world = new VirtualWorld();
  const topic = new ScriptedTopic();
  const reader = new KafkaGroupReader(
    {
      topic: "t",
      group: "g",
      handle: () => {
        at.push(world.monotonicMs());
        return Promise.reject(new Error("never"));
      },
    },
    readerOptions({ world, redeliverDelayMs: 100, maxRedeliverDelayMs: 1_000 }),
    topic.makeConsumer,
  );
  await reader.start();
  topic.add(1);
  await world.advance(10_000);
  const waits = at.slice(1).map((nowMs, index) => nowMs - at[index]!);
  waits.forEach((waitMs, index) => {
    const mostMs = Math.min(1_000, 100 * 2 ** index);
    assert.ok(waitMs <= mostMs && waitMs >= mostMs / 2, `wait ${index} was ${waitMs} ms`);
  });
  assert.ok(new Set(waits).size > 4, "by chance, so that many do not come together");
  await world.runUntil(reader.close());
  assert.equal(topic.committed.size, 0);
});

Deno.test("KafkaGroupReader gives a rejected record back when its partition or its session is gone", () =>
  scene({ partitions: 2 }, async ({ topic, world, settle, handled }) => {
    topic.add(1, { partition: 0 });
    topic.add(1, { partition: 1 });
    await world.advance(1);
    await settle("1:0", "reject");
    topic.consumer.assign([0]);
    await world.advance(5_000);
    assert.deepEqual(handled, ["0:0", "1:0"], "another member's record is not ours to repeat");

    await settle("0:0", "reject");
    topic.consumer.break();
    topic.joins.push(new Promise(() => {}));
    await world.advance(5_000);
    assert.deepEqual(handled, ["0:0", "1:0"], "the next session reads it again, not this one");
    assert.equal(topic.committed.size, 0);
  }));

Deno.test("KafkaGroupReader takes no record twice when the group deals anew", () =>
  scene({ partitions: 2 }, async ({ topic, world, settle, handled }) => {
    topic.add(2, { partition: 0 });
    topic.add(2, { partition: 1 });
    await world.advance(1);
    topic.consumer.assign([1]);
    await world.advance(1);
    assert.equal(handled.length, 4);
    await settle("0:0");
    await world.advance(500);
    assert.equal(topic.committed.has(0), false, "what is gone is not committed");
    topic.consumer.assign([0, 1]);
    await world.advance(1);
    assert.deepEqual(handled.slice(4), ["0:0", "0:1"], "what came back is read from the commit");
  }));

Deno.test("KafkaGroupReader comes back as the member that it was, unless it is unknown by now", () =>
  scene({}, async ({ topic, world }) => {
    topic.consumer.break();
    await world.advance(1_100);
    assert.equal(topic.consumers[1]!.options.memberId, "member-0");
    topic.consumer.memberId = undefined;
    topic.consumer.break();
    await world.advance(1_100);
    assert.equal(topic.consumers[2]!.options.memberId, undefined);
  }));

Deno.test("KafkaGroupReader draws its waits by chance, within limits", async () => {
  async function joinTimes(seed: number): Promise<number[]> {
    const world = new VirtualWorld({ seed });
    const topic = new ScriptedTopic();
    const times: number[] = [];
    const makeConsumer: typeof topic.makeConsumer = (options) => {
      times.push(world.monotonicMs());
      return topic.makeConsumer(options);
    };
    const reader = new KafkaGroupReader(
      { topic: "t", group: "g", handle: () => Promise.resolve() },
      readerOptions({ world, maxRetryDelayMs: 1_000 }),
      makeConsumer,
    );
    await reader.start();
    topic.joins.push(...Array.from({ length: 20 }, () => new Error("away")));
    topic.consumer.break();
    await world.advance(20_000);
    await world.runUntil(reader.close());
    return times;
  }
  const [one, same, other] = [await joinTimes(1), await joinTimes(1), await joinTimes(2)];
  assert.deepEqual(one, same);
  assert.notDeepEqual(one, other);
  assert.equal(one.length, 22);
  one.slice(1).forEach((nowMs, index) => {
    const waitMs = nowMs - one[index]!;
    assert.ok(waitMs <= Math.min(1_000, 50 * 2 ** index), `wait ${index} was ${waitMs} ms`);
  });
});

Deno.test("KafkaGroupReader gives up when an outage outlasts its limit", () =>
  scene({ outageLimitMs: 10_000 }, async ({ topic, world, reader, states }) => {
    topic.joins.push(...Array.from({ length: 200 }, () => new Error("away")));
    topic.consumer.break();
    const failure = assert.rejects(
      reader.failed,
      /Reading t from Kafka has failed for 1\d s, longer than the limit of 10000 ms: away/,
    );
    await world.advance(15_000);
    await failure;
    assert.deepEqual(states[1], { reason: "the connection is lost" });
    const made = topic.consumers.length;
    await world.advance(60_000);
    assert.equal(topic.consumers.length, made, "and tries no more");
  }));

Deno.test("KafkaGroupReader tries a commit again that failed", () =>
  scene({}, async ({ topic, world, settle }) => {
    topic.add(1);
    topic.consumer.failingCommits.push(new Error("busy"));
    await world.advance(1);
    await settle("0:0");
    await world.advance(200);
    assert.equal(topic.committed.size, 0);
    await world.advance(200);
    assert.equal(topic.committed.get(0), 1n);
  }));

Deno.test("KafkaGroupReader counts as lag what the group has not committed", () =>
  scene({ partitions: 2 }, async ({ topic, world, settle, reader }) => {
    topic.add(2, { partition: 0 });
    topic.add(1, { partition: 1 });
    await world.advance(1);
    assert.equal(await reader.lag(), 3);
    await settle("0:0");
    await world.advance(200);
    assert.equal(await reader.lag(), 2);
    topic.consumer.assign([1]);
    assert.deepEqual(reader.partitions, [1]);
    assert.equal(await reader.lag(), 1);
    // Also of the one that is nobody's now.
    assert.deepEqual([...await reader.progress()], [
      [0, { waiting: 1, done: 1n }],
      [1, { waiting: 1, done: 0n }],
    ]);
  }));

Deno.test("close() waits for what is under way and commits it", () =>
  scene({}, async ({ topic, world, settle, reader, handled }) => {
    topic.add(1);
    await world.advance(1);
    const closing = reader.close();
    topic.add(1);
    await world.advance(10_000);
    assert.equal(topic.consumer.isClosed, false);
    await settle("0:0");
    await world.runUntil(closing);
    assert.equal(topic.committed.get(0), 1n);
    assert.equal(topic.consumer.isClosed, true);
    assert.deepEqual(handled, ["0:0"], "nothing new is taken");
  }));

Deno.test("close() leaves at its deadline, and what is under way is the group's", () =>
  scene({}, async ({ topic, world, settle, reader }) => {
    topic.add(2);
    await world.advance(1);
    await settle("0:1");
    const deadline = new AbortController();
    const closing = reader.close(deadline.signal);
    await world.advance(1_000);
    assert.equal(topic.consumer.isClosed, false);
    deadline.abort();
    await world.runUntil(closing);
    assert.equal(topic.consumer.isClosed, true);
    assert.equal(topic.committed.size, 0);
  }));

Deno.test("close() does not wait for a rejected record to be taken up again", () =>
  scene({}, async ({ topic, world, settle, reader }) => {
    topic.add(1);
    await world.advance(1);
    await settle("0:0", "reject");
    await world.runUntil(reader.close());
    assert.equal(world.monotonicMs(), 1);
    assert.equal(topic.committed.size, 0);
  }));

Deno.test("close() ends a reader that waits to join, and one whose join hangs", async () => {
  await scene({}, async ({ topic, world, reader }) => {
    topic.joins.push(new Promise(() => {}));
    topic.consumer.break();
    await drainMicrotasks();
    await reader.close();
    assert.equal(topic.consumers.length, 1, "it was still waiting");
    assert.equal(world.monotonicMs(), 0);
  });
  await scene({}, async ({ topic, world, reader }) => {
    topic.joins.push(new Promise(() => {}));
    topic.consumer.break();
    await world.advance(1_000);
    assert.equal(topic.consumers.length, 2);
    await reader.close();
    assert.equal(topic.consumer.isClosed, true);
  });
});

function text(record: ReceivedRecord): string {
  return new TextDecoder().decode(record.value!);
}

Deno.test("KafkaGroupReader reads partitions that were added, and says why it joins again", () =>
  scene({ partitions: 1 }, async ({ topic, world, handled, states, settle }) => {
    topic.addPartitions(1);
    topic.add(1, { partition: 1 });
    await world.advance(11_000);
    assert.deepEqual(handled, ["1:0"]);
    assert.match(JSON.stringify(states), /it has 2 partitions, and had 1/);
    await settle("1:0");
  }));

Deno.test("KafkaGroupReader says that its group has members of another topic", () =>
  scene({ partitions: 1 }, ({ topic, states }) => {
    topic.consumer.dealForeign(["test.v1"]);
    assert.match(JSON.stringify(states.at(-1)), /members of the group g also read test\.v1/);
    return Promise.resolve();
  }));

Deno.test("KafkaGroupReader has as much under way after fifty sessions as after one", () =>
  scene({}, async ({ topic, world, settle }) => {
    await assertNothingAddsUp(async (index) => {
      topic.add(1);
      await world.advance(60_000);
      await settle(`0:${index}`);
      // It is committed.
      await world.advance(1_000);
      topic.consumer.break();
      await world.advance(60_000);
    }, {
      counts: {
        timers: () => world.pendingTimers,
        sessions: () => topic.consumers.filter(({ isClosed }) => !isClosed).length,
      },
    });
    assert.equal(topic.consumers.length, 51);
  }));

Deno.test("KafkaGroupReader takes more when half of its room is free again, not before", () =>
  scene({ maxInFlight: 4 }, async ({ topic, world, settle, handled }) => {
    topic.add(8);
    await world.advance(1);
    for (const [value, count] of [["0:0", 4], ["0:1", 6], ["0:2", 6], ["0:3", 8]] as const) {
      await settle(value);
      await world.advance(1);
      assert.equal(handled.length, count, value);
    }
  }));

Deno.test("KafkaGroupReader without a session has no partitions, no lag and no progress", () =>
  scene({}, async ({ topic, world, reader }) => {
    topic.add(1);
    await world.advance(1);
    assert.equal(await reader.lag(), 1);
    topic.consumer.break();
    topic.joins.push(new Promise(() => {}));
    for (const _ of ["waits to join", "joins"]) {
      assert.deepEqual(reader.partitions, []);
      assert.equal(await reader.lag(), 0);
      assert.deepEqual([...await reader.progress()], []);
      await world.advance(1_000);
    }
    assert.equal(topic.consumers.length, 2);
  }));

Deno.test("KafkaGroupReader does not wait for what is older than the topic keeps", () =>
  scene({ partitions: 3 }, async ({ topic, world, settle, reader }) => {
    for (const partition of [0, 1, 2]) topic.add(4, { partition });
    await world.advance(1);
    for (const value of ["0:0", "0:1", "1:0", "1:1"]) await settle(value);
    await world.advance(200);
    topic.oldest.set(0, 3n).set(1, 1n).set(2, 2n);
    assert.deepEqual([...await reader.progress()], [
      [0, { waiting: 1, done: 3n }],
      [1, { waiting: 2, done: 2n }],
      [2, { waiting: 2, done: 2n }],
    ]);
  }));

Deno.test("KafkaGroupReader takes nothing that is handed over too late", () =>
  scene({ partitions: 2 }, async ({ topic, world, reader, settle, handled }) => {
    topic.consumer.pause();
    topic.add(2, { partition: 0 });
    topic.add(1, { partition: 1 });
    const first = topic.consumer;
    first.assign([0]);
    first.deliverLate(1, 0);
    assert.deepEqual(handled, [], "another member's");
    first.break();
    await world.advance(1_100);
    const second = topic.consumer;
    await settle("0:0");
    await settle("0:1");
    await settle("1:0");
    first.deliverLate(0, 1);
    first.break();
    await world.advance(1_100);
    assert.equal(topic.consumer, second, "the session before does not end this one");
    const closing = reader.close();
    topic.add(1);
    second.deliverLate(0, 2);
    await world.runUntil(closing);
    second.deliverLate(0, 2);
    assert.deepEqual(handled, ["0:0", "0:1", "1:0"]);
  }));

Deno.test("close() waits for the last of what is under way, but not for a commit that hangs", () =>
  scene({}, async ({ topic, world, settle, reader }) => {
    topic.add(2);
    await world.advance(1);
    const closing = reader.close();
    await settle("0:0");
    await world.advance(60_000);
    assert.equal(topic.consumer.isClosed, false);
    topic.consumer.commit = () => new Promise(() => {});
    await settle("0:1");
    const settledMs = world.monotonicMs();
    await world.runUntil(closing);
    assert.equal(world.monotonicMs() - settledMs, 5_000);
    assert.equal(topic.consumer.isClosed, true);
  }));

Deno.test("close() lets a consumer's farewell take ten seconds", () =>
  scene({}, async ({ topic, world, reader }) => {
    topic.consumer.close = () => new Promise(() => {});
    await world.runUntil(reader.close());
    assert.equal(world.monotonicMs(), 10_000);
  }));

Deno.test("a join that ends after the close is not said", () =>
  scene({}, async ({ topic, world, reader, states }) => {
    const join = Promise.withResolvers<void>();
    topic.consumer.break();
    topic.joins.push(join.promise);
    await world.advance(1_100);
    assert.equal(topic.consumers.length, 2);
    const said = states.length;
    await reader.close();
    join.resolve();
    await drainMicrotasks();
    assert.equal(states.length, said);
    assert.deepEqual(reader.partitions, []);
  }));

Deno.test("KafkaGroupReader says each foreign topic, and needs nobody to hear it", async () => {
  await scene({}, ({ topic, states }) => {
    topic.consumer.dealForeign(["a", "b"]);
    assert.match(JSON.stringify(states.at(-1)), /also read a, b: /);
    return Promise.resolve();
  });
  const topic = new ScriptedTopic();
  const world = new VirtualWorld();
  const deaf = new KafkaGroupReader(
    { topic: "t", group: "g", handle: () => Promise.resolve() },
    readerOptions({ world }),
    topic.makeConsumer,
  );
  assert.deepEqual(deaf.partitions, []);
  await deaf.start();
  topic.consumer.dealForeign(["a"]);
  topic.replace();
  await world.advance(20_000);
  assert.equal(topic.consumers.length, 2, "it has joined again");
  await world.runUntil(deaf.close());
});

Deno.test("a look at the topic that fails is one at an outage, unless the topic is gone", () =>
  scene({ topicPollMs: 1_000 }, async ({ topic, world, states }) => {
    await world.advance(10_000);
    topic.looks.push(new Error("away"), new BusError("unavailable", "away"));
    await world.advance(10_000);
    assert.equal(topic.consumers.length, 1, "the same topic is no change, an outage no news");
    topic.replace();
    await world.advance(3_000);
    assert.match(JSON.stringify(states.at(-2)), /The topic t has changed: it was removed and made/);
    assert.equal(topic.consumers.length, 2);
    topic.looks.push(new BusError("unknown-topic", "there is no topic t"));
    await world.advance(3_000);
    assert.deepEqual(states.at(-2), { reason: "there is no topic t" });
    assert.equal(topic.consumers.length, 3);
  }));

Deno.test("a first join is tried again while it may heal and a start may take that long", async () => {
  const start = async (joins: Error[], startLimitMs?: number) => {
    const world = new VirtualWorld();
    const topic = new ScriptedTopic();
    topic.joins.push(...joins);
    const reader = new KafkaGroupReader(
      { topic: "t", group: "g", handle: () => Promise.resolve() },
      readerOptions({ world, ...startLimitMs !== undefined && { startLimitMs } }),
      topic.makeConsumer,
    );
    const started = reader.start().then(() => "started", (error: Error) => error.message);
    await world.advance(10_000);
    const ended = await started;
    await world.runUntil(reader.close());
    assert.equal(world.pendingTimers, 0);
    return `${ended} after ${topic.consumers.length}`;
  };
  const away = () => new BusError("unavailable", "the coordinator moves");
  assert.equal(await start([away(), away()], 5_000), "started after 3");
  assert.equal(await start([away()]), "the coordinator moves after 1");
  assert.match(await start(Array.from({ length: 100 }, away), 5_000), /^the coordinator moves/);
  assert.equal(await start([new Error("a mistake")], 5_000), "a mistake after 1");
  assert.equal(await start([new BusError("unknown-topic", "none")], 5_000), "none after 1");
});

Deno.test("readerOptions() refuses what is no positive whole number, by its name", () => {
  const names = [
    ...["outageLimitMs", "commitIntervalMs", "maxRetryDelayMs", "redeliverDelayMs"],
    ...["maxRedeliverDelayMs", "topicPollMs"],
  ];
  for (const name of names) {
    assert.throws(() => readerOptions({ [name]: 0 }), new RegExp(`Cannot read.*${name}`));
  }
});
