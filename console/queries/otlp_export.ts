/**
 * Traces and logs as OTLP's JSON, the form in which they can be kept, sent on and sent here again.
 * Metrics are in `otlp_export_metrics.ts`.
 *
 * @module
 */
import type { Scope, Source } from "../intake/source.ts";
import type { StoredLog } from "../stores/log_store.ts";
import type { StoredSpan, Trace } from "../stores/trace_store.ts";
import { anyValue, keyValues } from "./otlp_values.ts";

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
  function* spans() {
    for (const trace of traces) yield* trace.spans;
  }
  return {
    resourceSpans: bySource(spans()).map(({ resource, scopes }) => ({
      resource,
      scopeSpans: scopes.map(({ head, items }) => ({ ...head, spans: items.map(otlpSpan) })),
    })),
  };
}

/**
 * Makes the request that would bring these log records here, in their order.
 *
 * @example
 * ```ts
 * const body = JSON.stringify(otlpLogs([...store.logs.newestFirst()].reverse()));
 * ```
 */
export function otlpLogs(logs: Iterable<StoredLog>): unknown {
  return {
    resourceLogs: bySource(logs).map(({ resource, scopes }) => ({
      resource,
      scopeLogs: scopes.map(({ head, items }) => ({ ...head, logRecords: items.map(otlpLog) })),
    })),
  };
}

/** Items by resource and scope, each as OTLP has it. */
export function bySource<Item extends { readonly source: Source; readonly scope: Scope }>(
  items: Iterable<Item>,
): {
  resource: unknown;
  scopes: { head: { scope: unknown; schemaUrl?: string }; items: Item[] }[];
}[] {
  const sources = new Map<Source, Map<Scope, Item[]>>();
  for (const item of items) {
    let scopes = sources.get(item.source);
    if (scopes === undefined) sources.set(item.source, scopes = new Map());
    const list = scopes.get(item.scope);
    if (list === undefined) scopes.set(item.scope, [item]);
    else list.push(item);
  }
  return [...sources].map(([source, scopes]) => ({
    resource: { attributes: keyValues(["service.name", source.service, ...source.attributes]) },
    scopes: [...scopes].map(([scope, items]) => ({
      head: {
        scope: {
          name: scope.name,
          version: scope.version,
          attributes: keyValues(scope.attributes ?? []),
        },
        ...(scope.schemaUrl !== undefined && { schemaUrl: scope.schemaUrl }),
      },
      items,
    })),
  }));
}

function otlpLog(log: StoredLog) {
  return {
    timeUnixNano: nanoseconds(log.timeMs),
    ...(log.observedMs !== undefined && { observedTimeUnixNano: nanoseconds(log.observedMs) }),
    ...(log.severityNumber !== 0 && { severityNumber: log.severityNumber }),
    ...(log.severityText !== "" && { severityText: log.severityText }),
    ...(log.body !== null && { body: anyValue(log.body) }),
    attributes: keyValues(log.attributes),
    ...(log.eventName !== "" && { eventName: log.eventName }),
    ...(log.traceId !== "" && { traceId: log.traceId }),
    ...(log.spanId !== "" && { spanId: log.spanId }),
  };
}

/** Times are kept in whole microseconds. */
function nanoseconds(ms: number): string {
  return String(BigInt(Math.round(ms * 1e3)) * 1000n);
}

function otlpSpan(span: StoredSpan) {
  const startNs = BigInt(Math.round(span.startUs)) * 1000n;
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    ...(span.parentSpanId !== "" && { parentSpanId: span.parentSpanId }),
    ...(span.traceState !== "" && { traceState: span.traceState }),
    ...(span.flags !== 0 && { flags: span.flags }),
    name: span.name,
    kind: span.kind,
    startTimeUnixNano: String(startNs),
    endTimeUnixNano: span.ended ? String(startNs + BigInt(Math.round(span.durationNs))) : "0",
    attributes: keyValues(span.attributes),
    ...(span.dropped && {
      droppedAttributesCount: span.dropped.attributes,
      droppedEventsCount: span.dropped.events,
      droppedLinksCount: span.dropped.links,
    }),
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
