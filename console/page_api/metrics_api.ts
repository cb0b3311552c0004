/**
 * What the page port speaks of metrics. The rules of `api.ts` hold here too.
 *
 * @module
 */
import type { Attributes } from "./api.ts";

/** The kinds of metric of the OTLP data model. */
export type MetricType = "gauge" | "sum" | "histogram" | "exponentialHistogram" | "summary";

/** A metric: one name, any number of series. */
export interface MetricRow {
  name: string;
  type: MetricType;
  /** A sum that only grows: a counter. */
  monotonic: boolean;
  /** UCUM, as sent: `s`, `By`, `{request}`, `1`, or empty. */
  unit: string;
  description: string;
  /** Sorted. */
  services: string[];
  /** Number of series held. */
  series: number;
  lastSeenMs: number;
}

/** Answer of `/api/metrics`, sorted by name. */
export interface MetricsAnswer {
  metrics: MetricRow[];
}

/** Parameters of `/api/metrics?name=`. */
export interface MetricQuery {
  name: string;
  /** Of metrics with one name but several units: which one. Empty is a unit, too. @default the one received last */
  unit?: string;
  /** The same for types. */
  type?: MetricType;
  service?: string;
  /** @default "15m" */
  lookback?: string;
  /** In place of `lookback`: microseconds since the epoch. @default start is lookback ago, end is now */
  start?: string;
  end?: string;
  /** At most this many series, the most recently updated first; of groups the largest. @default 50; at most 500 */
  limit?: string;
  /**
   * Puts series together that agree in this attribute (of the point, its resource or its scope;
   * `service` is the service), over common steps of time. Given again for more than one, at most 3;
   * empty puts all together. A summary cannot be put together: 400.
   *
   * @default series are given as they are
   */
  by?: string;
  /** What is made of the values of a group; histograms are always added up. @default "sum"; of a gauge "mean" */
  combine?: Combine;
}

/** What is made of several values. */
export type Combine = "sum" | "mean" | "min" | "max";

/** The words of {@linkcode Combine}. */
export const combines = ["sum", "mean", "min", "max"] as const;

/** Attributes in {@linkcode MetricQuery.by}, at most. */
export const maxGroupKeys = 3;

/** An attribute that series can be grouped by. */
export interface GroupKey {
  key: string;
  /** Different values it has. */
  values: number;
}

/** Answer of `/api/metrics?name=`: 404 when no metric has the name. */
export interface MetricDataAnswer extends MetricRow {
  data: MetricSeries[];
  /** Series, or groups of them, that matched, including those beyond `limit`. */
  matched: number;
  /** What they can be grouped by, the attributes of points first; at most 50. */
  keys: GroupKey[];
  /** How they were grouped; absent if they were not. */
  grouped?: {
    by: string[];
    combine: Combine;
    /** Time from point to point, in milliseconds. */
    stepMs: number;
    /** Series that are in no group, as their histograms' buckets do not fit those of the others. */
    leftOut: number;
  };
}

/** One series: who sent it, its attributes, its points in order of time. Or a group of series, which has `members`. */
export interface MetricSeries {
  /** Empty for a group of several services. */
  service: string;
  /** `service.instance.id`, if given. */
  instance?: string;
  scope: string;
  /** @default none */
  scopeVersion?: string;
  /** Of a group: what it is grouped by; what is not there is the group's, too. */
  attributes: Attributes;
  /** Series in the group; absent if it is none. */
  members?: number;
  /** What of its resource (and scope) differs from that of the other series in the answer; absent if nothing does. */
  resource?: Attributes;
  points: MetricPoint[];
  /** The latest measurements that came with their span, at most 32; absent if there are none. */
  exemplars?: Exemplar[];
}

/** A measurement that stands for others, and the trace in which it was made. */
export interface Exemplar {
  timeMs: number;
  value: number;
  traceId: string;
  spanId?: string;
  /** What the series does not say of it. */
  attributes: Attributes;
}

/** A point, by the metric's type. */
export type MetricPoint = NumberPoint | HistogramPoint | SummaryPoint;

/** A point of a `gauge` or `sum`. */
export interface NumberPoint {
  timeMs: number;
  /** The gauge's value, or the sum's total (delta sums are added up). */
  value: number;
  /**
   * For a monotonic sum: growth per second in the point's own interval: since the point before, or
   * since the start that the sender gives. Null when neither is known.
   */
  rate: number | null;
}

/**
 * What a histogram counted in the point's own interval: since the point before, or since the start
 * that the sender gives. A first point without a start has none and is left out.
 */
export interface HistogramPoint {
  /** End of the interval. */
  timeMs: number;
  /** Beginning of the interval. */
  fromMs: number;
  /** Values counted in the interval. */
  count: number;
  /** Their sum; null when the sender gives none. */
  sum: number | null;
  /** `count` per second. */
  rate: number;
  /** `sum / count`; null when nothing was counted. */
  mean: number | null;
  /** By interpolation in the bucket; null when nothing was counted, or the sender has no buckets. */
  p50: number | null;
  p95: number | null;
  p99: number | null;
  /** Upper bound of each bucket that is not empty (null is infinity) and the values in it, lowest first. */
  buckets: [upperBound: number | null, count: number][];
}

/** A point of the old `summary` type. */
export interface SummaryPoint {
  timeMs: number;
  /** Totals as sent. */
  count: number;
  sum: number | null;
  /** Null is "no value", as when nothing was measured for some time. */
  quantiles: [quantile: number, value: number | null][];
}
