/**
 * What the page port speaks of log records. The rules of `api.ts` hold here too.
 *
 * @module
 */
import type { Attributes } from "./api.ts";

/** Parameters of `/api/logs`. */
export interface LogQuery {
  service?: string;
  /** The logs of one trace. */
  traceId?: string;
  /** The logs of one span. */
  spanId?: string;
  /** The least severity: `trace`, `debug`, `info`, `warn`, `error`, `fatal`, or a number 1 to 24. */
  severity?: string;
  /** A search: conditions and words, see `../queries/search_language.ts`. */
  q?: string;
  /** Only records of at most this long before now. */
  lookback?: string;
  /** Only records older than this `seq`: for reading on. */
  before?: string;
  /** At most this many. @default 200; at most 2,000 */
  limit?: string;
}

/** A log record. */
export interface LogRow {
  /** Its place in the order of arrival; unique while the console runs. */
  seq: number;
  timeMs: number;
  /** OpenTelemetry's number, 1 to 24, or what the sender's word stands for; 0 when neither is known. */
  severityNumber: number;
  /** The sender's word, or the number's short name (`INFO`). */
  severity: string;
  service: string;
  scope: string;
  /** The body as text: a string as it is, anything else as JSON. */
  body: string;
  attributes: Attributes;
  eventName?: string;
  traceId?: string;
  spanId?: string;
}

/** Answer of `/api/logs/{seq}`: a record with where it comes from. */
export interface LogDetail extends LogRow {
  /** Attributes of the resource, without `service.name`. */
  resource: Attributes;
  scopeAttributes: Attributes;
  scopeVersion?: string;
  /** The schema that resource and scope are written by. */
  schemaUrl?: string;
  /** When it was seen by an SDK or collector, where that is not `timeMs`. */
  observedMs?: number;
}

/** Answer of `/api/logs`. */
export interface LogsAnswer {
  /** Newest (last arrived) first. */
  logs: LogRow[];
  /** True when older records match too: ask with `before` = the last `seq`. */
  more: boolean;
  /** Records held at all. */
  held: number;
}
