import assert from "node:assert/strict";
import type { HistogramPoint, MetricSeries } from "../page_api/metrics_api.ts";
import { cellText, heatCells } from "./heat_map.tsx";
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

Deno.test("cellText() says what is under the pointer: the time, the bounds, how many", () => {
  const cells = heatCells([series([10_000, [[1, 2], [2, 3]]], [20_000, [[1, 7]]])], [0, 20_000]);
  const text = (bound: number | null | undefined) => `${bound} s`;
  const at = (x: number, y: number) => cellText(cells, [0, 20_000], { x, y }, text)!.slice(8);
  assert.equal(at(0.25, 0.9), ", up to 1 s: 2");
  assert.equal(at(0.25, 0.1), ", 1 s to 2 s: 3");
  assert.equal(at(0.75, 0.9), ", up to 1 s: 7");
  assert.equal(at(1, 0), ", 1 s to 2 s: 0");
  assert.equal(cellText(cells, [0, 20_000], undefined, text), undefined);
});

Deno.test("peakOf() is where the largest value is, within the time that is shown", () => {
  const lines = [{ label: "a", values: [1, null, undefined] }, { label: "b", values: [0, 9, 2] }];
  const { atMs, fromMs, line } = peakOf({ timesMs: [5, 6, 7], lines }, [0, 9])!;
  assert.deepEqual([atMs, fromMs, line], [6, 5, 1]);
  assert.equal(peakOf({ timesMs: [5, 6, 7], lines }, [7, 9])!.atMs, 7);
  assert.equal(peakOf({ timesMs: [5, 6, 7], lines }, [8, 9]), undefined);
});
