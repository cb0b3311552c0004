/**
 * Traces as OTLP's JSON, the form in which they can be kept, sent on and sent here again.
 *
 * @module
 */
import type { Scope, Source } from "../intake/source.ts";
import {
  Bytes,
  type StoredAttributes,
  type StoredValue,
  ValueMap,
  WholeDouble,
} from "../intake/values.ts";
import type { StoredSpan, Trace } from "../stores/trace_store.ts";

/** OTLP's JSON of a request; what is in it is as the specification has it. */
export interface OtlpTraces {
  resourceSpans: { resource: unknown; scopeSpans: { scope: unknown; spans: unknown[] }[] }[];
}

/**
 * Makes the request that would bring these traces here.
 *
 * @example
 * ```ts
 * const body = JSON.stringify(otlpTraces([trace]));
 * await fetch(`${otlpUrl}/v1/traces`, { method: "POST", headers, body });
 * ```
 */
export function otlpTraces(traces: Iterable<Trace>): OtlpTraces {
  const bySource = new Map<Source, Map<Scope, StoredSpan[]>>();
  for (const { spans } of traces) {
    for (const span of spans) {
      let scopes = bySource.get(span.source);
      if (scopes === undefined) bySource.set(span.source, scopes = new Map());
      const list = scopes.get(span.scope);
      if (list === undefined) scopes.set(span.scope, [span]);
      else list.push(span);
    }
  }
  return {
    resourceSpans: [...bySource].map(([source, scopes]) => ({
      resource: {
        attributes: keyValues(["service.name", source.service, ...source.attributes]),
      },
      scopeSpans: [...scopes].map(([scope, spans]) => ({
        scope: {
          name: scope.name,
          version: scope.version,
          attributes: keyValues(scope.attributes ?? []),
        },
        spans: spans.map(otlpSpan),
        ...(scope.schemaUrl !== undefined && { schemaUrl: scope.schemaUrl }),
      })),
    })),
  };
}

function otlpSpan(span: StoredSpan) {
  const startNs = BigInt(Math.round(span.startUs)) * 1000n;
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    ...(span.parentSpanId !== "" && { parentSpanId: span.parentSpanId }),
    ...(span.traceState !== "" && { traceState: span.traceState }),
    name: span.name,
    kind: span.kind,
    startTimeUnixNano: String(startNs),
    endTimeUnixNano: span.ended ? String(startNs + BigInt(Math.round(span.durationNs))) : "0",
    attributes: keyValues(span.attributes),
    events: span.events.map((event) => ({
      timeUnixNano: String(BigInt(Math.round(event.timeUs)) * 1000n),
      name: event.name,
      attributes: keyValues(event.attributes),
    })),
    links: span.links.map(({ traceId, spanId, attributes = [], traceState }) => ({
      traceId,
      spanId,
      ...(traceState !== undefined && { traceState }),
      attributes: keyValues(attributes),
    })),
    status: {
      ...(span.status !== 0 && { code: span.status }),
      ...(span.statusMessage !== "" && { message: span.statusMessage }),
    },
  };
}

function keyValues(attributes: StoredAttributes) {
  const list: { key: string; value: unknown }[] = [];
  for (let i = 0; i < attributes.length; i += 2) {
    list.push({ key: attributes[i] as string, value: anyValue(attributes[i + 1]!) });
  }
  return list;
}

function anyValue(value: StoredValue): unknown {
  if (value === null) return {};
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value === "bigint") return { intValue: String(value) };
  if (value instanceof WholeDouble) return { doubleValue: value.value };
  if (value instanceof Bytes) return { bytesValue: value.base64 };
  if (value instanceof ValueMap) return { kvlistValue: { values: keyValues(value.entries) } };
  if (typeof value === "number") {
    if (Number.isSafeInteger(value)) return { intValue: String(value) };
    // Protobuf's JSON has words for what JSON has no numbers for.
    return { doubleValue: Number.isFinite(value) ? value : String(value) };
  }
  return { arrayValue: { values: value.map(anyValue) } };
}
