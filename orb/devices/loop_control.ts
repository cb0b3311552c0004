/**
 * How a loop is told something from outside while it waits: to work at once, or by another interval.
 *
 * @module
 */
import { pause, type WaitOptions } from "../../service/resilience.ts";

/** The longest wait of a loop that has no interval; then it looks again. */
const idleMs = 86_400_000;

/**
 * Holds a loop's interval.
 *
 * @example
 * ```ts
 * const control = new LoopControl(5_000);
 * control.wake(); // the rest that is under way ends
 * control.intervalMs = 1_000; // as does the one that is under way by an older interval
 * await control.rest(1, { signal: stopping, world });
 * ```
 */
export class LoopControl {
  #intervalMs: number;
  #woken = new AbortController();
  /** The loop was woken to wait by another interval, not to work. */
  #isRescheduled = false;

  /** @param intervalMs between two calls, in milliseconds; 0 waits until it is woken */
  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  /** Between two calls, in milliseconds; 0 for none. */
  get intervalMs(): number {
    return this.#intervalMs;
  }

  set intervalMs(intervalMs: number) {
    this.#intervalMs = intervalMs;
    this.#isRescheduled = true;
    this.#woken.abort();
  }

  /** Has the loop work at once. */
  wake(): void {
    this.#isRescheduled = false;
    this.#woken.abort();
  }

  /** Waits for the interval, varied by a factor, or until it is woken. */
  async rest(factor: number, { signal, ...options }: WaitOptions): Promise<void> {
    const stop = () => this.#woken.abort();
    signal?.addEventListener("abort", stop, { once: true });
    do {
      this.#isRescheduled = false;
      const restMs = this.#intervalMs === 0 ? idleMs : this.#intervalMs * factor;
      if (signal?.aborted) break;
      const isOver = await pause(restMs, { ...options, signal: this.#woken.signal });
      this.#woken = new AbortController();
      if (isOver && this.#intervalMs === 0) continue;
    } while (this.#isRescheduled && !signal?.aborted);
    signal?.removeEventListener("abort", stop);
  }
}
