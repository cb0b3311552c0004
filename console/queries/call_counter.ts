/**
 * Counts calls: how many there were, how many failed, and how long they took.
 *
 * @module
 */
import { statusError, type StoredSpan } from "../stores/trace_store.ts";

/** Calls of one kind, such as those of a service or along an edge of the map. */
export class CallCounter {
  calls = 0;
  errors = 0;
  readonly #maxDurations: number;
  readonly #durationsMs: number[] = [];

  /** @param maxDurations durations kept: enough for a p95, bounded however busy it is */
  constructor(maxDurations: number) {
    this.#maxDurations = maxDurations;
  }

  /** Takes note of a call. */
  add(span: StoredSpan): void {
    this.calls++;
    if (span.status === statusError) this.errors++;
    const durationMs = span.durationNs / 1e6;
    if (this.#durationsMs.length < this.#maxDurations) this.#durationsMs.push(durationMs);
    else this.#durationsMs[this.calls % this.#maxDurations] = durationMs;
  }

  /** Of 20 calls 19 take at most so long, in milliseconds; 0 where there were none. */
  get p95Ms(): number {
    const sorted = this.#durationsMs.toSorted((a, b) => a - b);
    return sorted[Math.max(0, Math.ceil(sorted.length * 0.95) - 1)] ?? 0;
  }
}
