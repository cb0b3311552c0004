/**
 * Spans, from OTLP's form to the store's.
 *
 * @module
 */
import type { OtlpRequests } from "../../service/otlp/otlp_message.ts";
import type { Span } from "../../service/otlp/proto/gen/trace_pb.ts";
import type { TelemetryStore } from "../stores/telemetry_store.ts";
import {
  statusError,
  type StoredEvent,
  type StoredLink,
  type StoredSpan,
} from "../stores/trace_store.ts";
import { hexId, type IntakeRequest, microseconds } from "./intake_request.ts";
import { addOperation, type Scope, type ServiceEntry, type Source } from "./source.ts";

/** Keeps the spans of a request. */
export function takeTraces(intake: IntakeRequest, request: OtlpRequests["traces"]): void {
  const { store, nowMs } = intake;
  for (const { resource, scopeSpans } of request.resourceSpans) {
    const source = store.sources.source(resource);
    const service = store.services.seen(source.service, nowMs);
    intake.from(source.service);
    for (const { scope: sentScope, spans } of scopeSpans) {
      const scope = store.sources.scope(sentScope);
      for (const span of spans) takeSpan(intake, span, source, scope, service);
    }
  }
}

function takeSpan(
  intake: IntakeRequest,
  span: Span,
  source: Source,
  scope: Scope,
  service: ServiceEntry,
): void {
  const traceId = hexId(span.traceId, 16);
  if (traceId === undefined) return intake.refuse("invalid_trace_id", source.service, span.name);
  const spanId = hexId(span.spanId, 8);
  if (spanId === undefined) return intake.refuse("invalid_span_id", source.service, span.name);
  const parentLength = span.parentSpanId.length;
  if (parentLength !== 0 && parentLength !== 8) {
    return intake.refuse("invalid_parent_span_id", source.service, span.name);
  }
  const stored = storedSpan(intake, span, source, scope, traceId, spanId);
  intake.cut(source.service, stored.name);
  const outcome = intake.store.traces.add(stored);
  if (outcome === "trace_full") return intake.refuse("trace_full", source.service, span.name);
  // A span that is here already was sent again after an answer that got lost: taken, not counted.
  if (outcome === "duplicate") return;
  intake.kept++;
  service.spans++;
  if (stored.status === statusError) service.errors++;
  addOperation(service, stored.name, stored.kind);
}

const noEvents: readonly StoredEvent[] = [];
const noLinks: readonly StoredLink[] = [];
const noWarnings: readonly string[] = [];
/** What a span without attributes, events and links takes; see the figures in bench/console_ingest.ts. */
const spanBytes = 330;

function storedSpan(
  { store }: IntakeRequest,
  span: Span,
  source: Source,
  scope: Scope,
  traceId: string,
  spanId: string,
): StoredSpan {
  const { reader } = store;
  reader.bytes = spanBytes;
  const truncatedBefore = reader.truncated;
  const attributes = reader.attributes(span.attributes);
  const events = span.events.length === 0 ? noEvents : storedEvents(store, span);
  const links = span.links.length === 0 ? noLinks : storedLinks(store, span);
  const name = reader.name(span.name);
  const statusMessage = span.status === undefined || span.status.message === ""
    ? ""
    : reader.text(span.status.message);
  const traceState = span.traceState === "" ? "" : reader.text(span.traceState);

  let warnings = noWarnings;
  const warn = (text: string) => warnings = [...warnings, text];
  const cut = reader.truncated - truncatedBefore;
  if (cut > 0) warn(`${cut} values were cut or left out at the console's limits`);
  const { droppedAttributesCount, droppedEventsCount, droppedLinksCount } = span;
  const dropped = droppedAttributesCount + droppedEventsCount + droppedLinksCount;
  if (dropped > 0) warn(`${dropped} attributes, events or links were dropped by the sender`);
  const backwards = span.endTimeUnixNano < span.startTimeUnixNano;
  if (backwards) warn("the span ends before it begins; its duration is shown as 0");

  return {
    traceId,
    spanId,
    parentSpanId: hexId(span.parentSpanId, 8) ?? "",
    name,
    kind: span.kind,
    startUs: microseconds(span.startTimeUnixNano),
    durationNs: backwards ? 0 : Number(span.endTimeUnixNano - span.startTimeUnixNano),
    status: span.status?.code ?? 0,
    statusMessage,
    traceState,
    attributes,
    events,
    links,
    source,
    scope,
    warnings,
    bytes: reader.bytes,
  };
}

function storedEvents({ reader, limits }: TelemetryStore, span: Span): StoredEvent[] {
  reader.truncated += Math.max(0, span.events.length - limits.maxEventsPerSpan);
  return span.events.slice(0, limits.maxEventsPerSpan).map((event) => {
    reader.bytes += 64;
    return {
      name: reader.name(event.name),
      timeUs: microseconds(event.timeUnixNano),
      attributes: reader.attributes(event.attributes),
    };
  });
}

function storedLinks({ reader, limits }: TelemetryStore, span: Span): StoredLink[] {
  const links: StoredLink[] = [];
  for (const link of span.links) {
    const traceId = hexId(link.traceId, 16);
    const spanId = hexId(link.spanId, 8);
    if (links.length >= limits.maxEventsPerSpan || traceId === undefined || spanId === undefined) {
      reader.truncated++;
      continue;
    }
    reader.bytes += 130;
    links.push({ traceId, spanId });
  }
  return links;
}
