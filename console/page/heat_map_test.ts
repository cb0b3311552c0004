import assert from "node:assert/strict";
import type { HistogramPoint, MetricSeries } from "../page_api/metrics_api.ts";
import { heatCells } from "./heat_map.tsx";
import { peakOf } from "./time_span.tsx";

function series(...points: [timeMs: number, buckets: [number | null, number][]][]): MetricSeries {
  return {
    points: points.map(([timeMs, buckets]) => ({ timeMs, buckets }) as HistogramPoint),
  } as MetricSeries;
}

Deno.test("heatCells() puts buckets of several series on common bounds, within the time", () => {
  const { bounds, timesMs, counts, most } = heatCells([
    series([10, [[1, 2], [2, 3], [null, 1]]], [99, [[1, 50]]]),
    series([10, [[1, 1], [4, 5]]], [20, [[2, 7]]]),
  ], [0, 50]);
  assert.deepEqual(bounds, [1, 2, 4, null]);
  assert.deepEqual(timesMs, [10, 20]);
  assert.deepEqual(counts, [[3, 3, 5, 1], [0, 7, 0, 0]]);
  assert.equal(most, 7);
});

Deno.test("heatCells() folds hundreds of buckets into few rows and loses no count", () => {
  const buckets = Array.from({ length: 300 }, (_, i): [number, number] => [i + 1, 1]);
  const { bounds, counts } = heatCells([series([1, buckets])], [0, 2]);
  assert.ok(bounds.length <= 40 && bounds.at(-1) === 300);
  assert.equal(counts[0]!.reduce((a, b) => a + b, 0), 300);
});

Deno.test("peakOf() is where the largest value is", () => {
  const lines = [{ label: "a", values: [1, null, undefined] }, { label: "b", values: [0, 9, 2] }];
  assert.equal(peakOf({ timesMs: [5, 6, 7], lines }), 6);
  assert.equal(peakOf({ timesMs: [], lines: [] }), undefined);
});
