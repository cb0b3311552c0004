/**
 * Arithmetic of histograms: OTLP's explicit and exponential ones (opentelemetry.io/docs/specs/otel,
 * "Metrics Data Model") as one kind of thing that can be added, subtracted and asked for quantiles.
 *
 * @module
 */

/** Counts of values by range. */
export interface HistogramValue {
  readonly count: number;
  /** NaN when the sender gives none. */
  readonly sum: number;
  readonly buckets: ExplicitBuckets | ExponentialBuckets;
}

/** `counts[i]` counts values in (`bounds[i - 1]`, `bounds[i]`]; there is one more count than bounds. */
export interface ExplicitBuckets {
  readonly kind: "explicit";
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
}

/** `positive.counts[i]` counts values in (base^(offset+i), base^(offset+i+1)], where base is 2^(2^-scale). */
export interface ExponentialBuckets {
  readonly kind: "exponential";
  readonly scale: number;
  readonly zeroCount: number;
  readonly zeroThreshold: number;
  readonly positive: IndexedCounts;
  readonly negative: IndexedCounts;
}

/** Counts from an index on. */
export interface IndexedCounts {
  readonly offset: number;
  readonly counts: readonly number[];
}

/** A range and how many values are in it. */
export interface Bucket {
  readonly lower: number;
  readonly upper: number;
  readonly count: number;
}

/** `a + b`; undefined when their bounds do not fit together. */
export function addHistograms(a: HistogramValue, b: HistogramValue): HistogramValue | undefined {
  return combine(a, b, 1);
}

/**
 * A part of a histogram: what of it falls into a share of its time, if it was counted evenly.
 *
 * @example
 * ```ts
 * scaleHistogram({ count: 10, sum: 15, buckets }, 0.5).count; // 5
 * ```
 */
export function scaleHistogram(
  { count, sum, buckets }: HistogramValue,
  share: number,
): HistogramValue {
  if (share === 1) return { count, sum, buckets };
  const part = (counts: readonly number[]) => counts.map((count) => count * share);
  return {
    count: count * share,
    sum: sum * share,
    buckets: buckets.kind === "explicit" ? { ...buckets, counts: part(buckets.counts) } : {
      ...buckets,
      zeroCount: buckets.zeroCount * share,
      positive: { ...buckets.positive, counts: part(buckets.positive.counts) },
      negative: { ...buckets.negative, counts: part(buckets.negative.counts) },
    },
  };
}

/**
 * What was counted between two cumulative points. Undefined when `later` is not a continuation of
 * `earlier`: other bounds, or a count that shrank because the sender started again.
 *
 * @example
 * ```ts
 * const interval = subtractHistograms(later, earlier);
 * const p95 = interval && histogramQuantile(interval, 0.95);
 * ```
 */
export function subtractHistograms(
  later: HistogramValue,
  earlier: HistogramValue,
): HistogramValue | undefined {
  if (later.count < earlier.count) return undefined;
  const difference = combine(later, earlier, -1);
  if (difference === undefined) return undefined;
  const shrank = histogramBuckets(difference).some(({ count }) => count < 0);
  return shrank ? undefined : difference;
}

function combine(a: HistogramValue, b: HistogramValue, sign: 1 | -1): HistogramValue | undefined {
  const buckets = a.buckets.kind === "explicit"
    ? b.buckets.kind === "explicit" ? combineExplicit(a.buckets, b.buckets, sign) : undefined
    : b.buckets.kind === "exponential"
    ? combineExponential(a.buckets, b.buckets, sign)
    : undefined;
  if (buckets === undefined) return undefined;
  return { count: a.count + sign * b.count, sum: a.sum + sign * b.sum, buckets };
}

function combineExplicit(
  a: ExplicitBuckets,
  b: ExplicitBuckets,
  sign: 1 | -1,
): ExplicitBuckets | undefined {
  if (a.counts.length !== b.counts.length) return undefined;
  if (a.bounds !== b.bounds && a.bounds.some((bound, i) => bound !== b.bounds[i])) return undefined;
  return { ...a, counts: a.counts.map((count, i) => count + sign * b.counts[i]!) };
}

function combineExponential(
  a: ExponentialBuckets,
  b: ExponentialBuckets,
  sign: 1 | -1,
): ExponentialBuckets {
  // The coarser scale is the one both can be brought to (perfect subsetting); coarser still where
  // their ranges lie so far apart that the counts between them would fill the memory.
  let scale = Math.min(a.scale, b.scale);
  let [left, right] = [rescale(a, scale), rescale(b, scale)];
  while (
    reach(left.positive, right.positive) > maxBuckets ||
    reach(left.negative, right.negative) > maxBuckets
  ) {
    scale--;
    [left, right] = [rescale(left, scale), rescale(right, scale)];
  }
  return {
    kind: "exponential",
    scale,
    zeroCount: a.zeroCount + sign * b.zeroCount,
    zeroThreshold: Math.max(a.zeroThreshold, b.zeroThreshold),
    positive: combineIndexed(left.positive, right.positive, sign),
    negative: combineIndexed(left.negative, right.negative, sign),
  };
}

const maxBuckets = 2_048;

function reach(a: IndexedCounts, b: IndexedCounts): number {
  if (a.counts.length === 0 || b.counts.length === 0) return 0;
  return Math.max(a.offset + a.counts.length, b.offset + b.counts.length) -
    Math.min(a.offset, b.offset);
}

function combineIndexed(a: IndexedCounts, b: IndexedCounts, sign: 1 | -1): IndexedCounts {
  if (b.counts.length === 0) return a;
  if (a.counts.length === 0) {
    return { offset: b.offset, counts: b.counts.map((count) => sign * count) };
  }
  const offset = Math.min(a.offset, b.offset);
  const end = Math.max(a.offset + a.counts.length, b.offset + b.counts.length);
  const counts = new Array<number>(end - offset).fill(0);
  a.counts.forEach((count, i) => counts[a.offset - offset + i]! += count);
  b.counts.forEach((count, i) => counts[b.offset - offset + i]! += sign * count);
  return { offset, counts };
}

/** The same counts at a coarser scale: each step down joins two neighbours. */
export function rescale(buckets: ExponentialBuckets, scale: number): ExponentialBuckets {
  const steps = buckets.scale - scale;
  if (steps <= 0) return buckets;
  return {
    ...buckets,
    scale,
    positive: joinNeighbours(buckets.positive, steps),
    negative: joinNeighbours(buckets.negative, steps),
  };
}

function joinNeighbours(indexed: IndexedCounts, steps: number): IndexedCounts {
  if (indexed.counts.length === 0) return indexed;
  const factor = 2 ** steps;
  const offset = Math.floor(indexed.offset / factor);
  const last = Math.floor((indexed.offset + indexed.counts.length - 1) / factor);
  const counts = new Array<number>(last - offset + 1).fill(0);
  indexed.counts.forEach((count, i) => {
    counts[Math.floor((indexed.offset + i) / factor) - offset]! += count;
  });
  return { offset, counts };
}

/** All buckets with something in them, lowest first. */
export function histogramBuckets({ buckets }: HistogramValue): Bucket[] {
  const list: Bucket[] = [];
  if (buckets.kind === "explicit") {
    buckets.counts.forEach((count, i) => {
      if (count === 0) return;
      const upper = buckets.bounds[i] ?? Infinity;
      // Most measurements are not negative: the first bucket then begins at 0, as in Prometheus.
      const lower = buckets.bounds[i - 1] ?? (i === 0 && upper > 0 ? 0 : -Infinity);
      list.push({ lower, upper, count });
    });
    return list;
  }
  const bound = (index: number) => 2 ** (index * 2 ** -buckets.scale);
  const { positive, negative, zeroThreshold } = buckets;
  for (let i = negative.counts.length - 1; i >= 0; i--) {
    const count = negative.counts[i]!;
    const index = negative.offset + i;
    if (count !== 0) list.push({ lower: -bound(index + 1), upper: -bound(index), count });
  }
  if (buckets.zeroCount !== 0) {
    list.push({ lower: -zeroThreshold, upper: zeroThreshold, count: buckets.zeroCount });
  }
  positive.counts.forEach((count, i) => {
    const index = positive.offset + i;
    if (count !== 0) list.push({ lower: bound(index), upper: bound(index + 1), count });
  });
  return list;
}

/**
 * A quantile by interpolation: linear in a bucket of an explicit histogram, as Prometheus's
 * `histogram_quantile` does it, and by its logarithm in an exponential one. In the bucket
 * without upper bound the answer is its lower bound. Null when nothing was counted, or not by buckets.
 *
 * @example
 * ```ts
 * const buckets = { kind: "explicit", bounds: [1, 2], counts: [0, 10, 0] } as const;
 * histogramQuantile({ count: 10, sum: 15, buckets }, 0.5); // 1.5
 * ```
 */
export function histogramQuantile(value: HistogramValue, quantile: number): number | null {
  // A sender that was told to keep no buckets says nothing of how its values lie.
  if (value.buckets.kind === "explicit" && value.buckets.bounds.length === 0) return null;
  const list = histogramBuckets(value);
  const total = list.reduce((sum, { count }) => sum + count, 0);
  if (total <= 0) return null;
  const rank = quantile * total;
  let below = 0;
  for (const { lower, upper, count } of list) {
    if (below + count < rank) {
      below += count;
      continue;
    }
    if (upper === Infinity) return lower;
    if (lower === -Infinity) return upper;
    const share = Math.max(0, (rank - below) / count);
    if (value.buckets.kind === "exponential" && lower > 0) return lower * (upper / lower) ** share;
    if (value.buckets.kind === "exponential" && upper < 0) {
      return lower * (upper / lower) ** share;
    }
    return lower + (upper - lower) * share;
  }
  const last = list.at(-1)!;
  return last.upper === Infinity ? last.lower : last.upper;
}
