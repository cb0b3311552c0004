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
