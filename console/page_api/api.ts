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

/** The envelope of Jaeger's HTTP query API. */
export interface JaegerAnswer<Item> {
  data: Item[];
  total: number;
  limit: number;
  offset: number;
  errors: { code: number; msg: string; traceID?: string }[] | null;
}

/** A tag or log field of Jaeger. An int64 beyond 2^53 is a decimal string; `binary` is base64. */
export interface JaegerKeyValue {
  key: string;
  type: "string" | "bool" | "int64" | "float64" | "binary";
  value: string | number | boolean;
}

/** What the console warns of when a span's times are not whole, word for word. */
export const spanWarnings = {
  noEnd: "the span has no end: it is still running, or its program ended before it did",
  noStart: "the span has no start time; it is shown at its end",
  noTimes: "the span has no times; it is shown when it arrived",
  backwards: "the span ends before it begins; its duration is shown as 0",
} as const;

/** A reference of a span to another: its parent, or (FOLLOWS_FROM) the target of a link. */
export interface JaegerReference {
  refType: "CHILD_OF" | "FOLLOWS_FROM";
  traceID: string;
  spanID: string;
}

/**
 * A span as Jaeger shows an OTLP span. Kind, status and scope are tags: `span.kind` (`server`,
 * `client`, `producer`, `consumer`, `internal`), `otel.status_code` (`OK`, `ERROR`),
 * `otel.status_description`, `error` (true), `otel.scope.name`, `otel.scope.version`,
 * `w3c.tracestate`. Span events are `logs`, their name the field `event`.
 */
export interface JaegerSpan {
  traceID: string;
  spanID: string;
  operationName: string;
  references: JaegerReference[];
  /** Microseconds since the epoch, whole. */
  startTime: number;
  /** Microseconds, whole. */
  duration: number;
  tags: JaegerKeyValue[];
  /** `timestamp` in microseconds since the epoch. */
  logs: { timestamp: number; fields: JaegerKeyValue[] }[];
  /** Key of `processes`. */
  processID: string;
  /** What the console noticed, such as attributes cut at its limits. */
  warnings: string[] | null;
}

/** A trace in Jaeger's JSON, its spans by start time. */
export interface JaegerTrace {
  traceID: string;
  spans: JaegerSpan[];
  /** By `p1`, `p2`, …: a service and its resource attributes (without `service.name`). */
  processes: Record<string, { serviceName: string; tags: JaegerKeyValue[] }>;
  warnings: string[] | null;
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

/** A caller, a callee, and how often: Jaeger's shape, errors added. */
export interface DependencyEdge {
  parent: string;
  child: string;
  callCount: number;
  /** How many of the called spans had the status ERROR. */
  errorCount: number;
}

/** Answer of `/api/dependencies`: counted over the spans held, most calls first. */
export type DependenciesAnswer = JaegerAnswer<DependencyEdge>;

/** How often, how well, how fast. */
export interface MapFigures {
  calls: number;
  /** How many of them had the status ERROR. */
  errors: number;
  /** Calls a second. */
  rate: number;
  /** Of the called spans, in milliseconds. */
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

// Logs

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

// Metrics

/** The kinds of metric of the OTLP data model. */
export type MetricType = "gauge" | "sum" | "histogram" | "exponentialHistogram" | "summary";

/** A metric: one name, any number of series. */
export interface MetricRow {
  name: string;
  type: MetricType;
  /** A sum that only grows: a counter. */
  monotonic: boolean;
  /** UCUM, as sent: `s`, `By`, `{request}`, `1`, or empty. */
  unit: string;
  description: string;
  /** Sorted. */
  services: string[];
  /** Number of series held. */
  series: number;
  lastSeenMs: number;
}

/** Answer of `/api/metrics`, sorted by name. */
export interface MetricsAnswer {
  metrics: MetricRow[];
}

/** Parameters of `/api/metrics?name=`. */
export interface MetricQuery {
  name: string;
  /** Of metrics with one name but several units: which one. Empty is a unit, too. @default the one received last */
  unit?: string;
  /** The same for types. */
  type?: MetricType;
  service?: string;
  /** @default "15m" */
  lookback?: string;
  /** At most this many series, the most recently updated first. @default 50; at most 500 */
  limit?: string;
}

/** Answer of `/api/metrics?name=`: 404 when no metric has the name. */
export interface MetricDataAnswer extends MetricRow {
  data: MetricSeries[];
  /** Series that matched, including those beyond `limit`. */
  matched: number;
}

/** One series: who sent it, its attributes, its points in order of time. */
export interface MetricSeries {
  service: string;
  /** `service.instance.id`, if given. */
  instance?: string;
  scope: string;
  /** @default none */
  scopeVersion?: string;
  attributes: Attributes;
  /** What of its resource (and scope) differs from that of the other series in the answer; absent if nothing does. */
  resource?: Attributes;
  points: MetricPoint[];
  /** The latest measurements that came with their span, at most 32; absent if there are none. */
  exemplars?: Exemplar[];
}

/** A measurement that stands for others, and the trace in which it was made. */
export interface Exemplar {
  timeMs: number;
  value: number;
  traceId: string;
  spanId?: string;
  /** What the series does not say of it. */
  attributes: Attributes;
}

/** A point, by the metric's type. */
export type MetricPoint = NumberPoint | HistogramPoint | SummaryPoint;

/** A point of a `gauge` or `sum`. */
export interface NumberPoint {
  timeMs: number;
  /** The gauge's value, or the sum's total (delta sums are added up). */
  value: number;
  /**
   * For a monotonic sum: growth per second in the point's own interval: since the point before, or
   * since the start that the sender gives. Null when neither is known.
   */
  rate: number | null;
}

/**
 * What a histogram counted in the point's own interval: since the point before, or since the start
 * that the sender gives. A first point without a start has none and is left out.
 */
export interface HistogramPoint {
  /** End of the interval. */
  timeMs: number;
  /** Beginning of the interval. */
  fromMs: number;
  /** Values counted in the interval. */
  count: number;
  /** Their sum; null when the sender gives none. */
  sum: number | null;
  /** `count` per second. */
  rate: number;
  /** `sum / count`; null when nothing was counted. */
  mean: number | null;
  /** By interpolation in the bucket; null when nothing was counted, or the sender has no buckets. */
  p50: number | null;
  p95: number | null;
  p99: number | null;
  /** Upper bound of each bucket that is not empty (null is infinity) and the values in it, lowest first. */
  buckets: [upperBound: number | null, count: number][];
}

/** A point of the old `summary` type. */
export interface SummaryPoint {
  timeMs: number;
  /** Totals as sent. */
  count: number;
  sum: number | null;
  /** Null is "no value", as when nothing was measured for some time. */
  quantiles: [quantile: number, value: number | null][];
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
