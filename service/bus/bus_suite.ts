/**
 * The suite that every bus must pass: what `bus.ts` promises, tried out.
 *
 * @module
 */
import assert from "node:assert/strict";
import { BusError, type BusRecord } from "./bus.ts";
import { busGroupSuite } from "./bus_group_suite.ts";
import {
  type BusUnderTest,
  bytes,
  type Check,
  collector,
  message,
  text,
} from "./test_bus_checks.ts";

/**
 * Declares the suite's tests.
 *
 * @example
 * ```ts
 * busSuite({ name: "memory", connect: memoryBus, test: Deno.test });
 * ```
 */
export function busSuite(under: BusUnderTest): void {
  const check: Check = (what, run, topicOptions = {}) =>
    under.test(`${under.name} bus ${what}`, async () => {
      const bus = under.connect();
      const topic = `suite.${crypto.randomUUID()}`;
      try {
        await bus.createTopic(topic, topicOptions);
        await run(bus, topic);
        await bus.deleteTopic(topic);
      } finally {
        await bus.close();
      }
    });
  checkTopics(check);
  checkSending(check);
  checkFollowers(check);
  busGroupSuite(check, under);
}

function checkTopics(check: Check): void {
  check("makes a topic once and removes one twice", async (bus, topic) => {
    assert.equal(await bus.createTopic(topic), false);
    const other = `${topic}.other`;
    assert.equal(await bus.createTopic(other, { partitions: 3 }), true);
    await bus.deleteTopic(other);
    await bus.deleteTopic(other);
  });

  check("has a topic at once that it has made", async (bus, topic) => {
    for (let i = 0; i < 20; i++) {
      const name = `${topic}.${i}`;
      await bus.createTopic(name);
      assert.deepEqual(await bus.unfollowedTopics(name), [name]);
      await bus.deleteTopic(name);
    }
  });

  check("refuses a topic's name that cannot be one", async (bus) => {
    for (const bad of ["", ".", "a b", "x".repeat(250), "ü"]) {
      await assert.rejects(bus.createTopic(bad), { name: "BusError", kind: "unknown-topic" });
    }
  });

  check("keeps the last record of each key of a compacted topic", async (bus, topic) => {
    const keys = `${topic}.keys`;
    await bus.createTopic(keys, { compacted: true });
    for (const value of ["old", "new"]) {
      await bus.send(keys, { key: "k", headers: [], value: bytes(value) });
    }
    await bus.send(keys, { key: "gone", headers: [], value: bytes("x") });
    await bus.send(keys, { key: "gone", headers: [], value: null });
    const last = new Map<string | undefined, string>();
    const follower = await bus.follow({
      topic: keys,
      from: "beginning",
      handle(record) {
        if (record.value === null) last.delete(record.key);
        else last.set(record.key, text(record));
      },
    });
    await follower.caughtUp;
    assert.deepEqual([...last], [["k", "new"]]);
    await follower.close();
    await bus.deleteTopic(keys);
  });
}

function checkSending(check: Check): void {
  check("keeps headers in order, doubles, keys, empty and null values", async (bus, topic) => {
    const all = collector();
    const follower = await bus.follow({ topic, from: "end", handle: all.take });
    const headers: BusRecord["headers"] = [
      ["z", bytes("1")],
      ["a", bytes("")],
      ["z", bytes("2")],
      ["ü", new Uint8Array([0, 255])],
    ];
    await bus.send(topic, { headers, value: bytes("") });
    await bus.send(topic, { headers: [], key: "k", value: null });
    const [first, second] = await all.reach(2);
    assert.deepEqual(
      first?.headers.map(([name, value]) => [name, [...value]]),
      headers.map(([name, value]) => [name, [...value]]),
    );
    assert.deepEqual([first?.key, first?.value?.length], [undefined, 0]);
    assert.deepEqual([second?.key, second?.value, second?.headers], ["k", null, []]);
    await follower.close();
  });

  check("refuses what is too large and goes on", async (bus, topic) => {
    const all = collector();
    const follower = await bus.follow({ topic, from: "end", handle: all.take });
    const tooLarge = { headers: [], value: new Uint8Array(bus.maxValueBytes + 1) };
    const results = await Promise.allSettled([
      bus.send(topic, message("small")),
      bus.send(topic, tooLarge),
      bus.send(topic, { headers: [], value: new Uint8Array(bus.maxValueBytes) }),
      bus.send(topic, message("small too")),
    ]);
    assert.deepEqual(results.map((result) => result.status), [
      "fulfilled",
      "rejected",
      "fulfilled",
      "fulfilled",
    ]);
    const { reason } = results[1] as PromiseRejectedResult;
    assert.ok(reason instanceof BusError && reason.kind === "too-large", String(reason));
    await all.reach(3);
    await follower.close();
  });

  check("refuses a topic that is not there, quickly and again", async (bus, topic) => {
    for (let i = 0; i < 3; i++) {
      await assert.rejects(bus.send(`${topic}.absent`, message("x"), 5_000), {
        name: "BusError",
        kind: "unknown-topic",
      });
    }
    await bus.send(topic, message("others are not held up"));
  });
}

function checkFollowers(check: Check): void {
  check("positions a follower of the end before it resolves", async (bus, topic) => {
    await bus.send(topic, message("before"));
    const all = collector();
    const follower = await bus.follow({ topic, from: "end", handle: all.take });
    await follower.caughtUp;
    await bus.send(topic, message("after"));
    assert.deepEqual((await all.reach(1)).map(text), ["after"]);
    await follower.close();
  });

  check("gives every follower everything from the beginning, in order", async (bus, topic) => {
    for (let i = 0; i < 20; i++) await bus.send(topic, message(`m${i}`));
    const expected = Array.from({ length: 20 }, (_, i) => `m${i}`);
    for (const _ of [1, 2]) {
      const all = collector();
      const follower = await bus.follow({ topic, from: "beginning", handle: all.take });
      await follower.caughtUp;
      assert.deepEqual(all.records.map(text), expected);
      assert.equal(await follower.lag(), 0);
      await follower.close();
    }
  });

  check("catches up with an empty topic", async (bus, topic) => {
    const follower = await bus.follow({ topic, from: "beginning", handle: () => {} });
    await follower.caughtUp;
    await follower.close();
  });

  check("knows which topics nobody follows", async (bus, topic) => {
    assert.deepEqual(await bus.unfollowedTopics(topic), [topic]);
    const follower = await bus.follow({ topic, from: "end", handle: () => {} });
    assert.deepEqual(await bus.unfollowedTopics(topic), []);
    await follower.close();
    assert.deepEqual(await bus.unfollowedTopics(topic), [topic]);
  });
}
