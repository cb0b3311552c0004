/**
 * One export request on its way into the stores: what was kept, and what was refused and why.
 *
 * @module
 */
import type { Refusal } from "../../service/otlp/otlp_message.ts";
import type { Signal } from "../page_api/stream_events.ts";
import type { TelemetryStore } from "../stores/telemetry_store.ts";

/** Why an item was refused, and what its sender should know. */
const refusals = {
  invalid_trace_id: "trace_id must be 16 bytes, not all zero",
  invalid_span_id: "span_id must be 8 bytes, not all zero",
  invalid_parent_span_id: "parent_span_id must be empty or 8 bytes",
  trace_full: "its trace has reached the limit of spans or bytes",
  invalid_metric: "a metric needs a name and data points of a known type",
  invalid_point: "a data point needs a value, a time, and bounds and counts that fit together",
  series_limit: "there are too many different series",
  out_of_order: "a newer point of this series has arrived before",
} as const;
/** See the table above. */
export type RefusalReason = keyof typeof refusals;

/** One request under way. */
export class IntakeRequest {
  readonly reasons = new Map<RefusalReason, number>();
  kept = 0;
  #truncatedBefore: number;

  constructor(
    readonly store: TelemetryStore,
    readonly signal: Signal,
    readonly nowMs: number,
  ) {
    this.#truncatedBefore = store.reader.truncated;
  }

  refuse(reason: RefusalReason, count = 1): void {
    if (count > 0) this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + count);
  }

  finish(): Refusal | undefined {
    const counters = this.store.counters[this.signal];
    counters.received += this.kept;
    counters.truncated += this.store.reader.truncated - this.#truncatedBefore;
    if (this.reasons.size === 0) return undefined;
    let total = 0;
    const parts: string[] = [];
    for (const [reason, count] of this.reasons) {
      this.store.refuse(this.signal, reason, count);
      total += count;
      parts.push(`${count} ${reason}: ${refusals[reason]}`);
    }
    return { count: total, message: parts.join("; ") };
  }
}

/** The hex form of an id; undefined if it has another length or is all zero. */
export function hexId(bytes: Uint8Array, length: 8 | 16): string | undefined {
  if (bytes.length !== length) return undefined;
  for (let i = 0; i < length; i++) if (bytes[i] !== 0) return bytes.toHex();
  return undefined;
}

/** Whole microseconds of a time or a length of time. */
export function microseconds(nanoseconds: bigint): number {
  return Number(nanoseconds / 1000n);
}
