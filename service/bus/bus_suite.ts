/**
 * The suite that every bus must pass: what `bus.ts` promises, tried out.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type Bus, BusError, type BusRecord, headerNamed, type ReceivedRecord } from "./bus.ts";

/** What the suite needs to know of a bus. */
export interface BusUnderTest {
  /** Begins each test's name: `kafka`. */
  name: string;
  /** Makes a connection of its own to the same broker. */
  connect: () => Bus;
  /** `Deno.test`, or one that ignores. */
  test: (name: string, run: () => Promise<void>) => void;
}

/** Declares the suite's tests. */
export function busSuite({ name, connect, test }: BusUnderTest): void {
  function check(
    what: string,
    run: (bus: Bus, topic: string) => Promise<void>,
    topicOptions = {},
  ): void {
    test(`${name} bus ${what}`, async () => {
      const bus = connect();
      const topic = `suite.${crypto.randomUUID()}`;
      try {
        await bus.createTopic(topic, topicOptions);
        await run(bus, topic);
        await bus.deleteTopic(topic);
      } finally {
        await bus.close();
      }
    });
  }

  check("makes a topic once and removes one twice", async (bus, topic) => {
    assert.equal(await bus.createTopic(topic), false);
    const other = `${topic}.other`;
    assert.equal(await bus.createTopic(other, { partitions: 3 }), true);
    await bus.deleteTopic(other);
    await bus.deleteTopic(other);
  });

  check("refuses a topic's name that cannot be one", async (bus) => {
    for (const bad of ["", ".", "a b", "x".repeat(250), "ü"]) {
      await assert.rejects(bus.createTopic(bad), { name: "BusError", kind: "unknown-topic" });
    }
  });

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

  check(
    "shares a topic between a group's members, each record with one of them",
    async (bus, topic) => {
      const other = connect();
      try {
        const all = collector();
        const share = [0, 0];
        const member = (bus: Bus, index: number) =>
          bus.consume({
            topic,
            group: `${topic}.g`,
            handle: async (record) => {
              await Promise.resolve();
              share[index]!++;
              all.take(record);
            },
          });
        const first = await member(bus, 0);
        const second = await member(other.system === "kafka" ? other : bus, 1);
        await settled(first, second);
        const expected = Array.from({ length: 200 }, (_, i) => `m${i}`).sort();
        // One by one, as a batch goes to one partition.
        for (const value of expected) await bus.send(topic, message(value));
        await all.reach(200);
        assert.deepEqual(all.records.map(text).sort(), expected);
        assert.ok(share[0]! > 0 && share[1]! > 0, `shares are ${share}`);
        await first.close();
        await second.close();
      } finally {
        await other.close();
      }
    },
    { partitions: 4 },
  );

  check("begins a new group with the oldest record and counts its lag", async (bus, topic) => {
    for (let i = 0; i < 5; i++) await bus.send(topic, message(`m${i}`));
    const all = collector();
    let release = () => {};
    const held = new Promise<void>((resolve) => release = resolve);
    const reader = await bus.consume({
      topic,
      group: `${topic}.g`,
      maxInFlight: 2,
      handle: async (record) => {
        all.take(record);
        await held;
      },
    });
    await all.reach(2);
    assert.ok(await reader.lag() >= 3, "the lag is what waits");
    assert.equal(all.records.length, 2, "no more than maxInFlight are under way");
    release();
    await all.reach(5);
    await until(async () => await reader.lag() === 0);
    await reader.close();
  });

  check("goes on after what a group has done with, not before", async (bus, topic) => {
    const group = `${topic}.g`;
    const first = collector();
    const reader = await bus.consume({ topic, group, handle: later(first.take) });
    for (let i = 0; i < 5; i++) await bus.send(topic, message(`m${i}`));
    await first.reach(5);
    await reader.close();
    await bus.send(topic, message("m5"));
    const second = collector();
    const again = await bus.consume({ topic, group, handle: later(second.take) });
    assert.deepEqual((await second.reach(1)).map(text), ["m5"]);
    await again.close();
  });

  check("gives a record out again when its handling failed", async (bus, topic) => {
    const all = collector();
    let failures = 2;
    const reader = await bus.consume({
      topic,
      group: `${topic}.g`,
      handle: later((record) => {
        if (text(record) === "bad" && failures-- > 0) throw new Error("not this time");
        all.take(record);
      }),
    });
    for (const value of ["good", "bad", "last"]) await bus.send(topic, message(value));
    await until(() =>
      ["good", "bad", "last"].every((one) => all.records.some((r) => text(r) === one))
    );
    await reader.close();
  });

  check("hands over what a member had not finished when it left", async (bus, topic) => {
    const group = `${topic}.g`;
    const begun = collector();
    const stuck = await bus.consume({
      topic,
      group,
      handle: (record) => {
        begun.take(record);
        return new Promise(() => {});
      },
    });
    await bus.send(topic, message("orphan"));
    await begun.reach(1);
    await stuck.close(AbortSignal.abort());
    const all = collector();
    const heir = await bus.consume({ topic, group, handle: later(all.take) });
    assert.deepEqual((await all.reach(1)).map(text), ["orphan"]);
    await heir.close();
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

  check("carries thousands of records at once without losing one", async (bus, topic) => {
    const all = collector();
    const reader = await bus.consume({
      topic,
      group: `${topic}.g`,
      handle: later(all.take),
    });
    const expected = Array.from({ length: 5_000 }, (_, i) => `m${i}`);
    await Promise.all(expected.map((value) => bus.send(topic, message(value), 20_000)));
    await all.reach(5_000);
    assert.deepEqual(new Set(all.records.map(text)), new Set(expected));
    await reader.close();
  }, { partitions: 4 });
}

/** Gathers records; `reach` resolves once there are so many. */
function collector() {
  const records: ReceivedRecord[] = [];
  let onMore = () => {};
  return {
    records,
    take(record: ReceivedRecord) {
      records.push(record);
      onMore();
    },
    async reach(count: number): Promise<ReceivedRecord[]> {
      while (records.length < count) await new Promise<void>((resolve) => onMore = resolve);
      return records;
    },
  };
}

/** A handler that is done with its record at once, or refuses it. */
function later(take: (record: ReceivedRecord) => void): (record: ReceivedRecord) => Promise<void> {
  return (record) => Promise.resolve(record).then(take);
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!await condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Both members have their share: a group deals anew when somebody joins. */
async function settled(...readers: { lag(): Promise<number> }[]): Promise<void> {
  await Promise.all(readers.map((reader) => reader.lag()));
}

function message(value: string): BusRecord {
  return { headers: [["n", bytes("1")]], value: bytes(value) };
}

function text(record: ReceivedRecord): string {
  assert.ok(record.value);
  assert.ok(headerNamed(record.headers, "absent") === undefined);
  return new TextDecoder().decode(record.value);
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
