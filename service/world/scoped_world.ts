/**
 * A world for something that ends in the middle of its waiting, such as a simulated process that is
 * killed: all its timers are taken back at once.
 *
 * @module
 */
import type { TimerId, World } from "./world.ts";

/** A world that knows which of its timers are pending. */
export interface ScopedWorld extends World {
  /** How many are pending. */
  readonly pendingTimers: number;
  /** Takes back all that are pending; new ones may be set. */
  clearTimers(): void;
}

/**
 * The same time and chance as `world`, with timers of its own.
 *
 * @example
 * ```ts
 * const scope = scopedWorld(world);
 * const part = startPart(scope);
 * // It is killed.
 * scope.clearTimers();
 * ```
 */
export function scopedWorld(world: World): ScopedWorld {
  const timeouts = new Set<TimerId>();
  const intervals = new Set<TimerId>();
  return {
    nowMs: () => world.nowMs(),
    monotonicMs: () => world.monotonicMs(),
    random: () => world.random(),
    randomBytes: (length) => world.randomBytes(length),
    randomUuid: () => world.randomUuid(),
    setTimeout(callback, delayMs) {
      const timer = world.setTimeout(() => {
        timeouts.delete(timer);
        callback();
      }, delayMs);
      timeouts.add(timer);
      return timer;
    },
    setInterval(callback, intervalMs) {
      const timer = world.setInterval(callback, intervalMs);
      intervals.add(timer);
      return timer;
    },
    clearTimeout(timer) {
      if (timer !== undefined) timeouts.delete(timer);
      world.clearTimeout(timer);
    },
    clearInterval(timer) {
      if (timer !== undefined) intervals.delete(timer);
      world.clearInterval(timer);
    },
    get pendingTimers() {
      return timeouts.size + intervals.size;
    },
    clearTimers() {
      for (const timer of timeouts) world.clearTimeout(timer);
      for (const timer of intervals) world.clearInterval(timer);
      timeouts.clear();
      intervals.clear();
    },
  };
}
