import assert from "node:assert/strict";
import {
  addHistograms,
  type ExponentialBuckets,
  histogramBuckets,
  histogramQuantile,
  type HistogramValue,
  rescale,
  subtractHistograms,
} from "./histogram.ts";

function explicit(bounds: number[], counts: number[]): HistogramValue {
  const count = counts.reduce((sum, one) => sum + one, 0);
  return { count, sum: count, buckets: { kind: "explicit", bounds, counts } };
}

function exponential(
  given: Partial<ExponentialBuckets> & { count: number },
): HistogramValue {
  const { count, ...buckets } = given;
  const empty = { offset: 0, counts: [] };
  return {
    count,
    sum: NaN,
    buckets: {
      kind: "exponential",
      scale: 0,
      zeroCount: 0,
      zeroThreshold: 0,
      positive: empty,
      negative: empty,
      ...buckets,
    },
  };
}

Deno.test("histogramQuantile() interpolates in a bucket as Prometheus does", () => {
  const value = explicit([1, 2, 4], [0, 10, 10, 0]);
  assert.equal(histogramQuantile(value, 0.5), 2);
  assert.equal(histogramQuantile(value, 0.25), 1.5);
  assert.equal(histogramQuantile(value, 0.75), 3);
  // What a bucket's last sample is reached by is in it, not behind the empty one.
  assert.equal(histogramQuantile(explicit([1, 2, 4], [10, 0, 10, 0]), 0.5), 1);
  // The first bucket begins at 0, the last one has no end.
  assert.equal(histogramQuantile(explicit([1, 2], [10, 0, 0]), 0.5), 0.5);
  assert.equal(histogramQuantile(explicit([1, 2], [0, 0, 10]), 0.5), 2);
  assert.equal(histogramQuantile(explicit([1, 2], [0, 0, 0]), 0.5), null);
});

Deno.test("histogramQuantile() interpolates exponential buckets by their logarithm", () => {
  // Scale 0: buckets (1, 2], (2, 4], (4, 8].
  const value = exponential({ count: 4, positive: { offset: 0, counts: [1, 1, 2] } });
  assert.equal(histogramQuantile(value, 0.5), 4);
  assert.ok(Math.abs(histogramQuantile(value, 0.75)! - 4 * Math.SQRT2) < 1e-12);
  const zeros = exponential({ count: 3, zeroCount: 2, positive: { offset: 0, counts: [1] } });
  assert.equal(histogramQuantile(zeros, 0.5), 0);
  const negative = exponential({ count: 2, negative: { offset: 0, counts: [2] } });
  assert.ok(Math.abs(histogramQuantile(negative, 0.5)! + Math.SQRT2) < 1e-12);
});

Deno.test("histogramQuantile() lies in the bucket of the true quantile of real samples", () => {
  // A seeded generator: the same samples with each run.
  let state = 42;
  const random = () => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31;
  const samples = Array.from({ length: 5_000 }, () => Math.exp(random() * 6 - 3));
  const scale = 3;
  const index = (sample: number) => Math.ceil(Math.log2(sample) * 2 ** scale) - 1;
  const offset = Math.min(...samples.map(index));
  const counts: number[] = new Array(Math.max(...samples.map(index)) - offset + 1).fill(0);
  for (const sample of samples) counts[index(sample) - offset]!++;
  const value = exponential({ count: samples.length, scale, positive: { offset, counts } });
  samples.sort((a, b) => a - b);
  for (const quantile of [0.5, 0.95, 0.99]) {
    const real = samples[Math.floor(quantile * samples.length)]!;
    const estimated = histogramQuantile(value, quantile)!;
    assert.ok(Math.abs(estimated / real - 1) < 2 ** (2 ** -scale) - 1, `${estimated} for ${real}`);
  }
});

Deno.test("rescale() joins neighbours, below zero too", () => {
  const fine = exponential({ count: 10, scale: 1, positive: { offset: -3, counts: [1, 2, 3, 4] } });
  // Indexes -3, -2, -1, 0 become -2, -1, -1, 0.
  const coarse = rescale(fine.buckets as ExponentialBuckets, 0);
  assert.deepEqual(coarse.positive, { offset: -2, counts: [1, 5, 4] });
  assert.equal(coarse.scale, 0);
});

Deno.test("subtractHistograms() gives the interval, over a change of scale too", () => {
  const before = exponential({ count: 3, scale: 1, positive: { offset: 0, counts: [1, 2] } });
  const after = exponential({ count: 6, scale: 0, positive: { offset: 0, counts: [4, 2] } });
  const interval = subtractHistograms(after, before)!;
  assert.deepEqual(histogramBuckets(interval), [
    { lower: 1, upper: 2, count: 1 },
    { lower: 2, upper: 4, count: 2 },
  ]);
});

Deno.test("subtractHistograms() gives nothing after a restart or a change of bounds", () => {
  assert.equal(subtractHistograms(explicit([1], [1, 0]), explicit([1], [5, 0])), undefined);
  // A sender whose count and buckets disagree.
  const fewer = { ...explicit([1], [5, 5]), count: 1 };
  assert.equal(subtractHistograms(fewer, explicit([1], [5, 0])), undefined);
  assert.equal(subtractHistograms(explicit([1], [0, 9]), explicit([1], [5, 0])), undefined);
  assert.equal(subtractHistograms(explicit([1], [9, 9]), explicit([2], [1, 1])), undefined);
  assert.equal(subtractHistograms(explicit([1], [9, 9]), exponential({ count: 1 })), undefined);
});

Deno.test("addHistograms() adds, and stays small however far apart the ranges lie", () => {
  const sum = addHistograms(explicit([1], [1, 2]), explicit([1], [10, 20]))!;
  assert.deepEqual(sum.buckets, explicit([1], [11, 22]).buckets);
  const far = addHistograms(
    exponential({ count: 1, scale: 20, positive: { offset: -1_000_000_000, counts: [1] } }),
    exponential({ count: 1, scale: 20, positive: { offset: 1_000_000_000, counts: [1] } }),
  )!;
  const { positive } = far.buckets as ExponentialBuckets;
  assert.ok(positive.counts.length <= 2_048, `${positive.counts.length} buckets`);
  assert.equal(histogramBuckets(far).length, 2);
});
