/**
 * Metrics as the page shows them: rates of counters, and for histograms what was counted between
 * two points, with its quantiles.
 *
 * @module
 */
import type {
  HistogramPoint,
  MetricPoint,
  MetricRow,
  MetricSeries,
  NumberPoint,
  SummaryPoint,
} from "../page_api/api.ts";
import {
  histogramBuckets,
  histogramQuantile,
  type HistogramValue,
  subtractHistograms,
} from "../stores/histogram.ts";
import type { Family, Point, Series, SummaryValue } from "../stores/metric_store.ts";
import { plainAttributes } from "../intake/values.ts";

/** A metric's row in the list. */
export function metricRow(family: Family): MetricRow {
  const { name, type, monotonic, unit, description, series, lastSeenMs } = family;
  const services = new Set<string>();
  for (const { source } of series.values()) services.add(source.service);
  return {
    name,
    type,
    monotonic,
    unit,
    description,
    services: [...services].sort(),
    series: series.size,
    lastSeenMs,
  };
}

/**
 * A series with its points from `sinceMs` on.
 *
 * @example
 * ```ts
 * const series = [...family.series.values()];
 * const lastMinute = series.map((one) => metricSeries(one, world.nowMs() - 60_000));
 * ```
 */
export function metricSeries(series: Series, sinceMs: number): MetricSeries {
  return {
    service: series.source.service,
    ...(series.source.instance !== undefined && { instance: series.source.instance }),
    scope: series.scope.name,
    attributes: plainAttributes(series.attributes),
    points: seriesPoints(series).filter(({ timeMs }) => timeMs >= sinceMs),
  };
}

function seriesPoints(series: Series): MetricPoint[] {
  const points = [...series.points];
  const { type, monotonic } = series.family;
  switch (type) {
    case "gauge":
    case "sum":
      return numberPoints(points as Point<number>[], monotonic);
    case "summary":
      return (points as Point<SummaryValue>[]).map(({ timeMs, value }): SummaryPoint => ({
        timeMs,
        count: value.count,
        sum: finite(value.sum) ?? 0,
        quantiles: value.quantiles.map(([quantile, at]) => [quantile, finite(at) ?? 0]),
      }));
    case "histogram":
    case "exponentialHistogram":
      return histogramPoints(points as Point<HistogramValue>[]);
  }
}

function numberPoints(points: readonly Point<number>[], monotonic: boolean): NumberPoint[] {
  const shown: NumberPoint[] = [];
  points.forEach((point, i) => {
    const { timeMs, value } = point;
    const before = points[i - 1];
    const continues = monotonic && before !== undefined && !startedAnew(point, before) &&
      value >= before.value;
    const rate = continues ? (value - before.value) / ((timeMs - before.timeMs) / 1000) : null;
    // JSON knows neither NaN nor infinity: such a point cannot be drawn either.
    if (Number.isFinite(value)) shown.push({ timeMs, value, rate });
  });
  return shown;
}

function histogramPoints(points: readonly Point<HistogramValue>[]): HistogramPoint[] {
  const shown: HistogramPoint[] = [];
  points.forEach((point, i) => {
    const before = points[i - 1];
    if (before === undefined) return;
    const continued = startedAnew(point, before)
      ? undefined
      : subtractHistograms(point.value, before.value);
    // A sender that started again has counted from 0: all it has belongs to this interval.
    const value = continued ?? point.value;
    const fromMs = before.timeMs;
    const buckets = histogramBuckets(value);
    const sum = finite(value.sum);
    shown.push({
      timeMs: point.timeMs,
      fromMs,
      count: value.count,
      sum,
      rate: value.count / ((point.timeMs - fromMs) / 1000),
      mean: sum === null || value.count === 0 ? null : sum / value.count,
      p50: histogramQuantile(value, 0.5),
      p95: histogramQuantile(value, 0.95),
      p99: histogramQuantile(value, 0.99),
      buckets: buckets.map(({ upper, count }) => [finite(upper), count]),
    });
  });
  return shown;
}

/** The sender says that it counts from a moment after the point before. */
function startedAnew(point: Point, before: Point): boolean {
  return point.startMs > before.startMs && point.startMs >= before.timeMs;
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
