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
  #isResting = false;
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
    // A loop that works waits by the new one anyway.
    if (!this.#isResting) return;
    this.#isRescheduled = true;
    this.#woken.abort();
  }

  /** Has the loop work at once; if it works already, once more. */
  wake(): void {
    this.#isRescheduled = false;
    this.#woken.abort();
  }

  /** Waits for the interval, varied by a factor, or until it is woken. */
  rest(factor: number, options: WaitOptions): Promise<void> {
    return this.#wait(this.#restMs(factor), factor, options);
  }

  /** Waits before the first call, or until it is woken; another interval counts from then on. */
  delay(delayMs: number, options: WaitOptions): Promise<void> {
    return this.#wait(delayMs, 1, options);
  }

  #restMs(factor: number): number {
    return this.#intervalMs === 0 ? idleMs : this.#intervalMs * factor;
  }

  async #wait(firstMs: number, factor: number, { signal, ...options }: WaitOptions): Promise<void> {
    const stop = () => this.#woken.abort();
    signal?.addEventListener("abort", stop, { once: true });
    this.#isResting = true;
    let waitMs = firstMs;
    let isOver = signal?.aborted ?? false;
    while (!isOver) {
      this.#isRescheduled = false;
      const hasWaited = await pause(waitMs, { ...options, signal: this.#woken.signal });
      if (!hasWaited) this.#woken = new AbortController();
      const goesOn = hasWaited ? waitMs === idleMs : this.#isRescheduled;
      isOver = !goesOn || (signal?.aborted ?? false);
      waitMs = this.#restMs(factor);
    }
    this.#isResting = false;
    signal?.removeEventListener("abort", stop);
  }
}
