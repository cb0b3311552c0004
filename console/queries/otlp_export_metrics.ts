/**
 * Metrics as OTLP's JSON. What came as deltas was added up when it came, so everything is cumulative.
 *
 * @module
 */
import type { HistogramValue, IndexedCounts } from "../stores/histogram.ts";
import type { Family, Point, PointValue, Series, SummaryValue } from "../stores/metric_store.ts";
import { bySource } from "./otlp_export.ts";
import { keyValues } from "./otlp_values.ts";

/** OTLP's number for "counted since the start". */
const cumulative = 2;

/**
 * Makes the requests that would bring these metrics here, one for each, so that none is too long.
 *
 * @example
 * ```ts
 * for (const request of otlpMetrics(store.metrics.families())) lines.push(JSON.stringify(request));
 * ```
 */
export function* otlpMetrics(families: Iterable<Family>): Generator<unknown> {
  for (const family of families) {
    yield {
      resourceMetrics: bySource(family.series.values()).map(({ resource, scopes }) => ({
        resource,
        scopeMetrics: scopes.map(({ head, items }) => ({
          ...head,
          metrics: [otlpMetric(family, items)],
        })),
      })),
    };
  }
}

function otlpMetric(family: Family, series: readonly Series[]) {
  const { name, unit, description, type, monotonic } = family;
  const dataPoints = series.flatMap((one) => pointsOf(one));
  const data = type === "gauge" || type === "summary"
    ? { dataPoints }
    : type === "sum"
    ? { dataPoints, aggregationTemporality: cumulative, isMonotonic: monotonic }
    : { dataPoints, aggregationTemporality: cumulative };
  return { name, unit, description, [type]: data };
}

function pointsOf(series: Series): unknown[] {
  const attributes = keyValues(series.attributes);
  const points: unknown[] = [];
  for (let i = 0; i < series.points.length; i++) {
    const point = series.points.at(i)!;
    points.push({ attributes, ...timesOf(point), ...valueOf(point.value) });
  }
  return points;
}

function timesOf({ timeMs, startMs }: Point) {
  return {
    timeUnixNano: nanoseconds(timeMs),
    ...(startMs > 0 && { startTimeUnixNano: nanoseconds(startMs) }),
  };
}

function valueOf(value: PointValue) {
  if (typeof value === "number") return { asDouble: double(value) };
  return "quantiles" in value ? summaryOf(value) : histogramOf(value);
}

function summaryOf({ count, sum, quantiles }: SummaryValue) {
  return {
    count: String(count),
    sum: double(sum),
    quantileValues: quantiles.map(([quantile, value]) => ({
      quantile,
      value: double(value),
    })),
  };
}

function histogramOf({ count, sum, buckets }: HistogramValue) {
  const common = { count: String(count), ...(!Number.isNaN(sum) && { sum: double(sum) }) };
  if (buckets.kind === "explicit") {
    return {
      ...common,
      explicitBounds: buckets.bounds,
      bucketCounts: buckets.counts.map(String),
    };
  }
  const indexed = ({ offset, counts }: IndexedCounts) => ({
    offset,
    bucketCounts: counts.map(String),
  });
  return {
    ...common,
    scale: buckets.scale,
    zeroCount: String(buckets.zeroCount),
    zeroThreshold: buckets.zeroThreshold,
    positive: indexed(buckets.positive),
    negative: indexed(buckets.negative),
  };
}

/** Protobuf's JSON has words for what JSON has no numbers for. */
function double(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

/** Times are kept in whole microseconds. */
function nanoseconds(ms: number): string {
  return String(BigInt(Math.round(ms * 1e3)) * 1000n);
}
