/**
 * The parameters of the page port's routes: parsed, checked, and turned into filters.
 *
 * @module
 */
import { realWorld, type World } from "../../service/world/world.ts";
import { ProblemError } from "../../service/problem.ts";
import type { StoredLog } from "../stores/log_store.ts";
import { spanKinds } from "./jaeger.ts";
import { logSearch, traceSearch } from "./search.ts";
import { SearchError } from "./search_language.ts";
import { statusError, type StoredSpan, type Trace } from "../stores/trace_store.ts";
import { attribute, type StoredValue, valueText } from "../intake/values.ts";

/** Reads parameters. */
export interface Parameters {
  /** One of them; undefined and empty both mean: not given. */
  (name: string): string | undefined;
  /** One that may be given again and again. @default at most once */
  all?(name: string): readonly string[];
}

/**
 * A wrong parameter: a 400 that names it.
 *
 * @example
 * ```ts
 * throw parameterProblem("service", "service must name a service.");
 * ```
 */
export function parameterProblem(parameter: string, detail: string): ProblemError {
  return new ProblemError(400, { title: "Bad parameter", detail, parameter });
}

/**
 * A whole number between bounds.
 *
 * @example
 * ```ts
 * const limit = integerParameter(parameters, "limit", { fallback: 20, max: 1_500 });
 * ```
 */
export function integerParameter(
  parameters: Parameters,
  name: string,
  bounds: { fallback: number; min?: number; max: number },
): number {
  const text = parameters(name);
  if (!text) return bounds.fallback;
  const { min = 1, max } = bounds;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min) {
    throw parameterProblem(name, `${name} must be a whole number of at least ${min}.`);
  }
  return Math.min(value, max);
}

const unitsUs: Record<string, number> = {
  "": 1,
  ns: 0.001,
  us: 1,
  "µs": 1,
  ms: 1_000,
  s: 1_000_000,
  m: 60_000_000,
  h: 3_600_000_000,
  d: 86_400_000_000,
};

/**
 * A duration such as `250us`, `1.5ms`, `2s`, `1h30m`, in microseconds; a bare number is
 * microseconds.
 *
 * @example
 * ```ts
 * durationParameter(() => "1.5ms", "minDuration"); // 1500
 * ```
 */
export function durationParameter(parameters: Parameters, name: string): number | undefined {
  const text = parameters(name);
  if (!text) return undefined;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d|$)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join("") !== text) {
    throw parameterProblem(
      name,
      `${name} must be a duration such as 250us, 1.5ms, 2s, 15m or 1h; a bare number is microseconds.`,
    );
  }
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * unitsUs[unit!]!, 0);
}

// Traces

/** A filter of traces. */
export interface TraceFilter {
  /** False when every trace matches. */
  readonly narrows: boolean;
  matches(trace: Trace): boolean;
}

/** Options of {@linkcode traceFilter}. */
export interface TraceFilterOptions {
  /** Time. @default the real world */
  world?: Pick<World, "nowMs">;
  /** Durations are those of the one span that is asked for, as in Jaeger's API; else of the trace. @default false */
  durationOfSpan?: boolean;
}

/**
 * Reads the parameters of `TraceQuery`, but for `limit`.
 *
 * @example
 * ```ts
 * const filter = traceFilter((name) => c.req.query(name), { world });
 * const traces = [...store.traces.newestFirst()].filter((trace) => filter.matches(trace));
 * ```
 */
export function traceFilter(
  parameters: Parameters,
  { world = realWorld, durationOfSpan = false }: TraceFilterOptions = {},
): TraceFilter {
  const service = parameters("service");
  const operation = parameters("operation");
  const error = booleanParameter(parameters, "error");
  const minUs = durationParameter(parameters, "minDuration");
  const maxUs = durationParameter(parameters, "maxDuration");
  const spanKind = spanKindParameter(parameters);
  // Jaeger UI's word for: see start and end.
  const lookbackUs = parameters("lookback") === "custom"
    ? undefined
    : durationParameter(parameters, "lookback");
  const startUs = microsecondsParameter(parameters, "start");
  const endUs = microsecondsParameter(parameters, "end");
  const tags = tagsParameter(parameters);
  const search = searchParameter(parameters, traceSearch);

  const spanTests: ((span: StoredSpan) => boolean)[] = [...search?.spanTests ?? []];
  if (service) spanTests.push((span) => span.source.service === service);
  if (operation) spanTests.push((span) => span.name === operation);
  if (spanKind !== undefined) spanTests.push((span) => span.kind === spanKind);
  if (durationOfSpan && minUs !== undefined) {
    spanTests.push((span) => span.durationNs >= minUs * 1000);
  }
  if (durationOfSpan && maxUs !== undefined) {
    spanTests.push((span) => span.durationNs <= maxUs * 1000);
  }
  if (tags.length > 0) spanTests.push((span) => tags.every((tag) => spanHasTag(span, ...tag)));

  const tests: ((trace: Trace) => boolean)[] = [];
  if (error !== undefined) tests.push((trace) => trace.errors > 0 === error);
  if (!durationOfSpan) {
    if (minUs !== undefined) tests.push((trace) => trace.endUs - trace.startUs >= minUs);
    if (maxUs !== undefined) tests.push((trace) => trace.endUs - trace.startUs <= maxUs);
  }
  if (lookbackUs !== undefined) {
    tests.push((trace) => trace.startUs >= world.nowMs() * 1000 - lookbackUs);
  }
  if (startUs !== undefined) tests.push((trace) => trace.startUs >= startUs);
  if (endUs !== undefined) tests.push((trace) => trace.startUs <= endUs);
  if (spanTests.length > 0) {
    tests.push((trace) => trace.spans.some((span) => spanTests.every((test) => test(span))));
  }
  // What looks at most comes last.
  if (search !== undefined) tests.push(...search.traceTests);
  return {
    narrows: tests.length > 0,
    matches: (trace) => tests.every((test) => test(trace)),
  };
}

/** The search of `q`; what is wrong with it is a 400 that names it. */
function searchParameter<Search>(
  parameters: Parameters,
  read: (text: string) => Search,
): Search | undefined {
  const text = parameters("q");
  if (!text) return undefined;
  try {
    return read(text);
  } catch (error) {
    if (error instanceof SearchError) throw parameterProblem("q", error.message);
    throw error;
  }
}

function spanKindParameter(parameters: Parameters): number | undefined {
  const text = parameters("spanKind")?.toLowerCase();
  if (!text) return undefined;
  const kind = spanKinds.findIndex((one) => one === text);
  if (kind < 1) {
    throw parameterProblem("spanKind", `spanKind is one of ${spanKinds.slice(1).join(", ")}.`);
  }
  return kind;
}

function booleanParameter(parameters: Parameters, name: string): boolean | undefined {
  const text = parameters(name);
  if (!text) return undefined;
  if (text !== "true" && text !== "false") {
    throw parameterProblem(name, `${name} must be true or false.`);
  }
  return text === "true";
}

function microsecondsParameter(parameters: Parameters, name: string): number | undefined {
  const text = parameters(name);
  if (!text) return undefined;
  if (!/^\d+$/.test(text)) {
    throw parameterProblem(name, `${name} must be microseconds since the epoch.`);
  }
  return Number(text);
}

/** `tags={"key":"value"}`, and Jaeger's older `tag=key:value`, each as often as wanted. */
function tagsParameter(parameters: Parameters): [key: string, value: string][] {
  const tags: [string, string][] = [];
  for (const text of every(parameters, "tags")) {
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch {
      parsed = undefined;
    }
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
      throw parameterProblem(
        "tags",
        'tags must be a JSON object such as {"http.response.status_code":"500"}.',
      );
    }
    for (const [key, value] of Object.entries(parsed)) tags.push([key, String(value)]);
  }
  for (const single of every(parameters, "tag")) {
    const colon = single.indexOf(":");
    if (colon < 1) throw parameterProblem("tag", "tag must be key:value.");
    tags.push([single.slice(0, colon), single.slice(colon + 1)]);
  }
  return tags;
}

function every(parameters: Parameters, name: string): readonly string[] {
  const one = parameters(name);
  const all = parameters.all?.(name) ?? (one === undefined ? [] : [one]);
  return all.filter((text) => text !== "");
}

function spanHasTag(span: StoredSpan, key: string, wanted: string): boolean {
  // What Jaeger shows as tags though OTLP has fields for it.
  if (key === "span.kind") return spanKinds[span.kind] === wanted;
  if (key === "error") {
    return (span.status === statusError) === (wanted === "true") ||
      textOf(attribute(span.attributes, key)) === wanted;
  }
  if (key === "otel.status_code") return (["", "OK", "ERROR"][span.status] ?? "") === wanted;
  const own = attribute(span.attributes, key);
  if (own !== undefined && textOf(own) === wanted) return true;
  // Jaeger looks in the process and in the span's logs, too.
  if (key === "service.name" && span.source.service === wanted) return true;
  const resource = attribute(span.source.attributes, key);
  if (resource !== undefined && textOf(resource) === wanted) return true;
  return span.events.some((event) =>
    (key === "event" && event.name === wanted) ||
    textOf(attribute(event.attributes, key)) === wanted && wanted !== ""
  );
}

function textOf(value: StoredValue | undefined): string {
  return value === undefined ? "" : valueText(value);
}

// Logs

/** A filter of log records. */
export interface LogFilter {
  readonly narrows: boolean;
  matches(log: StoredLog): boolean;
}

const severityFloors: Record<string, number> = {
  trace: 1,
  debug: 5,
  info: 9,
  warn: 13,
  error: 17,
  fatal: 21,
};

/**
 * Reads the parameters of `LogQuery`, but for `limit`.
 *
 * @example
 * ```ts
 * const filter = logFilter((name) => c.req.query(name), world);
 * const logs = [...store.logs.newestFirst()].filter((log) => filter.matches(log));
 * ```
 */
export function logFilter(
  parameters: Parameters,
  world: Pick<World, "nowMs"> = realWorld,
): LogFilter {
  const service = parameters("service");
  const traceId = parameters("traceId")?.toLowerCase();
  const spanId = parameters("spanId")?.toLowerCase();
  const lookbackUs = durationParameter(parameters, "lookback");
  const search = searchParameter(parameters, logSearch);
  const before = parameters("before")
    ? integerParameter(parameters, "before", { fallback: 0, max: Number.MAX_SAFE_INTEGER })
    : undefined;
  const severity = severityParameter(parameters);

  const tests: ((log: StoredLog) => boolean)[] = [];
  if (before !== undefined) tests.push((log) => log.seq < before);
  if (service) tests.push((log) => log.source.service === service);
  if (traceId) tests.push((log) => log.traceId === traceId);
  if (spanId) tests.push((log) => log.spanId === spanId);
  if (severity !== undefined) tests.push((log) => log.severityNumber >= severity);
  if (lookbackUs !== undefined) {
    tests.push((log) => log.timeMs >= world.nowMs() - lookbackUs / 1000);
  }
  if (search !== undefined) tests.push(search);
  return { narrows: tests.length > 0, matches: (log) => tests.every((test) => test(log)) };
}

function severityParameter(parameters: Parameters): number | undefined {
  const text = parameters("severity")?.toLowerCase();
  if (!text) return undefined;
  const number = severityFloors[text] ?? Number(text);
  if (!Number.isInteger(number) || number < 1 || number > 24) {
    throw parameterProblem(
      "severity",
      "severity must be trace, debug, info, warn, error, fatal, or a number from 1 to 24.",
    );
  }
  return number;
}
