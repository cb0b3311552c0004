import assert from "node:assert/strict";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import type { RecordStore } from "./record_store.ts";
import { openStoreClock } from "./store_clock.ts";
import { StoreError } from "./store_error.ts";

Deno.test("the store's clock is the same at servers whose own are minutes apart", async () => {
  const world = new VirtualWorld();
  const aheadMs = 7 * 60_000;
  let isAway = false;
  const store = {
    run: () =>
      isAway
        ? Promise.reject(new StoreError("unavailable", "away"))
        : Promise.resolve(world.nowMs() + aheadMs),
  } as unknown as Pick<RecordStore, "run">;
  const clock = await world.runUntil(openStoreClock({ store, world, syncIntervalMs: 1_000 }));
  assert.equal(clock.world.nowMs(), world.nowMs() + aheadMs);
  isAway = true;
  await world.advance(5_500);
  assert.equal(clock.world.nowMs(), world.nowMs() + aheadMs, "it goes on while the store is away");
  clock.close();
});

Deno.test("an answer that was long on its way does not move the store's clock", async () => {
  const world = new VirtualWorld();
  let delayMs = 0;
  const store = {
    run: () =>
      new Promise<number>((resolve) => {
        const nowMs = world.nowMs();
        world.setTimeout(() => resolve(nowMs), delayMs);
      }),
  } as unknown as Pick<RecordStore, "run">;
  const clock = await world.runUntil(openStoreClock({ store, world, syncIntervalMs: 10_000 }));
  delayMs = 8_000;
  await world.advance(30_000);
  assert.equal(clock.world.nowMs(), world.nowMs());
  clock.close();
});

Deno.test("the store's clock follows the store's, from the middle of the way to it and back", async () => {
  const world = new VirtualWorld();
  const asked: unknown[] = [];
  let aheadMs = 5_000;
  const store = {
    run: (command: unknown) => {
      asked.push(command);
      return new Promise<number>((resolve) => {
        world.setTimeout(() => {
          const nowMs = world.nowMs() + aheadMs;
          world.setTimeout(() => resolve(nowMs), 500);
        }, 500);
      });
    },
  } as unknown as Pick<RecordStore, "run">;
  const clock = await world.runUntil(openStoreClock({ store, world, syncIntervalMs: 10_000 }));
  assert.equal(clock.world.nowMs(), world.nowMs() + 5_000);
  aheadMs = 9_000;
  // A whole second is not too long.
  await world.advance(12_000);
  assert.equal(clock.world.nowMs(), world.nowMs() + 9_000);
  assert.deepEqual(asked, Array(asked.length).fill({ type: "clock" }));
  clock.close();
  await world.advance(60_000);
  assert.equal(world.pendingTimers, 0, "it asks no more");
});

Deno.test("a first answer counts however long it was on its way", async () => {
  const world = new VirtualWorld();
  const store = {
    run: () => new Promise<number>((resolve) => world.setTimeout(() => resolve(77_000), 4_000)),
  } as unknown as Pick<RecordStore, "run">;
  const clock = await world.runUntil(openStoreClock({ store, world }));
  assert.equal(clock.world.nowMs(), 77_000 + 2_000);
  clock.close();
  await world.runUntilIdle();
});

Deno.test("a mistake of ours is not taken for a store that is away", async () => {
  const world = new VirtualWorld();
  let asked = 0;
  const store = {
    run: () => asked++ === 0 ? Promise.resolve(0) : Promise.reject(new TypeError("a mistake")),
  } as unknown as Pick<RecordStore, "run">;
  const clock = await openStoreClock({ store, world, syncIntervalMs: 1_000 });
  const uncaught = Promise.withResolvers<unknown>();
  const onUncaught = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    uncaught.resolve(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", onUncaught);
  await world.advance(1_000);
  assert.match(String(await uncaught.promise), /a mistake/);
  globalThis.removeEventListener("unhandledrejection", onUncaught);
  clock.close();
});

Deno.test("a world by the store's clock is otherwise the one that it was opened with", async () => {
  const store = { run: () => Promise.resolve(0) } as unknown as Pick<RecordStore, "run">;
  const world = new VirtualWorld({ seed: 7 });
  const same = new VirtualWorld({ seed: 7 });
  const clock = await openStoreClock({ store, world });
  const fired: string[] = [];
  const { world: by } = clock;
  assert.equal(by.random(), same.random());
  assert.deepEqual(by.randomBytes(4), same.randomBytes(4));
  assert.equal(by.randomUuid(), same.randomUuid());
  by.setTimeout(() => fired.push("timeout"), 10);
  by.clearTimeout(by.setTimeout(() => fired.push("taken back"), 10));
  const interval = by.setInterval(() => fired.push("interval"), 10);
  await world.advance(15);
  assert.equal(by.monotonicMs(), 15);
  by.clearInterval(interval);
  await world.advance(15);
  assert.deepEqual(fired, ["timeout", "interval"]);
  clock.close();
  assert.equal(world.pendingTimers, 0);
});
