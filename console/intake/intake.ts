/**
 * From decoded OTLP requests to the stores: checks every item, keeps the good ones, counts the
 * others by reason for `partial_success`.
 *
 * @module
 */
import type { Signal } from "../page_api/api.ts";
import type { HistogramValue, IndexedCounts } from "../stores/histogram.ts";
import type { StoredLog } from "../stores/log_store.ts";
import type { MetricIdentity, PointValue } from "../stores/metric_store.ts";
import type { OtlpRequests, Refusal } from "../../service/otlp/otlp_message.ts";
import type { LogRecord } from "../../service/otlp/proto/gen/logs_pb.ts";
import {
  AggregationTemporality,
  DataPointFlags,
  type ExponentialHistogramDataPoint,
  type HistogramDataPoint,
  type Metric,
  type NumberDataPoint,
  type SummaryDataPoint,
} from "../../service/otlp/proto/gen/metrics_pb.ts";
import type { Span } from "../../service/otlp/proto/gen/trace_pb.ts";
import { addOperation, type Scope, type ServiceEntry, type Source } from "./source.ts";
import type { TelemetryStore } from "../stores/telemetry_store.ts";
import {
  statusError,
  type StoredEvent,
  type StoredLink,
  type StoredSpan,
} from "../stores/trace_store.ts";

/** Why an item was refused, and what its sender should know. */
const refusals = {
  invalid_trace_id: "trace_id must be 16 bytes, not all zero",
  invalid_span_id: "span_id must be 8 bytes, not all zero",
  invalid_parent_span_id: "parent_span_id must be empty or 8 bytes",
  trace_full: "its trace has reached the limit of spans or bytes",
  invalid_metric: "a metric needs a name and data points of a known type",
  invalid_point: "a data point needs a value, a time, and bounds and counts that fit together",
  series_limit: "there are too many different series",
  out_of_order: "a newer point of this series has arrived before",
} as const;
type RefusalReason = keyof typeof refusals;

/** Keeps a request's items. Returns what was refused, undefined if nothing was. */
export function takeRequest<S extends Signal>(
  store: TelemetryStore,
  signal: S,
  request: OtlpRequests[S],
  nowMs: number,
): Refusal | undefined {
  const intake = new Intake(store, signal, nowMs);
  switch (signal) {
    case "traces":
      takeTraces(intake, request as OtlpRequests["traces"]);
      break;
    case "metrics":
      takeMetrics(intake, request as OtlpRequests["metrics"]);
      break;
    case "logs":
      takeLogs(intake, request as OtlpRequests["logs"]);
      break;
  }
  return intake.finish();
}

/** One request under way. */
class Intake {
  readonly reasons = new Map<RefusalReason, number>();
  kept = 0;
  #truncatedBefore: number;

  constructor(
    readonly store: TelemetryStore,
    readonly signal: Signal,
    readonly nowMs: number,
  ) {
    this.#truncatedBefore = store.reader.truncated;
  }

  refuse(reason: RefusalReason, count = 1): void {
    if (count > 0) this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + count);
  }

  finish(): Refusal | undefined {
    const counters = this.store.counters[this.signal];
    counters.received += this.kept;
    counters.truncated += this.store.reader.truncated - this.#truncatedBefore;
    if (this.reasons.size === 0) return undefined;
    let total = 0;
    const parts: string[] = [];
    for (const [reason, count] of this.reasons) {
      this.store.refuse(this.signal, reason, count);
      total += count;
      parts.push(`${count} ${reason}: ${refusals[reason]}`);
    }
    return { count: total, message: parts.join("; ") };
  }
}

// Traces

function takeTraces(intake: Intake, request: OtlpRequests["traces"]): void {
  const { store, nowMs } = intake;
  for (const { resource, scopeSpans } of request.resourceSpans) {
    const source = store.sources.source(resource);
    const service = store.services.seen(source.service, nowMs);
    for (const { scope: sentScope, spans } of scopeSpans) {
      const scope = store.sources.scope(sentScope);
      for (const span of spans) takeSpan(intake, span, source, scope, service);
    }
  }
}

function takeSpan(
  intake: Intake,
  span: Span,
  source: Source,
  scope: Scope,
  service: ServiceEntry,
): void {
  const traceId = hexId(span.traceId, 16);
  if (traceId === undefined) return intake.refuse("invalid_trace_id");
  const spanId = hexId(span.spanId, 8);
  if (spanId === undefined) return intake.refuse("invalid_span_id");
  const parentLength = span.parentSpanId.length;
  if (parentLength !== 0 && parentLength !== 8) return intake.refuse("invalid_parent_span_id");
  const stored = storedSpan(intake, span, source, scope, traceId, spanId);
  const outcome = intake.store.traces.add(stored);
  if (outcome === "trace_full") return intake.refuse("trace_full");
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
  { store }: Intake,
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

/** The hex form of an id; undefined if it has another length or is all zero. */
function hexId(bytes: Uint8Array, length: 8 | 16): string | undefined {
  if (bytes.length !== length) return undefined;
  for (let i = 0; i < length; i++) if (bytes[i] !== 0) return bytes.toHex();
  return undefined;
}

function microseconds(nanoseconds: bigint): number {
  return Number(nanoseconds / 1000n);
}

// Logs

function takeLogs(intake: Intake, request: OtlpRequests["logs"]): void {
  const { store, nowMs } = intake;
  for (const { resource, scopeLogs } of request.resourceLogs) {
    const source = store.sources.source(resource);
    const service = store.services.seen(source.service, nowMs);
    for (const { scope: sentScope, logRecords } of scopeLogs) {
      const scope = store.sources.scope(sentScope);
      for (const record of logRecords) {
        // Outside of a trace a record has no ids, or ids of zeros.
        const { traceId, spanId } = record;
        if (traceId.length !== 0 && traceId.length !== 16) intake.refuse("invalid_trace_id");
        else if (spanId.length !== 0 && spanId.length !== 8) intake.refuse("invalid_span_id");
        else {
          store.logs.add(storedLog(intake, record, source, scope));
          service.logs++;
          intake.kept++;
        }
      }
    }
  }
}

const logBytes = 250;

function storedLog(
  { store, nowMs }: Intake,
  record: LogRecord,
  source: Source,
  scope: Scope,
): StoredLog {
  const { reader } = store;
  reader.bytes = logBytes;
  const time = record.timeUnixNano || record.observedTimeUnixNano;
  return {
    seq: store.nextSeq(),
    timeMs: time === 0n ? nowMs : microseconds(time) / 1000,
    severityNumber: record.severityNumber,
    severityText: record.severityText === "" ? "" : reader.name(record.severityText),
    body: reader.value(record.body),
    attributes: reader.attributes(record.attributes),
    eventName: record.eventName === "" ? "" : reader.name(record.eventName),
    traceId: hexId(record.traceId, 16) ?? "",
    spanId: hexId(record.spanId, 8) ?? "",
    source,
    scope,
    bytes: reader.bytes,
  };
}

// Metrics

function takeMetrics(intake: Intake, request: OtlpRequests["metrics"]): void {
  const { store, nowMs } = intake;
  for (const { resource, scopeMetrics } of request.resourceMetrics) {
    const source = store.sources.source(resource);
    store.services.seen(source.service, nowMs);
    for (const { scope: sentScope, metrics } of scopeMetrics) {
      const scope = store.sources.scope(sentScope);
      for (const metric of metrics) takeMetric(intake, metric, source, scope);
    }
  }
}

function takeMetric(intake: Intake, metric: Metric, source: Source, scope: Scope): void {
  const { data } = metric;
  if (data.case === undefined || metric.name === "") {
    return intake.refuse("invalid_metric", data.value?.dataPoints.length || 1);
  }
  const { reader } = intake.store;
  const identity: MetricIdentity = {
    name: reader.name(metric.name),
    type: data.case,
    monotonic: data.case === "sum" && data.value.isMonotonic,
    unit: reader.name(metric.unit),
    description: reader.name(metric.description),
  };
  const delta = "aggregationTemporality" in data.value &&
    data.value.aggregationTemporality === AggregationTemporality.DELTA;
  for (const point of data.value.dataPoints) {
    // The sender says that the series has ended: there is no value to keep.
    if (point.flags & DataPointFlags.NO_RECORDED_VALUE_MASK) continue;
    const value = pointValue(point);
    if (value === undefined || point.timeUnixNano === 0n) {
      intake.refuse("invalid_point");
      continue;
    }
    const outcome = intake.store.metrics.add(identity, {
      source,
      scope,
      attributes: reader.attributes(point.attributes),
      timeMs: microseconds(point.timeUnixNano) / 1000,
      startMs: microseconds(point.startTimeUnixNano) / 1000,
      value,
      delta,
    }, intake.nowMs);
    if (outcome === "kept") intake.kept++;
    else intake.refuse(outcome);
  }
}

type DataPoint =
  | NumberDataPoint
  | HistogramDataPoint
  | ExponentialHistogramDataPoint
  | SummaryDataPoint;

function pointValue(point: DataPoint): PointValue | undefined {
  switch (point.$typeName) {
    case "opentelemetry.proto.metrics.v1.NumberDataPoint":
      return point.value.case === undefined ? undefined : Number(point.value.value);
    case "opentelemetry.proto.metrics.v1.HistogramDataPoint":
      return explicitHistogram(point);
    case "opentelemetry.proto.metrics.v1.ExponentialHistogramDataPoint":
      return exponentialHistogram(point);
    case "opentelemetry.proto.metrics.v1.SummaryDataPoint":
      if (point.quantileValues.length > maxBuckets) return undefined;
      return {
        count: Number(point.count),
        sum: point.sum,
        quantiles: point.quantileValues.map(({ quantile, value }) => [quantile, value]),
      };
  }
}

const maxBuckets = 1_024;

function explicitHistogram(point: HistogramDataPoint): HistogramValue | undefined {
  const { explicitBounds: bounds, bucketCounts } = point;
  const fits = bucketCounts.length === bounds.length + 1 ||
    (bucketCounts.length === 0 && bounds.length === 0);
  if (!fits || bucketCounts.length > maxBuckets) return undefined;
  for (let i = 0; i < bounds.length; i++) {
    if (!Number.isFinite(bounds[i]) || (i > 0 && bounds[i]! <= bounds[i - 1]!)) return undefined;
  }
  return {
    count: Number(point.count),
    sum: point.sum ?? NaN,
    // Without buckets all values lie in the one from -infinity to infinity.
    buckets: {
      kind: "explicit",
      bounds,
      counts: bucketCounts.length === 0 ? [Number(point.count)] : bucketCounts.map(Number),
    },
  };
}

function exponentialHistogram(point: ExponentialHistogramDataPoint): HistogramValue | undefined {
  const { scale, positive, negative } = point;
  // The range of the data model's own recommendation; beyond it the arithmetic of doubles ends.
  if (scale < -10 || scale > 20) return undefined;
  const indexed = (buckets: typeof positive): IndexedCounts => ({
    offset: buckets?.offset ?? 0,
    counts: buckets?.bucketCounts.map(Number) ?? [],
  });
  const value: HistogramValue = {
    count: Number(point.count),
    sum: point.sum ?? NaN,
    buckets: {
      kind: "exponential",
      scale,
      zeroCount: Number(point.zeroCount),
      zeroThreshold: point.zeroThreshold,
      positive: indexed(positive),
      negative: indexed(negative),
    },
  };
  const buckets = (positive?.bucketCounts.length ?? 0) + (negative?.bucketCounts.length ?? 0);
  return buckets > maxBuckets ? undefined : value;
}
