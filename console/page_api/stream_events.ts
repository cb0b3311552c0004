/**
 * What the console's live stream (`/api/stream`) speaks: its parameters, its events, and the state
 * of the console that `stats` and `hello` carry. Types and constants only, as in `api.ts`, whose
 * rules for ids, times and texts hold here too.
 *
 * @module
 */
import type { ServiceRow, TraceSummary } from "./api.ts";
import type { LogRow } from "./logs_api.ts";

/**
 * Parameters of `/api/stream`. `signals` chooses the events (`traces`, `logs`, `metrics`; comma
 * between; all when left out). The filters mean what they mean in `TraceQuery` and `LogQuery`
 * of `api.ts`; `service` and `q` hold for traces and logs.
 */
export interface StreamQuery {
  signals?: string;
  service?: string;
  q?: string;
  operation?: string;
  error?: "true" | "false";
  minDuration?: string;
  maxDuration?: string;
  tags?: string;
  severity?: string;
  traceId?: string;
  /** The same as the header `Last-Event-ID`, for a page that opens its stream again. */
  lastEventId?: string;
}

/**
 * The events by name. `traces` and `logs` carry an `id:`; a browser that reconnects sends it back
 * as `Last-Event-ID` and gets what it missed first, marked `catchUp`. The server says `retry: 1000`
 * and sends a comment every 10 s when there is nothing else.
 */
export interface StreamEvents {
  /** First event of every connection. */
  hello: HelloEvent;
  /** At most 4 a second. */
  traces: TracesEvent;
  /** At most 4 a second. */
  logs: LogsEvent;
  /** At most 1 a second. */
  metrics: MetricsEvent;
  /** Services, at most 1 a second, when a figure has changed. At most 200, busiest first. */
  services: { services: ServiceRow[] };
  /** Each second. */
  stats: StatsEvent;
  /** The console was cleared: forget everything. */
  cleared: { atMs: number };
}

/** Names of the events, for `addEventListener`. */
export const streamEventNames = [
  "hello",
  "traces",
  "logs",
  "metrics",
  "services",
  "stats",
  "cleared",
] as const satisfies (keyof StreamEvents)[];

/** Who is there and what it can hold. */
export interface HelloEvent {
  /** Changes with every start of the console: another one than before means that all ids and data are new. */
  instance: string;
  version: string;
  startedMs: number;
  /** What came of `Last-Event-ID`: `none` (not given), `resumed` (all that was missed follows, as far as held), `reset` (another instance: reload). */
  resume: "none" | "resumed" | "reset";
  /** Where senders send, such as `http://127.0.0.1:4318`. */
  otlpEndpoint: string;
  /** What they put into `OTEL_EXPORTER_OTLP_HEADERS`; absent where nobody has to authenticate. */
  otlpHeaders?: string;
  limits: ConsoleLimits;
}

/** How many of what was seen are shown; equal while nothing is left out. */
export interface Sampled {
  shown: number;
  seen: number;
}

/** New and changed traces, oldest change first. */
export interface TracesEvent {
  traces: TraceSummary[];
  /** Matching traces that changed since the last event, and how many of them are in this one. */
  sampled: Sampled;
  /** True for what was missed between two connections. */
  catchUp?: true;
}

/** New log records, oldest first. */
export interface LogsEvent {
  logs: LogRow[];
  sampled: Sampled;
  catchUp?: true;
}

/** Names of metrics that have new points, at most 500. */
export interface MetricsEvent {
  names: string[];
}

/** The three signals. */
export type Signal = "traces" | "metrics" | "logs";

/** Counters of one signal; items are spans, data points, log records. Since the start or the last clear. */
export interface SignalStats {
  /** Items taken in, a second, over the last second. */
  perSecond: number;
  /** Items taken in. */
  received: number;
  /** Items held now. */
  held: number;
  /** The most that can be held. */
  capacity: number;
  /** Items that were held and had to make room for newer ones. */
  evicted: number;
  /** The time of the oldest item held: what is older was evicted, or never came. Null when nothing is held. */
  oldestMs: number | null;
  /** Items refused and reported to their sender (`partial_success`), by reason, such as `invalid_trace_id`, `series_limit`. */
  refused: Record<string, number>;
  /** Attributes cut or left out at the limits. */
  truncated: number;
}

/** Counters of `--forward`. */
export interface ForwardStats {
  /** Without credentials. */
  endpoint: string;
  /** Requests delivered. */
  delivered: number;
  /** Requests given up, by reason: `queue_full`, `refused` (a status that is not tried again), `retries_exhausted`, `shutdown`. */
  dropped: Record<string, number>;
  /** Attempts beyond the first. */
  retries: number;
  queuedRequests: number;
  queuedBytes: number;
  /** The last attempt's failure in a few words; null when it worked. */
  lastError: string | null;
}

/** Counters of `--store`. */
export interface StoreStats {
  /** Bytes of requests in the file, and the most there may be. */
  bytes: number;
  maxBytes: number;
  /** Requests written since the start. */
  written: number;
  /** Requests that the disk has refused, to be tried again. */
  waiting: number;
  /** Requests given up: they are in memory only. */
  dropped: number;
  /** Why the disk refuses; null while it takes. */
  lastError: string | null;
}

/** The state of the console itself. */
export interface StatsEvent {
  atMs: number;
  uptimeMs: number;
  traces: SignalStats & { tracesHeld: number; tracesCapacity: number };
  metrics: SignalStats & { seriesHeld: number; seriesCapacity: number };
  logs: SignalStats;
  requests: {
    /** Export requests answered 200. */
    accepted: number;
    /** Export requests answered otherwise, by status. */
    refused: Record<string, number>;
    /** Bytes of accepted request bodies, as they came. */
    bytes: number;
  };
  memory: {
    /** Resident set of the process. */
    rssBytes: number;
    /** Estimate of what the ring buffers hold. */
    heldBytes: number;
    /** The most they may hold. */
    limitBytes: number;
  };
  /** Null without `--store`. */
  store: StoreStats | null;
  /** Open streams, this one included. */
  streams: number;
  /** The first of `forwards`; null without `--forward`. */
  forward: ForwardStats | null;
  /** One for each endpoint that `--forward` names. */
  forwards: ForwardStats[];
}

/** The limits in force. Each is an option of the server and a flag of its command. */
export interface ConsoleLimits {
  /** Spans held, at least 1. @default 50_000 */
  maxSpans: number;
  /** Traces held, at least 1. @default 20_000 */
  maxTraces: number;
  /** Spans of one trace, at least 1. @default 10_000 */
  maxSpansPerTrace: number;
  /** Log records held, at least 1. @default 20_000 */
  maxLogs: number;
  /** Metric series held, at least 1. @default 5_000 */
  maxSeries: number;
  /** Points of one series, at least 1. @default 360 */
  maxPointsPerSeries: number;
  /** Services listed, at least 1; the one silent for longest makes room. @default 500 */
  maxServices: number;
  /** Characters of an attribute's value, of a name, of a log body, at least 1. @default 16_384 */
  maxValueLength: number;
  /** Attributes of one span, log record, event, link, resource or series, at least 1. @default 128 */
  maxAttributes: number;
  /** Events, and links, of one span, at least 1. @default 128 */
  maxEventsPerSpan: number;
  /** Estimated bytes held by all ring buffers together. @default 96 MiB */
  maxHeldBytes: number;
  /** Bytes of a request's body as it comes. @default 16 MiB */
  maxBodyBytes: number;
  /** Bytes of a request's body once decompressed. @default 64 MiB */
  maxDecompressedBytes: number;
}
