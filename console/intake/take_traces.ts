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
import { spanWarnings } from "../page_api/jaeger_api.ts";
import { hexId, type IntakeRequest, microseconds } from "./intake_request.ts";
import { addOperation, type Scope, type ServiceEntry, type Source } from "./source.ts";

/** Keeps the spans of a request. */
export function takeTraces(intake: IntakeRequest, request: OtlpRequests["traces"]): void {
  const { store, nowMs } = intake;
  for (const { resource, schemaUrl, scopeSpans } of request.resourceSpans) {
    const source = store.sources.source(resource);
    const service = store.services.seen(source.service, nowMs);
    intake.from(source.service);
    for (const { scope: sentScope, schemaUrl: ownSchemaUrl, spans } of scopeSpans) {
      const scope = store.sources.scope(sentScope, ownSchemaUrl || schemaUrl);
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
  const { traces } = intake.store;
  const outcome = traces.add(stored);
  if (outcome === "trace_full") return intake.refuse("trace_full", source.service, span.name);
  // A span that is here already was sent again, at its end or after an answer that got lost: it is
  // the same one, not one more.
  if (outcome === "replaced") return;
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
  { store, nowMs }: IntakeRequest,
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
  const { startUs, durationNs, ended } = timesOf(span, nowMs, warn);

  return {
    traceId,
    spanId,
    parentSpanId: hexId(span.parentSpanId, 8) ?? "",
    name,
    kind: span.kind,
    startUs,
    durationNs,
    ended,
    status: span.status?.code ?? 0,
    statusMessage,
    traceState,
    flags: span.flags,
    dropped: dropped === 0 ? undefined : {
      attributes: droppedAttributesCount,
      events: droppedEventsCount,
      links: droppedLinksCount,
    },
    attributes,
    events,
    links,
    source,
    scope,
    warnings,
    bytes: reader.bytes,
  };
}

/** When it was. What its sender does not say is said to be unknown, and does not stretch its trace over decades. */
function timesOf(
  { startTimeUnixNano: start, endTimeUnixNano: end }: Span,
  nowMs: number,
  warn: (text: string) => void,
): Pick<StoredSpan, "startUs" | "durationNs" | "ended"> {
  if (start === 0n) {
    warn(end === 0n ? spanWarnings.noTimes : spanWarnings.noStart);
    const startUs = end === 0n ? Math.floor(nowMs * 1000) : microseconds(end);
    return { startUs, durationNs: 0, ended: end !== 0n };
  }
  const startUs = microseconds(start);
  if (end === 0n) warn(spanWarnings.noEnd);
  else if (end < start) warn(spanWarnings.backwards);
  else return { startUs, durationNs: Number(end - start), ended: true };
  return { startUs, durationNs: 0, ended: end !== 0n };
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
    links.push({
      traceId,
      spanId,
      ...(link.attributes.length > 0 && { attributes: reader.attributes(link.attributes) }),
      ...(link.traceState !== "" && { traceState: reader.text(link.traceState) }),
    });
  }
  return links;
}
