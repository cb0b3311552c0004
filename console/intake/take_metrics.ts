/**
 * Metrics' data points, from OTLP's form to the store's.
 *
 * @module
 */
import type { OtlpRequests } from "../../service/otlp/otlp_message.ts";
import {
  AggregationTemporality,
  DataPointFlags,
  type ExponentialHistogramDataPoint,
  type HistogramDataPoint,
  type Metric,
  type NumberDataPoint,
  type SummaryDataPoint,
} from "../../service/otlp/proto/gen/metrics_pb.ts";
import type { HistogramValue, IndexedCounts } from "../stores/histogram.ts";
import type { MetricIdentity, PointValue, StoredExemplar } from "../stores/metric_store.ts";
import { hexId, type IntakeRequest, microseconds } from "./intake_request.ts";
import type { Scope, Source } from "./source.ts";

/** Keeps the data points of a request. */
export function takeMetrics(intake: IntakeRequest, request: OtlpRequests["metrics"]): void {
  const { store, nowMs } = intake;
  for (const { resource, schemaUrl, scopeMetrics } of request.resourceMetrics) {
    const source = store.sources.source(resource);
    store.services.seen(source.service, nowMs);
    intake.from(source.service);
    for (const { scope: sentScope, schemaUrl: ownSchemaUrl, metrics } of scopeMetrics) {
      const scope = store.sources.scope(sentScope, ownSchemaUrl || schemaUrl);
      for (const metric of metrics) takeMetric(intake, metric, source, scope);
    }
  }
}

function takeMetric(intake: IntakeRequest, metric: Metric, source: Source, scope: Scope): void {
  const { data } = metric;
  if (data.case === undefined || metric.name === "") {
    const points = data.value?.dataPoints.length || 1;
    return intake.refuse("invalid_metric", source.service, metric.name, points);
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
      intake.refuse("invalid_point", source.service, metric.name);
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
      ...exemplarsOf(intake, point),
    }, intake.nowMs);
    if (outcome === "kept") intake.kept++;
    else if (outcome !== "duplicate") intake.refuse(outcome, source.service, metric.name);
  }
  intake.cut(source.service, metric.name);
}

/** Only those that lead somewhere: a value without its trace says less than its point. */
function exemplarsOf(
  { store: { reader } }: IntakeRequest,
  point: DataPoint,
): { exemplars?: StoredExemplar[] } {
  if (!("exemplars" in point) || point.exemplars.length === 0) return {};
  const exemplars: StoredExemplar[] = [];
  for (const one of point.exemplars) {
    const traceId = hexId(one.traceId, 16);
    if (traceId === undefined || one.value.case === undefined) continue;
    exemplars.push({
      timeMs: microseconds(one.timeUnixNano) / 1000,
      value: Number(one.value.value),
      traceId,
      spanId: hexId(one.spanId, 8) ?? "",
      attributes: reader.attributes(one.filteredAttributes),
    });
  }
  return exemplars.length === 0 ? {} : { exemplars };
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
