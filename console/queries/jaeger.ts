/**
 * Traces in the JSON of Jaeger's HTTP query API, as Jaeger itself shows spans that came by OTLP.
 *
 * @module
 */
import type {
  JaegerAnswer,
  JaegerKeyValue,
  JaegerReference,
  JaegerSpan,
  JaegerTrace,
} from "../page_api/jaeger_api.ts";
import type { Source } from "../intake/source.ts";
import { statusError, type StoredSpan, type Trace } from "../stores/trace_store.ts";
import {
  attribute,
  Bytes,
  plainValue,
  type StoredAttributes,
  type StoredValue,
  ValueMap,
  WholeDouble,
} from "../intake/values.ts";

/** OTLP's span kinds as Jaeger writes them, by number. */
export const spanKinds = ["", "internal", "server", "client", "producer", "consumer"] as const;

/** The envelope of all of Jaeger's answers. */
export function jaegerAnswer<Item>(data: Item[], limit = 0): JaegerAnswer<Item> {
  return { data, total: data.length, limit, offset: 0, errors: null };
}

/**
 * A trace in Jaeger's JSON.
 *
 * @example
 * ```ts
 * const trace = store.traces.get("4bf92f3577b34da6a3ce929d0e0e4736");
 * return c.json(jaegerAnswer(trace ? [jaegerTrace(trace)] : []));
 * ```
 */
export function jaegerTrace(trace: Trace): JaegerTrace {
  const processIds = new Map<Source, string>();
  const processes: JaegerTrace["processes"] = {};
  const shown = withUniqueIds(trace.spans);
  const spans = shown.toSorted((a, b) => a.startUs - b.startUs).map((span) => {
    let processId = processIds.get(span.source);
    if (processId === undefined) {
      processId = `p${processIds.size + 1}`;
      processIds.set(span.source, processId);
      processes[processId] = {
        serviceName: span.source.service,
        tags: keyValues(span.source.attributes),
      };
    }
    return jaegerSpan(span, processId);
  });
  const warnings = trace.cut === 0 ? null : [
    `This trace is cut at ${trace.spans.length.toLocaleString("en")} spans: ${
      trace.cut.toLocaleString("en")
    } more were refused (--max-spans-per-trace, --max-held-bytes).`,
  ];
  return { traceID: trace.traceId, spans, processes, warnings };
}

/**
 * Under B3 the server's half of a call has the id of the client's. Readers tell spans apart by id
 * alone, so the second half gets an id of its own and becomes a child of the first; what was a child
 * of both goes to the half of its own service, else to the callee. As Jaeger's own adjuster does it.
 */
function withUniqueIds(spans: readonly StoredSpan[]): readonly StoredSpan[] {
  const byId = new Map<string, StoredSpan[]>();
  let shared = false;
  for (const span of spans) {
    const same = byId.get(span.spanId);
    if (same === undefined) byId.set(span.spanId, [span]);
    else {
      same.push(span);
      shared = true;
    }
  }
  if (!shared) return spans;

  const newIds = new Map<StoredSpan, string>();
  const adopted = new Map<StoredSpan, string>();
  for (const [id, same] of byId) {
    // The caller first, then who began first.
    same.sort((a, b) => Number(isCallee(a)) - Number(isCallee(b)) || a.startUs - b.startUs);
    for (const span of same.slice(1)) {
      const newId = otherId(span, byId);
      newIds.set(span, newId);
      byId.set(newId, [span]);
      if (isCallee(span) && !isCallee(same[0]!)) adopted.set(span, id);
    }
  }
  const idOf = (span: StoredSpan) => newIds.get(span) ?? span.spanId;
  return spans.map((span) => {
    const halves = byId.get(span.parentSpanId) ?? [];
    const parent = halves.length < 2
      ? span.parentSpanId
      : idOf(halves.find((one) => one.source.service === span.source.service) ?? halves.at(-1)!);
    const parentSpanId = adopted.get(span) ?? parent;
    const spanId = idOf(span);
    if (spanId === span.spanId) {
      return parentSpanId === span.parentSpanId ? span : { ...span, parentSpanId };
    }
    const warning = `the span shares its id, ${span.spanId}, with another one; here it has its own`;
    return { ...span, spanId, parentSpanId, warnings: [...span.warnings, warning] };
  });
}

function isCallee({ kind }: StoredSpan): boolean {
  return spanKinds[kind] === "server" || spanKinds[kind] === "consumer";
}

/** The same each time it is asked for, so that a link to the span holds. */
function otherId(span: StoredSpan, taken: ReadonlyMap<string, unknown>): string {
  // FNV-1a.
  let hash = 0xcbf29ce484222325n;
  for (const char of `${span.spanId} ${span.kind} ${span.source.service}`) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(char.codePointAt(0)!)) * 0x100000001b3n);
  }
  let id = hash.toString(16).padStart(16, "0");
  while (taken.has(id)) {
    hash = BigInt.asUintN(64, hash + 1n);
    id = hash.toString(16).padStart(16, "0");
  }
  return id;
}

function jaegerSpan(span: StoredSpan, processID: string): JaegerSpan {
  return {
    traceID: span.traceId,
    spanID: span.spanId,
    operationName: span.name,
    references: references(span),
    startTime: span.startUs,
    duration: Math.floor(span.durationNs / 1000),
    tags: [...keyValues(span.attributes), ...ownTags(span)],
    logs: span.events.map((event) => ({
      timestamp: event.timeUs,
      fields: [...named("event", event.name), ...keyValues(event.attributes)],
    })),
    processID,
    warnings: span.warnings.length === 0 ? null : [...span.warnings],
  };
}

function references(span: StoredSpan): JaegerReference[] {
  const parent: JaegerReference[] = span.parentSpanId === ""
    ? []
    : [{ refType: "CHILD_OF", traceID: span.traceId, spanID: span.parentSpanId }];
  return [
    ...parent,
    ...span.links.map(({ traceId, spanId }): JaegerReference => ({
      refType: "FOLLOWS_FROM",
      traceID: traceId,
      spanID: spanId,
    })),
  ];
}

/** What OTLP has as fields and Jaeger as tags. */
function ownTags(span: StoredSpan): JaegerKeyValue[] {
  const failed = span.status === statusError;
  const status = ["", "OK", "ERROR"][span.status] ?? "";
  return [
    ...named("span.kind", spanKinds[span.kind] ?? ""),
    ...named("otel.status_code", status),
    ...named("otel.status_description", span.statusMessage),
    ...(failed && attribute(span.attributes, "error") === undefined
      ? [{ key: "error", type: "bool" as const, value: true }]
      : []),
    ...named("otel.scope.name", span.scope.name),
    ...named("otel.scope.version", span.scope.version),
    ...named("w3c.tracestate", span.traceState),
  ];
}

function named(key: string, value: string): JaegerKeyValue[] {
  return value === "" ? [] : [{ key, type: "string", value }];
}

function keyValues(attributes: StoredAttributes): JaegerKeyValue[] {
  const list: JaegerKeyValue[] = [];
  for (let i = 0; i < attributes.length; i += 2) {
    list.push({ key: attributes[i] as string, ...typedValue(attributes[i + 1]!) });
  }
  return list;
}

function typedValue(value: StoredValue): Pick<JaegerKeyValue, "type" | "value"> {
  if (typeof value === "string") return { type: "string", value };
  if (typeof value === "boolean") return { type: "bool", value };
  if (typeof value === "bigint") return { type: "int64", value: value.toString() };
  if (value instanceof WholeDouble) return { type: "float64", value: value.value };
  if (value instanceof Bytes) return { type: "binary", value: value.base64 };
  if (typeof value === "number") {
    if (Number.isSafeInteger(value)) return { type: "int64", value };
    // JSON has no infinities: Jaeger's type stays, the value becomes a word.
    return { type: "float64", value: Number.isFinite(value) ? value : String(value) };
  }
  if (value === null) return { type: "string", value: "" };
  const plain = value instanceof ValueMap || Array.isArray(value) ? plainValue(value) : value;
  return { type: "string", value: JSON.stringify(plain) };
}
