/**
 * How many of something there were in the last minute, in twelve slices of five seconds: what is
 * kept of a device that signs up is 12 numbers, however often it does.
 *
 * @module
 */
const slices = 12;
const sliceMs = 5_000;

/**
 * A counter.
 *
 * @example
 * ```ts
 * const counter = new MinuteCounter();
 * counter.add(world.nowMs());
 * counter.count(world.nowMs()); // 1
 * ```
 */
export class MinuteCounter {
  readonly #counts = new Uint32Array(slices);
  /** The slice that was counted in last, since the epoch. */
  #last = 0;
  #sum = 0;

  /** False once all is past. */
  get isCounting(): boolean {
    return this.#sum > 0;
  }

  /** Counts one. */
  add(nowMs: number): void {
    this.#move(nowMs);
    this.#counts[this.#last % slices]!++;
    this.#sum++;
  }

  /** How many in the last 55 to 60 s. */
  count(nowMs: number): number {
    this.#move(nowMs);
    return this.#sum;
  }

  #move(nowMs: number): void {
    const slice = Math.floor(nowMs / sliceMs);
    // A clock that was set back stands still here.
    const passed = Math.min(slices, slice - this.#last);
    for (let step = 1; step <= passed; step++) {
      const at = (this.#last + step) % slices;
      this.#sum -= this.#counts[at]!;
      this.#counts[at] = 0;
    }
    if (passed === slices) this.#counts.fill(0);
    if (passed > 0) this.#last = slice;
  }
}
