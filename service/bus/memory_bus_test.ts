import assert from "node:assert/strict";
import { drainMicrotasks, VirtualWorld } from "../world/virtual_world.ts";
import type { Bus, ReceivedRecord } from "./bus.ts";
import { busSuite } from "./bus_suite.ts";
import { memoryBus } from "./memory_bus.ts";

busSuite({ name: "memory", connect: memoryBus, test: Deno.test });

Deno.test("memoryBus() refuses more than it may hold, and goes on when there is room", async () => {
  const bus: Bus = memoryBus({ maxRecords: 10 });
  await bus.createTopic("t");
  const record = { headers: [], value: new Uint8Array(1) };
  const release: (() => void)[] = [];
  const reader = await bus.consume({
    topic: "t",
    group: "g",
    maxInFlight: 1,
    handle: () => new Promise<void>((resolve) => release.push(resolve)),
  });
  let accepted = 0;
  await assert.rejects(async () => {
    for (; accepted < 100; accepted++) await bus.send("t", record);
  }, { name: "BusError", kind: "overloaded" });
  assert.ok(accepted >= 10 && accepted <= 12, `took ${accepted}`);
  release.shift()?.();
  await drainMicrotasks();
  assert.equal(release.length, 1);
  await bus.send("t", record);
  await reader.close(AbortSignal.abort());
  await bus.close();
});

const record = (text: string) => ({ headers: [], value: new TextEncoder().encode(text) });
const textOf = ({ value }: ReceivedRecord) => new TextDecoder().decode(value!);

Deno.test("memoryBus() gives a rejected record out again after its wait, to any member", async () => {
  const world = new VirtualWorld();
  const bus = memoryBus({ world, redeliverDelayMs: 100 });
  await bus.createTopic("t");
  const calls: string[] = [];
  const member = (name: string) =>
    bus.consume({
      topic: "t",
      group: "g",
      handle: (record) => {
        calls.push(`${name} ${textOf(record)} at ${world.monotonicMs()}`);
        return name === "first" ? Promise.reject(new Error("not here")) : Promise.resolve();
      },
    });
  const members = [await member("first"), await member("second")];
  await bus.send("t", record("a"));
  await world.advance(1_000);
  assert.deepEqual(calls, ["first a at 0", "second a at 100"]);
  for (const one of members) await one.close();
  await bus.close();
});

Deno.test("memoryBus() takes turns between members that are equally idle", async () => {
  const bus = memoryBus({ world: new VirtualWorld() });
  await bus.createTopic("t");
  const shares = [0, 0, 0];
  for (const index of shares.keys()) {
    await bus.consume({
      topic: "t",
      group: "g",
      handle: () => Promise.resolve(void shares[index]!++),
    });
  }
  for (let i = 0; i < 30; i++) {
    await bus.send("t", record("a"));
    await drainMicrotasks();
  }
  assert.deepEqual(shares, [10, 10, 10]);
  await bus.close();
});

Deno.test("memoryBus() does nothing after its close, whatever was waiting", async () => {
  const world = new VirtualWorld();
  const bus = memoryBus({ world });
  await bus.createTopic("t");
  let calls = 0;
  await bus.consume({
    topic: "t",
    group: "g",
    handle: () => Promise.reject(new Error(`call ${++calls}`)),
  });
  await bus.send("t", record("a"));
  await drainMicrotasks();
  await bus.close();
  await world.advance(10_000);
  assert.equal(calls, 1);
  assert.equal(world.pendingTimers, 0);
});

Deno.test("memoryBus() keeps no record that every group is done with, but a few", async () => {
  const bus = memoryBus({ world: new VirtualWorld() });
  await bus.createTopic("t");
  await bus.consume({ topic: "t", group: "g", handle: () => Promise.resolve() });
  for (let i = 0; i < 10_000; i++) {
    await bus.send("t", record("a"));
    if (i % 100 === 0) await drainMicrotasks();
  }
  let kept = 0;
  const follower = await bus.follow({ topic: "t", from: "beginning", handle: () => kept++ });
  await follower.caughtUp;
  assert.ok(kept >= 1_024 && kept < 2_048, `${kept} are kept`);
  await bus.close();
});

Deno.test("memoryBus() refuses options that are out of range", () => {
  assert.throws(() => memoryBus({ maxRecords: 0 }), {
    name: "RangeError",
    message: "Cannot make a bus as 'maxRecords' must be a positive integer: current value is 0",
  });
});

Deno.test("memoryBus() in virtual time is the same run for the same seed", async () => {
  async function run(seed: number): Promise<string> {
    const world = new VirtualWorld({ seed });
    const bus = memoryBus({ world });
    await bus.createTopic("t");
    const log: string[] = [];
    for (const name of ["a", "b", "c"]) {
      await bus.consume({
        topic: "t",
        group: "g",
        maxInFlight: 3,
        handle: async (record) => {
          log.push(`${world.monotonicMs()} ${name} ${textOf(record)}`);
          await new Promise<void>((resolve) => world.setTimeout(resolve, 20 * world.random()));
          if (world.random() < 0.2) throw new Error("not this time");
        },
      });
    }
    for (let i = 0; i < 300; i++) {
      world.setTimeout(() => void bus.send("t", record(String(i))), 1_000 * world.random());
    }
    await world.runUntilIdle();
    await bus.close();
    return log.join("\n");
  }
  const first = await run(1);
  assert.equal(await run(1), first);
  assert.notEqual(await run(2), first);
  assert.equal(new Set(first.split("\n").map((line) => line.split(" ")[2])).size, 300);
});

Deno.test("memoryBus() describes a topic, by an id that is another when it is made again", async () => {
  const bus = memoryBus();
  assert.equal(await bus.describeTopic("t"), undefined);
  await bus.createTopic("t");
  const first = (await bus.describeTopic("t"))!;
  assert.equal(first.partitions, 1);
  await bus.deleteTopic("t");
  assert.equal(await bus.describeTopic("t"), undefined);
  await assert.rejects(bus.send("t", record("x")), { kind: "unknown-topic" });
  await bus.createTopic("t");
  const second = (await bus.describeTopic("t"))!;
  assert.notEqual(second.id, first.id);
  assert.ok([first, second].every(({ id }) => Number(id) >= 0), `${first.id} ${second.id}`);
  await bus.close();
  assert.equal(await bus.describeTopic("t"), undefined);
});

Deno.test("memoryBus() knows the topics that begin so and nobody follows", async () => {
  const bus = memoryBus();
  for (const name of ["a.1", "a.2", "b.a.", "a.3"]) await bus.createTopic(name);
  const follower = await bus.follow({ topic: "a.3", from: "end", handle: () => {} });
  assert.deepEqual(await bus.unfollowedTopics("a."), ["a.1", "a.2"]);
  await follower.close();
  assert.deepEqual(await bus.unfollowedTopics("a."), ["a.1", "a.2", "a.3"]);
  await bus.close();
});

Deno.test("memoryBus()'s errors say what, how much and where; its readers begin well", async () => {
  const bus = memoryBus({ maxValueBytes: 3, maxRecords: 2 });
  const long = "n".repeat(200);
  await assert.rejects(bus.createTopic(`${long} `), {
    message: `'${"n".repeat(100)}' cannot name a topic.`,
  });
  await assert.rejects(bus.send(long, record("x")), {
    message: `There is no topic '${"n".repeat(100)}'.`,
  });
  await bus.createTopic("t");
  await bus.createTopic("kept", { compacted: true });
  await bus.send("t", record("xxx"));
  await assert.rejects(bus.send("t", record("xxxx")), {
    kind: "too-large",
    message: "4 bytes are more than the 3 that a record may have.",
  });
  await assert.rejects(
    bus.consume({ topic: "kept", group: "g", handle: () => Promise.resolve() }),
    { name: "TypeError", message: "A compacted topic is for followers, not groups." },
  );
  const states: unknown[] = [];
  const onState = (state: unknown) => states.push(state);
  const handle = () => new Promise<void>(() => {});
  const reader = await bus.consume({ topic: "t", group: "g", maxInFlight: 1, handle, onState });
  const follower = await bus.follow({ topic: "t", from: "end", handle: () => {}, onState });
  assert.deepEqual(states, ["ok", "ok"]);
  await assert.rejects(async () => {
    for (let i = 0; i < 10; i++) await bus.send("t", record("x"));
  }, { kind: "overloaded", message: "2 records wait in 't' already." });
  await reader.close(AbortSignal.abort());
  await follower.close();
  await bus.close();
  assert.throws(() => memoryBus({ maxRecords: 0 }), /Cannot make a bus.*maxRecords/);
});

Deno.test("memoryBus() keeps of a compacted topic each key's last record, and is full of too many keys", async () => {
  const bus = memoryBus({ maxRecords: 400 });
  await bus.createTopic("t", { compacted: true });
  const send = (key: string, value: string | null) =>
    bus.send("t", { key, headers: [], value: value === null ? null : record(value).value });
  for (let number = 0; number < 509; number++) await send("same", `${number}`);
  await send("other", "x");
  await send("gone", "x");
  // The 512th: what is behind is swept.
  await send("gone", null);
  const read: string[] = [];
  const follower = await bus.follow({
    topic: "t",
    from: "beginning",
    handle: (one) => void read.push(`${one.key} ${textOf(one)} ${one.offset}`),
  });
  await follower.caughtUp;
  assert.deepEqual(read, ["same 508 508", "other x 509"]);
  await follower.close();

  let kept = 2;
  await assert.rejects(async () => {
    for (; kept < 2_000; kept++) await send(`key ${kept}`, "x");
  }, { kind: "overloaded" });
  assert.equal(kept, 801, "twice what waits at most, and the one that makes it too much");
  await bus.close();
});

Deno.test("memoryBus() keeps what a group has not done with, and a thousand records for one to come", async () => {
  const bus = memoryBus({ maxRecords: 1_400 });
  await bus.createTopic("t");
  for (let number = 0; number < 2_560; number++) await bus.send("t", record(`${number}`));
  const first = async (group: string) => {
    const seen = Promise.withResolvers<string>();
    const reader = await bus.consume({
      ...{ topic: "t", group, maxInFlight: 1 },
      handle: (one) => {
        seen.resolve(textOf(one));
        return new Promise(() => {});
      },
    });
    const value = await seen.promise;
    return { reader, value };
  };
  const newcomer = await first("late");
  assert.equal(newcomer.value, `${2_560 - 1_024}`);
  // It stands still: what it waits for stays, up to the limit.
  let sent = 0;
  await assert.rejects(async () => {
    for (; sent < 2_000; sent++) await bus.send("t", record("more"));
  }, { kind: "overloaded" });
  const second = await first("later");
  assert.equal(second.value, newcomer.value);
  for (const { reader } of [newcomer, second]) await reader.close(AbortSignal.abort());
  await bus.close();
});

Deno.test("a follower that is closed takes nothing of what was sent before", async () => {
  const bus = memoryBus();
  await bus.createTopic("t");
  await bus.send("t", record("a"));
  const read: string[] = [];
  const handle = (one: ReceivedRecord) => void read.push(textOf(one));
  const follower = await bus.follow({ topic: "t", from: "beginning", handle });
  const closing = follower.close();
  await closing;
  await follower.caughtUp;
  await bus.send("t", record("b"));
  await drainMicrotasks();
  assert.ok(!read.includes("b"), `${read}`);
  const other: string[] = [];
  const late = await bus.follow({
    topic: "t",
    from: "end",
    handle: (one) => void other.push(textOf(one)),
  });
  await Promise.all([bus.send("t", record("c")), late.close()]);
  await drainMicrotasks();
  assert.deepEqual(other, [], "it was sent, and the follower closed before its turn");
  await bus.close();
});
