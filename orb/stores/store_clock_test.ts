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
