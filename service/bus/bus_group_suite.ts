/**
 * The part of the suite that is about groups: sharing, progress, rejection, leaving.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Bus, ConsumeOptions } from "./bus.ts";
import {
  type BusUnderTest,
  type Check,
  collector,
  later,
  message,
  shared,
  text,
  until,
} from "./test_bus_checks.ts";

/** Declares the tests of what members of a group are promised. */
export function busGroupSuite(check: Check, under: BusUnderTest): void {
  checkSharing(check, under);
  checkProgress(check);
  checkRejection(check);
  checkLeaving(check);
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
