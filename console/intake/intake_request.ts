/**
 * One export request on its way into the stores: what was kept, and what was refused and why.
 *
 * @module
 */
import type { Unreadable } from "../../service/otlp/lenient_decode.ts";
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

/** What is kept, but not as it was sent. */
const mendings = {
  cut:
    "values were cut or left out at the console's limits (--max-value-length, --max-attributes, --max-events-per-span)",
  left_out: "attributes, events or links could not be read and were left out",
  log_without_trace:
    "a log record's trace id or span id was none, so it was kept without it: ids are 16 and 8 bytes",
} as const;
/** See the table above. */
export type MendingReason = keyof typeof mendings;

/** What is told of what could not be read. */
type UnreadableCounts = Pick<Unreadable, "refused" | "leftOut" | "example">;

interface Counted {
  count: number;
  service: string;
  name: string;
}

/** One request under way. */
export class IntakeRequest {
  readonly #refused = new Map<RefusalReason, Counted>();
  readonly #mended = new Map<MendingReason, Counted>();
  kept = 0;
  /** The first service of the request: who sent what could not be read. */
  #sender = "";
  #truncatedBefore: number;
  #cutBefore: number;

  constructor(
    readonly store: TelemetryStore,
    readonly signal: Signal,
    readonly nowMs: number,
  ) {
    this.#truncatedBefore = store.reader.truncated;
    this.#cutBefore = this.#truncatedBefore;
  }

  /** The items that follow are of this service, whose resource has just been read. */
  from(service: string): void {
    if (this.#sender === "") this.#sender = service;
    this.cut(service, "");
  }

  /** Counts items that are not kept; `name` is the first one's, for who looks for it. */
  refuse(reason: RefusalReason, service: string, name: string, count = 1): void {
    if (count <= 0) return;
    countIn(this.#refused, reason, service, name, count);
    // One line a service, whatever else is in the request.
    const notice = { signal: this.signal, sender: service, reason, count, example: name };
    this.store.notices.add({ ...notice, detail: refusals[reason] }, this.nowMs);
  }

  /** Counts items that are kept, but not as they were sent. */
  mend(reason: MendingReason, service: string, name: string, count = 1): void {
    countIn(this.#mended, reason, service, name, count);
  }

  /** Counts what the reader has cut since the last call. */
  cut(service: string, name: string): void {
    const { truncated } = this.store.reader;
    if (truncated === this.#cutBefore) return;
    this.mend("cut", service, name, truncated - this.#cutBefore);
    this.#cutBefore = truncated;
  }

  /** Counts all that became of the request. */
  finish(unreadable?: UnreadableCounts): Refusal | undefined {
    const { signal, store, nowMs } = this;
    const counters = store.counters[signal];
    counters.received += this.kept;
    counters.truncated += store.reader.truncated - this.#truncatedBefore;
    if (unreadable !== undefined) this.#countUnreadable(unreadable);
    for (const [reason, { count, service, name }] of this.#mended) {
      store.notices.add(
        { signal, sender: service, reason, detail: mendings[reason], count, example: name },
        nowMs,
      );
    }
    if (this.#refused.size === 0) return undefined;
    let total = 0;
    const parts: string[] = [];
    for (const [reason, { count, service, name }] of this.#refused) {
      store.refuse(signal, reason, count);
      total += count;
      parts.push(
        `${count} ${reason}: ${refusals[reason]} (first: ${JSON.stringify(name)} of ${service})`,
      );
    }
    return { count: total, message: parts.join("; ") };
  }

  #countUnreadable({ refused, leftOut, example }: UnreadableCounts): void {
    const { signal, store, nowMs } = this;
    const sender = this.#sender || "unknown_service";
    if (leftOut > 0) {
      store.counters[signal].truncated += leftOut;
      this.mend("left_out", sender, "", leftOut);
    }
    if (refused === 0) return;
    store.refuse(signal, "malformed", refused);
    store.notices.add({
      signal,
      sender,
      reason: "malformed",
      detail: example?.reason ?? "",
      count: refused,
      example: example?.name ?? "",
    }, nowMs);
  }
}

function countIn<Reason>(
  counts: Map<Reason, Counted>,
  reason: Reason,
  service: string,
  name: string,
  count: number,
): void {
  const counted = counts.get(reason);
  if (counted === undefined) counts.set(reason, { count, service, name });
  else counted.count += count;
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
