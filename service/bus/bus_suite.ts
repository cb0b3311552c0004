/**
 * The suite that every bus must pass: what `bus.ts` promises, tried out.
 *
 * @module
 */
import assert from "node:assert/strict";
import { eventually } from "../testing/eventually.ts";
import {
  type Bus,
  BusError,
  type BusRecord,
  type ConsumeOptions,
  type GroupReader,
  headerNamed,
  type ReceivedRecord,
  type TopicOptions,
} from "./bus.ts";

/** What the suite needs to know of a bus. */
export interface BusUnderTest {
  /** Begins each test's name: `kafka`. */
  name: string;
  /** Makes a connection of its own to the same broker; where there is no broker, a bus of its own. */
  connect: () => Bus;
  /** `Deno.test`, or one that ignores. */
  test: (name: string, run: () => Promise<void>) => void;
  /**
   * How a group shares a topic: by whole partitions, which are dealt anew when a member comes or
   * goes, or record by record.
   *
   * @default "record"
   */
  sharesBy?: "partition" | "record";
}

/** Declares one test of the suite; `run` gets a bus and a topic of its own. */
type Check = (
  what: string,
  run: (bus: Bus, topic: string) => Promise<void>,
  topicOptions?: TopicOptions,
) => void;

/** The longest wait for anything here, far beyond what a broker under load needs. */
const limitMs = 30_000;

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
  checkSharing(check, under);
  checkProgress(check);
  checkRejection(check);
  checkLeaving(check);
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

function checkSharing(check: Check, { connect, sharesBy = "record" }: BusUnderTest): void {
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
        if (sharesBy === "partition") await shared(4, first, second);
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

  check("carries thousands of records at once without losing one", async (bus, topic) => {
    const all = collector();
    const reader = await bus.consume({ topic, group: `${topic}.g`, handle: later(all.take) });
    const expected = Array.from({ length: 5_000 }, (_, i) => `m${i}`);
    await Promise.all(expected.map((value) => bus.send(topic, message(value), 20_000)));
    await all.reach(5_000);
    assert.deepEqual(new Set(all.records.map(text)), new Set(expected));
    await reader.close();
  }, { partitions: 4 });

  check("has as many under way as it may, and no more", async (bus, topic) => {
    let inFlight = 0;
    let most = 0;
    const all = collector();
    const reader = await bus.consume({
      topic,
      group: `${topic}.g`,
      maxInFlight: 50,
      handle: async (record) => {
        most = Math.max(most, ++inFlight);
        await new Promise((resolve) => setTimeout(resolve, 1));
        inFlight--;
        all.take(record);
      },
    });
    const sent = Array.from({ length: 1_000 }, (_, i) => bus.send(topic, message(`m${i}`), 20_000));
    await Promise.all(sent);
    await all.reach(1_000);
    assert.equal(most, 50);
    assert.equal(new Set(all.records.map(text)).size, 1_000);
    await reader.close();
  }, { partitions: 4 });
}

function checkProgress(check: Check): void {
  check("begins a new group with the oldest record and counts its lag", async (bus, topic) => {
    for (let i = 0; i < 5; i++) await bus.send(topic, message(`m${i}`));
    const all = collector();
    const held = Promise.withResolvers<void>();
    const reader = await bus.consume({
      topic,
      group: `${topic}.g`,
      maxInFlight: 2,
      handle: async (record) => {
        all.take(record);
        await held.promise;
      },
    });
    await all.reach(2);
    assert.ok(await reader.lag() >= 3, "the lag is what waits");
    const waiting = async () =>
      [...(await reader.progress()).values()].reduce((sum, one) => sum + one.waiting, 0);
    assert.ok(await waiting() >= 3);
    assert.equal(all.records.length, 2, "no more than maxInFlight are under way");
    held.resolve();
    await all.reach(5);
    await until("no lag", async () => await reader.lag() === 0);
    assert.equal(await waiting(), 0);
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
}

function checkRejection(check: Check): void {
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
    await until(
      "all three",
      () => ["good", "bad", "last"].every((one) => all.records.some((r) => text(r) === one)),
    );
    await reader.close();
  });

  check("gives a rejected record out again alone, and holds up no other", async (bus, topic) => {
    const calls = new Map<string, number>();
    const done = collector();
    const reader = await bus.consume({
      topic,
      group: `${topic}.g`,
      handle: async (record) => {
        const value = text(record);
        const call = (calls.get(value) ?? 0) + 1;
        calls.set(value, call);
        // Others are under way when it is rejected, and when it comes again.
        await new Promise((resolve) => setTimeout(resolve, value === "bad" ? 5 : 50));
        if (value === "bad" && call <= 3) throw new Error("not this time");
        done.take(record);
      },
    });
    const values = Array.from({ length: 100 }, (_, i) => i === 20 ? "bad" : `m${i}`);
    await Promise.all(values.map((value) => bus.send(topic, message(value), 20_000)));
    await done.reach(100);
    assert.deepEqual(new Map([...calls].filter(([, count]) => count !== 1)), new Map([["bad", 4]]));
    assert.equal(text(done.records.at(-1)!), "bad", "the others did not wait for it");
    await until("no lag", async () => await reader.lag() === 0);
    await reader.close();
  });

  check("has a member that leaves give back what it has rejected", async (bus, topic) => {
    const group = `${topic}.g`;
    const first = collector();
    const leaving = await bus.consume({
      topic,
      group,
      handle: later((record) => {
        first.take(record);
        if (text(record) === "bad") throw new Error("never here");
      }),
    });
    for (const value of ["good", "bad", "last"]) await bus.send(topic, message(value));
    await until("all three", () => new Set(first.records.map(text)).size === 3);
    await leaving.close();
    const second = collector();
    const heir = await bus.consume({ topic, group, handle: later(second.take) });
    await until("the rejected one", () => second.records.some((record) => text(record) === "bad"));
    await heir.close();
  });
}

function checkLeaving(check: Check): void {
  /** A member whose `handle` never settles. */
  async function stuckMember(bus: Bus, options: Pick<ConsumeOptions, "topic" | "group">) {
    const begun = collector();
    const reader = await bus.consume({
      ...options,
      handle: (record) => {
        begun.take(record);
        return new Promise(() => {});
      },
    });
    return { reader, begun };
  }

  check("hands over what a member had not finished when it left", async (bus, topic) => {
    const group = `${topic}.g`;
    const { reader, begun } = await stuckMember(bus, { topic, group });
    await bus.send(topic, message("orphan"));
    await begun.reach(1);
    await reader.close(AbortSignal.abort());
    const all = collector();
    const heir = await bus.consume({ topic, group, handle: later(all.take) });
    assert.deepEqual((await all.reach(1)).map(text), ["orphan"]);
    await heir.close();
  });

  check(
    "waits for what is under way until the deadline, and then gives it back",
    async (bus, topic) => {
      const group = `${topic}.g`;
      const { reader, begun } = await stuckMember(bus, { topic, group });
      await bus.send(topic, message("first"));
      await begun.reach(1);
      const deadline = new AbortController();
      let isClosed = false;
      const closing = reader.close(deadline.signal).then(() => isClosed = true);
      await bus.send(topic, message("second"));
      await new Promise((resolve) => setTimeout(resolve, 100));
      assert.equal(isClosed, false);
      assert.deepEqual(
        begun.records.map(text),
        ["first"],
        "a member that leaves takes nothing new",
      );
      deadline.abort();
      await closing;
      const all = collector();
      const heir = await bus.consume({ topic, group, handle: later(all.take) });
      assert.deepEqual((await all.reach(2)).map(text).sort(), ["first", "second"]);
      await heir.close();
    },
  );
}

/** Gathers records; `reach` resolves once there are so many. */
function collector() {
  const records: ReceivedRecord[] = [];
  return {
    records,
    take(record: ReceivedRecord) {
      records.push(record);
    },
    async reach(count: number): Promise<ReceivedRecord[]> {
      await until(`${count} records`, () => records.length >= count);
      return records;
    },
  };
}

/** A handler that is done with its record at once, or refuses it. */
function later(take: (record: ReceivedRecord) => void): (record: ReceivedRecord) => Promise<void> {
  return (record) => Promise.resolve(record).then(take);
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  await eventually(what, async () => await condition() || undefined, limitMs);
}

/** Both members have their share: a group deals anew when a member joins. */
async function shared(partitions: number, ...members: GroupReader[]): Promise<void> {
  await until("a share for each member", () => {
    const shares = members.map((member) => member.partitions);
    const dealt = shares.flat();
    return shares.every((share) => share.length > 0) && dealt.length === partitions &&
      new Set(dealt).size === partitions;
  });
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
