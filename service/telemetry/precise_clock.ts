/**
 * The wall clock in the resolution of the monotonic one. A wall clock of whole milliseconds beside
 * durations of microseconds makes children outlive their parents.
 *
 * @module
 */
import type { World } from "../world/world.ts";

/**
 * See the module. It agrees with the wall clock to the millisecond, also after that was set; spans
 * of one program are in the order in which they began.
 *
 * @example
 * ```ts
 * const clock = new PreciseClock(world);
 * clock.nowMs(world.monotonicMs()); // 1795000000000.417
 * ```
 */
export class PreciseClock {
  readonly #world: Pick<World, "nowMs">;
  /** The wall clock less the monotonic one, as far as it is known. */
  #offsetMs = -Infinity;

  constructor(world: Pick<World, "nowMs">) {
    this.#world = world;
  }

  /** The wall clock's time at this moment, which the monotonic clock calls `monotonicMs`. */
  nowMs(monotonicMs: number): number {
    const wallMs = this.#world.nowMs();
    const preciseMs = this.#offsetMs + monotonicMs;
    // Within its millisecond the wall clock says nothing against it.
    if (preciseMs >= wallMs && preciseMs < Math.floor(wallMs) + 1) return preciseMs;
    // A little ahead, as it was set by a reading late in its millisecond: it comes back by that much.
    const correctedMs = preciseMs > wallMs && preciseMs < wallMs + 2
      ? Math.max(wallMs, Math.floor(wallMs) + 0.999)
      : wallMs;
    this.#offsetMs = correctedMs - monotonicMs;
    return correctedMs;
  }
}
