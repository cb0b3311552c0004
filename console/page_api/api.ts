/**
 * What the console's page port speaks: its paths and the shape of every JSON answer; the live
 * stream's events are in `stream_events.ts`. Types and constants only, so that the page imports the
 * same files as the server.
 *
 * Rules that hold everywhere:
 * - Ids are lower-case hex: 32 characters for a trace, 16 for a span.
 * - Names ending in `Ms` are milliseconds since the epoch (or a length of time), with decimals.
 *   Jaeger's own answers keep Jaeger's microseconds.
 * - Durations in parameters are `250`, `250us`, `1.5ms`, `2s`, `15m`, `1h`; a bare number is
 *   microseconds, as in Jaeger's query API.
 * - Errors are problem details (RFC 9457, `application/problem+json`): {@linkcode ProblemDetails}.
 * - All text comes from the senders of telemetry: show it as text, never as markup.
 *
 * @module
 */
import type { ListedProgram } from "../../service/program_list.ts";
import type { JaegerAnswer } from "./jaeger_api.ts";

/** Every path of the page port that answers with data. `{…}` stands for a path segment. */
export const apiPaths = {
  /** `GET` → {@linkcode ServicesAnswer}. */
  services: "/api/services",
  /** `GET`, parameter `service` (needed), as Jaeger's → {@linkcode OperationsAnswer}. */
  operations: "/api/operations",
  /** `GET`, Jaeger's path → {@linkcode JaegerAnswer} of operation names. */
  serviceOperations: "/api/services/{service}/operations",
  /** `GET`, parameters {@linkcode TraceQuery} → {@linkcode SummariesAnswer}, newest first. */
  summaries: "/api/summaries",
  /** `GET`, parameters {@linkcode TraceQuery} → {@linkcode JaegerAnswer} of whole {@linkcode JaegerTrace}s, newest first. */
  traces: "/api/traces",
  /**
   * `GET`: OTLP's JSON, which can be sent to `/v1/…` or imported again. `what` is `traces` (with
   * {@linkcode TraceQuery} or `traceID`; at most `limit`, 1,500 by default), `logs` (with
   * {@linkcode LogQuery}; at most 2,000) or `all`: everything held, a request a line.
   *
   * @default what=traces
   */
  export: "/api/export",
  /** `POST` of such a file, one request or one a line → {@linkcode ImportAnswer}; 400 names the line that is none. */
  import: "/api/import",
  /** `GET` → {@linkcode JaegerAnswer} with one {@linkcode JaegerTrace}; 404 when it is not (or no longer) held. */
  trace: "/api/traces/{traceId}",
  /** `GET` → {@linkcode SpanExtra}; 404 when the trace or the span is not held. */
  span: "/api/traces/{traceId}/spans/{spanId}",
  /** `GET` → the trace as one HTML file that opens without a server. */
  tracePage: "/api/traces/{traceId}/page",
  /** `GET`, parameters {@linkcode LogQuery} → {@linkcode LogsAnswer}, newest first. */
  logs: "/api/logs",
  /** `GET` → {@linkcode LogDetail}; 404 when it is not (or no longer) held. */
  log: "/api/logs/{seq}",
  /** `GET` → {@linkcode MetricsAnswer}; with `name` (and {@linkcode MetricQuery}) → {@linkcode MetricDataAnswer}. */
  metrics: "/api/metrics",
  /** `GET`, parameters `endTs` and `lookback` in milliseconds as Jaeger's → {@linkcode DependenciesAnswer}. */
  dependencies: "/api/dependencies",
  /** `GET`, parameters `for` (`traces` or `logs`) and `key` for the values of one → {@linkcode SuggestionsAnswer}. */
  suggestions: "/api/suggestions",
  /** `GET`, parameter `lookback` (5m) → {@linkcode MapAnswer}. */
  map: "/api/map",
  /** `GET`, parameter `lookback` (15m) → {@linkcode RatesAnswer}. */
  rates: "/api/rates",
  /** `GET` → {@linkcode NoticesAnswer}. */
  notices: "/api/notices",
  /** `GET` → `StatsEvent` of `stream_events.ts`, the same as the stream's `stats`. */
  stats: "/api/stats",
  /** `GET`, parameters `StreamQuery` of `stream_events.ts`: server-sent events, its `StreamEvents`. */
  stream: "/api/stream",
  /** `DELETE`: forgets everything received so far → 204. Only from the page's own origin or from no browser at all. */
  data: "/api/data",
} as const;

/** The path of a trace. */
export function tracePath(traceId: string): string {
  return apiPaths.trace.replace("{traceId}", encodeURIComponent(traceId));
}

/** The path of what Jaeger's JSON has no place for. */
export function spanPath(traceId: string, spanId: string): string {
  return apiPaths.span.replace("{traceId}", encodeURIComponent(traceId))
    .replace("{spanId}", encodeURIComponent(spanId));
}

/** The path of the log records that stand in a trace: more would bury its spans. */
export function traceLogsPath(traceId: string): string {
  return `${apiPaths.logs}?traceId=${encodeURIComponent(traceId)}&limit=500`;
}

/** A problem (RFC 9457). `title` names the kind, `detail` says what happened and what to do. */
export interface ProblemDetails {
  type: string;
  title: string;
  status: number;
  detail?: string;
  /** The query parameter that is wrong, where there is one. */
  parameter?: string;
}

/** The value of an attribute. Integers beyond 2^53 come as decimal strings, bytes as base64. */
export type AttributeValue =
  | string
  | number
  | boolean
  | null
  | AttributeValue[]
  | { [key: string]: AttributeValue };

/** Attributes by key. */
export type Attributes = Record<string, AttributeValue>;

// Services

/** A service (`service.name`) that has sent something. */
export interface ServiceRow {
  name: string;
  /** Spans received since the console started (or was cleared). */
  spans: number;
  /** How many of them had the status ERROR. */
  errors: number;
  /** Log records received. */
  logs: number;
  /** When anything was first received from it: who came first keeps its colour. */
  firstSeenMs: number;
  /** When anything was last received from it. */
  lastSeenMs: number;
}

/** Jaeger's clients read `data`; the page reads `services`. */
export interface ServicesAnswer extends JaegerAnswer<string> {
  /** Sorted by name. */
  services: ServiceRow[];
}

/** Operations (span names) of one service, sorted by name. */
export type OperationsAnswer = JaegerAnswer<{ name: string; spanKind: string }>;

// Traces

/** Parameters of the two trace lists. All may be left out; those given must all match. */
export interface TraceQuery {
  /** A trace with at least one span of this service. */
  service?: string;
  /** A trace with a span of this name (and of `service`, if given). */
  operation?: string;
  /** `true`: with an error in it; `false`: without. */
  error?: "true" | "false";
  /** At least this long: the trace in `/api/summaries`, the span in `/api/traces` as in Jaeger. */
  minDuration?: string;
  /** At most this long, likewise. */
  maxDuration?: string;
  /** With a span (of `service` and `operation`, if given) of this kind, such as `server`. */
  spanKind?: string;
  /** Only traces that started at most this long before now, such as `15m`; `custom` is Jaeger UI's word for `start` and `end`. */
  lookback?: string;
  /** Jaeger: started at or after, microseconds since the epoch. */
  start?: string;
  /** Jaeger: started at or before, microseconds since the epoch. */
  end?: string;
  /** A JSON object of strings: one span (of `service` and `operation`, if given) has all of these attributes (its own, its resource's or an event's). May be given again. */
  tags?: string;
  /** Jaeger's older form of the same, `key:value`. May be given again. */
  tag?: string;
  /** A search: conditions and words, see `../queries/search_language.ts`. */
  q?: string;
  /** At most this many. @default 20 for traces, 200 for summaries; at most 1,500 */
  limit?: string;
}

/** How much of a trace one service made. */
export interface TraceService {
  name: string;
  spans: number;
  errors: number;
}

/** A row of the trace list. It changes as more of its spans arrive: the newest one wins. */
export interface TraceSummary {
  traceId: string;
  /** Name of the root span; of the earliest span while the root has not been seen. */
  rootName: string;
  /** Service of that span. */
  rootService: string;
  /** In order of first appearance in time; at most 32 of them. */
  services: TraceService[];
  startMs: number;
  durationMs: number;
  spanCount: number;
  errorCount: number;
  /** The root is here and no span's parent is missing. */
  complete: boolean;
}

/** Answer of `/api/summaries`. */
export interface SummariesAnswer {
  /** Newest first. */
  traces: TraceSummary[];
  /** Traces that matched, including those beyond `limit`. */
  matched: number;
  /** Traces held at all. */
  held: number;
}

/** The other end of a link. */
export interface LinkEnd {
  traceId: string;
  spanId: string;
  /** Of the link itself, as are the attributes. */
  traceState: string;
  attributes: Attributes;
  /** The span's name and service; absent where it is not held. */
  name?: string;
  service?: string;
}

/** What OTLP says of a span beyond {@linkcode JaegerSpan}. */
export interface SpanExtra {
  scope: { name: string; version: string; attributes: Attributes; schemaUrl: string };
  traceState: string;
  /** OTLP's: W3C's trace flags in the lowest eight bits. */
  flags: number;
  /** What its sender left out. */
  dropped: { attributes: number; events: number; links: number };
  links: LinkEnd[];
  /** Spans that link here, at most 100, of the traces held. */
  linkedFrom: LinkEnd[];
}

/** How often, how well, how fast. */
export interface MapFigures {
  calls: number;
  /** How many of them had the status ERROR. */
  errors: number;
  /** Calls a second. */
  rate: number;
  /** Of the called spans, in milliseconds; 0 where there were no calls. */
  p95Ms: number;
}

/** A service, or a topic between producers and consumers, whose name begins with `topic `. */
export interface MapNode extends MapFigures {
  name: string;
  kind: "service" | "topic";
  /** `service.namespace`; empty if there is none. */
  namespace: string;
  /** When anything was last received from it; null for topics, and for programs that have sent nothing. */
  lastSeenMs: number | null;
  /** The newest trace that it is in, of the time looked at; null if there is none. */
  lastTraceId: string | null;
  /** How it is, where it is a program of the same demo: known at once. */
  program?: ListedProgram;
}

/** A caller and a callee. */
export interface MapEdge extends MapFigures {
  from: string;
  to: string;
}

/** Answer of `/api/map`. */
export interface MapAnswer {
  /** At most 100, the busiest, sorted by name. */
  nodes: MapNode[];
  /** At most 400, most calls first. */
  edges: MapEdge[];
  /** The time that it is about, in seconds: less than was asked for where less is held. */
  seconds: number;
  nodesInAll: number;
}

/** Answer of `/api/rates`: how often, how well and how fast each service works, from the spans held. */
export interface RatesAnswer {
  /** Time from point to point, in milliseconds. */
  stepMs: number;
  /** Ends of the steps, ascending: those that are over, and of which spans are held. At most 120. */
  timesMs: number[];
  /** At most 20, the busiest first. */
  services: ServiceRates[];
}

/** A service over time: each list has a value for each of `timesMs`. */
export interface ServiceRates {
  name: string;
  /** Times it was called, got a message or began by itself. */
  calls: number;
  errors: number;
  /** Calls a second. */
  rates: number[];
  /** 0 to 1; null where there were no calls. */
  errorShares: (number | null)[];
  /** Milliseconds; null where there were no calls. */
  p95sMs: (number | null)[];
}

/** A way to go on in a search. */
export interface Suggestion {
  text: string;
  /** How often it was seen among the newest spans or records; absent for keys of the language. */
  count?: number;
  /** What it means, for keys of the language. */
  detail?: string;
}

/** Answer of `/api/suggestions`, at most some 200: keys of the language first, then the most frequent. */
export interface SuggestionsAnswer {
  suggestions: Suggestion[];
}

// What was refused

/** What was refused, cut or mended of what one sender sent, for one reason. */
export interface NoticeRow {
  signal: "traces" | "metrics" | "logs";
  /** `service.name`; of a request that could not be read, its `User-Agent`. */
  sender: string;
  /** A word for it: a reason of `partial_success`, `cut`, `left_out`, `http_415`, … */
  reason: string;
  /** The same in a sentence. */
  detail: string;
  /** Items, or requests where they could not be read. */
  count: number;
  firstMs: number;
  lastMs: number;
  /** The last one's name; empty if it has none. */
  example: string;
}

/** Answer of `/api/notices`, the latest first; at most 200. */
export interface NoticesAnswer {
  notices: NoticeRow[];
}

/** Answer of `/api/import`. */
export interface ImportAnswer {
  /** Requests taken in. */
  requests: number;
  /** Spans, points and records of them that were refused. */
  refused: number;
  /** Why, at most 20. */
  reasons: string[];
}

/** Paths that are the page's own and answer with its HTML. `/metrics` is not: it is Prometheus's text. */
export const pagePaths = {
  traces: "/",
  trace: "/traces/{traceId}",
  charts: "/charts",
  logs: "/logs",
  status: "/status",
  map: "/map",
  /** Parameters `trace`, or `service` and `operation`. */
  flame: "/flame",
  /** Parameters `a` and `b`, ids of traces. */
  compare: "/compare",
} as const;
