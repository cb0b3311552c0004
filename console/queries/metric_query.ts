/**
 * Metrics as the page shows them: rates of counters, and for histograms what was counted between
 * two points, with its quantiles.
 *
 * @module
 */
import type { Attributes } from "../page_api/api.ts";
import type {
  Exemplar,
  HistogramPoint,
  MetricPoint,
  MetricRow,
  MetricSeries,
  NumberPoint,
  SummaryPoint,
} from "../page_api/metrics_api.ts";
import {
  histogramBuckets,
  histogramQuantile,
  type HistogramValue,
  subtractHistograms,
} from "../stores/histogram.ts";
import type {
  Family,
  Point,
  PointValue,
  Series,
  StoredExemplar,
  SummaryValue,
} from "../stores/metric_store.ts";
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
 * A series with its points from `sinceMs` to `untilMs`.
 *
 * @example
 * ```ts
 * const series = [...family.series.values()];
 * const lastMinute = series.map((one) => metricSeries(one, world.nowMs() - 60_000));
 * ```
 */
export function metricSeries(series: Series, sinceMs: number, untilMs = Infinity): MetricSeries {
  const exemplars = exemplarsSince(series, sinceMs, untilMs);
  return {
    service: series.source.service,
    ...(series.source.instance !== undefined && { instance: series.source.instance }),
    scope: series.scope.name,
    ...(series.scope.version !== "" && { scopeVersion: series.scope.version }),
    attributes: plainAttributes(series.attributes),
    points: seriesPoints(series)
      .filter(({ timeMs }) => timeMs >= sinceMs && timeMs <= untilMs),
    ...(exemplars.length > 0 && { exemplars }),
  };
}

/** The exemplars of a series within a time, the oldest first. */
export function exemplarsSince(series: Series, sinceMs: number, untilMs = Infinity): Exemplar[] {
  return [...series.exemplars ?? []]
    .filter(({ timeMs }) => timeMs >= sinceMs && timeMs <= untilMs)
    .map(exemplarOf);
}

function exemplarOf({ timeMs, value, traceId, spanId, attributes }: StoredExemplar): Exemplar {
  return {
    timeMs,
    value,
    traceId,
    ...(spanId !== "" && { spanId }),
    attributes: plainAttributes(attributes),
  };
}

/**
 * What tells senders of one service apart where they have no `service.instance.id`: of each series
 * the attributes of resource and scope in which it differs from another one.
 */
export function differingResources(list: readonly Series[]): (Attributes | undefined)[] {
  const described = list.map(({ source, scope }) => ({
    ...plainAttributes(source.attributes),
    ...prefixed("otel.scope.", plainAttributes(scope.attributes ?? [])),
  } as Attributes));
  const values = new Map<string, Set<string>>();
  for (const one of described) {
    for (const [key, value] of Object.entries(one)) {
      const known = values.get(key) ?? new Set();
      values.set(key, known.add(JSON.stringify(value)));
    }
  }
  const holders = (key: string) => described.filter((one) => key in one).length;
  const differing = [...values]
    .filter(([key, known]) => known.size > 1 || holders(key) < list.length)
    .map(([key]) => key)
    .filter((key) => key !== "service.instance.id");
  return described.map((one) => {
    const own = differing.filter((key) => key in one).map((key) => [key, one[key]!] as const);
    return own.length === 0 ? undefined : Object.fromEntries(own);
  });
}

function prefixed(prefix: string, attributes: Attributes): Attributes {
  return Object.fromEntries(
    Object.entries(attributes).map(([key, value]) => [prefix + key, value]),
  );
}

function seriesPoints(series: Series): MetricPoint[] {
  const points = [...series.points];
  const { type, monotonic } = series.family;
  switch (type) {
    case "gauge":
    case "sum":
      return numberPoints(points as Point<number>[], series.before, monotonic);
    case "summary":
      return (points as Point<SummaryValue>[]).map(({ timeMs, value }): SummaryPoint => ({
        timeMs,
        count: value.count,
        sum: finite(value.sum),
        quantiles: value.quantiles.map(([quantile, at]) => [quantile, finite(at)]),
      }));
    case "histogram":
    case "exponentialHistogram":
      return [...histogramIntervals(series)]
        .map(({ value, fromMs, timeMs }) => histogramFigures(value, fromMs, timeMs));
  }
}

/** What was counted in a stretch of time. */
export interface Interval<Value> {
  readonly value: Value;
  /** Beginning and end, milliseconds since the epoch: the one is before the other. */
  readonly fromMs: number;
  readonly timeMs: number;
}

/** By how much a counter grew, point by point, where that is known. */
export function* counterIntervals(
  points: readonly Point<number>[],
  evicted: Point | undefined,
): Generator<Interval<number>> {
  for (const [i, point] of points.entries()) {
    const before = (points[i - 1] ?? evicted) as Point<number> | undefined;
    const counted = intervalOf(point, before, (a, b) => a >= b ? a - b : undefined);
    if (counted !== undefined && Number.isFinite(counted.value)) {
      yield { ...counted, timeMs: point.timeMs };
    }
  }
}

/** What a histogram counted, point by point, where that is known. */
export function* histogramIntervals(
  series: Pick<Series, "points" | "before">,
): Generator<Interval<HistogramValue>> {
  let before = series.before as Point<HistogramValue> | undefined;
  for (const point of series.points as Iterable<Point<HistogramValue>>) {
    const counted = intervalOf(point, before, subtractHistograms);
    if (counted !== undefined) yield { ...counted, timeMs: point.timeMs };
    before = point;
  }
}

function numberPoints(
  points: readonly Point<number>[],
  evicted: Point | undefined,
  monotonic: boolean,
): NumberPoint[] {
  const shown: NumberPoint[] = [];
  points.forEach((point, i) => {
    const { timeMs, value } = point;
    const before = (points[i - 1] ?? evicted) as Point<number> | undefined;
    const counted = monotonic
      ? intervalOf(point, before, (a, b) => a >= b ? a - b : undefined)
      : undefined;
    const rate = counted === undefined
      ? null
      : finite(counted.value / ((timeMs - counted.fromMs) / 1000));
    // JSON knows neither NaN nor infinity: such a point cannot be drawn either.
    if (Number.isFinite(value)) shown.push({ timeMs, value, rate });
  });
  return shown;
}

/** A histogram of a stretch of time as it is shown. */
export function histogramFigures(
  value: HistogramValue,
  fromMs: number,
  timeMs: number,
): HistogramPoint {
  const sum = finite(value.sum);
  return {
    timeMs,
    fromMs,
    count: value.count,
    sum,
    rate: value.count / ((timeMs - fromMs) / 1000),
    mean: sum === null || value.count === 0 ? null : sum / value.count,
    p50: histogramQuantile(value, 0.5),
    p95: histogramQuantile(value, 0.95),
    p99: histogramQuantile(value, 0.99),
    buckets: histogramBuckets(value).map(({ upper, count }) => [finite(upper), count]),
  };
}

/** What was counted since when. Undefined when the sender does not say and there is no point before. */
function intervalOf<Value extends PointValue>(
  point: Point<Value>,
  before: Point<Value> | undefined,
  subtract: (later: Value, earlier: Value) => Value | undefined,
): { value: Value; fromMs: number } | undefined {
  const { timeMs, startMs, fromMs = before?.timeMs ?? 0 } = point;
  if (before !== undefined && !startedAnew(point, before)) {
    const value = subtract(point.value, before.value);
    if (value !== undefined && fromMs < timeMs) return { value, fromMs };
  }
  // A sender that began, or began again, has counted from 0: all it has belongs to this interval.
  const began = Math.max(startMs, before?.timeMs ?? 0);
  const known = startMs > 0 || before !== undefined;
  return known && began < timeMs ? { value: point.value, fromMs: began } : undefined;
}

/** The sender says that it counts from a moment after the point before. */
function startedAnew(point: Point, before: Point): boolean {
  return point.startMs > before.startMs && point.startMs >= before.timeMs;
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
