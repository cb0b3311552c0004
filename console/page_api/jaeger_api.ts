/**
 * Jaeger's JSON, as its query API answers. Times are microseconds. The rules of `api.ts` for ids and
 * texts hold here too.
 *
 * @module
 */

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
