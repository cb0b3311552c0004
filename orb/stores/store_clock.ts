/**
 * The clock that servers with the same records have in common: the store's. What one of them writes
 * and another compares with the time, such as when an orb reported last or when a token ends, goes by
 * it; their own clocks may be minutes apart, or be set while they run.
 *
 * @module
 */
import type { TimerId, World } from "../../service/world/world.ts";
import type { RecordStore } from "./record_store.ts";
import { StoreError } from "./store_error.ts";

/** Options of {@linkcode openStoreClock}. */
export interface StoreClockOptions {
  store: Pick<RecordStore, "run">;
  world: World;
  /** How often the store is asked, in milliseconds, at least 1. @default 30_000 */
  syncIntervalMs?: number;
}

/** A clock that goes with the store's. */
export interface StoreClock {
  /** The world by this clock: everything else is as in the world that it was opened with. */
  readonly world: World;
  /** Asks no more. */
  close(): void;
}

/** Beyond it the answer says too little of when it was given. */
const maxRoundTripMs = 1_000;

/**
 * Asks the store for the time, and again now and then. In between it goes on by the time that has
 * passed here, whatever the wall clock does.
 *
 * @throws {StoreError} the store cannot be read
 *
 * @example
 * ```ts
 * const clock = await openStoreClock({ store, world });
 * clock.world.nowMs(); // the store's
 * clock.close();
 * ```
 */
export async function openStoreClock(
  { store, world, syncIntervalMs = 30_000 }: StoreClockOptions,
): Promise<StoreClock> {
  /** What is to be added to the time that has passed here. */
  let aheadMs: number | undefined;

  async function sync(): Promise<void> {
    const askedMs = world.monotonicMs();
    const nowMs = await store.run({ type: "clock" });
    const answeredMs = world.monotonicMs();
    if (aheadMs !== undefined && answeredMs - askedMs > maxRoundTripMs) return;
    aheadMs = nowMs - (askedMs + answeredMs) / 2;
  }

  await sync();
  const timer: TimerId = world.setInterval(() => {
    sync().catch((error) => {
      // A store that is away says so itself; until it is back the clock goes on.
      if (!(error instanceof StoreError)) throw error;
    });
  }, syncIntervalMs);
  return {
    world: withClock(world, () => Math.floor(aheadMs! + world.monotonicMs())),
    close: () => world.clearInterval(timer),
  };
}

function withClock(world: World, nowMs: () => number): World {
  return {
    nowMs,
    monotonicMs: () => world.monotonicMs(),
    setTimeout: (callback, delayMs) => world.setTimeout(callback, delayMs),
    setInterval: (callback, intervalMs) => world.setInterval(callback, intervalMs),
    clearTimeout: (timer) => world.clearTimeout(timer),
    clearInterval: (timer) => world.clearInterval(timer),
    random: () => world.random(),
    randomBytes: (length) => world.randomBytes(length),
    randomUuid: () => world.randomUuid(),
  };
}
