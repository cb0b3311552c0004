import assert from "node:assert/strict";
import type { Source } from "../intake/source.ts";
import { metricSeries } from "../queries/metric_query.ts";
import { MetricStore, type Point } from "./metric_store.ts";
import { thinPoints } from "./thin_points.ts";

const source: Source = { service: "shop", instance: undefined, attributes: [], key: "shop" };
const metric = { name: "jobs", type: "sum", monotonic: true, unit: "1", description: "" } as const;
const startMs = 1_795_000_000_000;

Deno.test("thinPoints() keeps the newest close together and the oldest at all", () => {
  const points = Array.from({ length: 1_000 }, (_, i): Point => ({
    timeMs: i * 1_000,
    startMs: 0,
    value: i,
  }));
  const kept = thinPoints(points);
  assert.ok(kept.length < 400, `${kept.length}`);
  assert.deepEqual([kept[0], kept.at(-1)], [points[0], points.at(-1)]);
  assert.deepEqual(kept.slice(-40), points.slice(-40), "the last 40 s are whole");
  kept.slice(1).forEach((point, i) => {
    const stepMs = point.timeMs - kept[i]!.timeMs;
    assert.ok(stepMs <= Math.max(1_000, (999_000 - kept[i]!.timeMs) / 35), `${stepMs}`);
  });
});

for (const delta of [false, true]) {
  Deno.test(`an hour of a ${delta ? "delta" : "cumulative"} counter at a point a second is there, its rates true`, () => {
    const metrics = new MetricStore({ maxSeries: 2, maxPointsPerSeries: 360, maxBytes: 1e9 });
    for (let i = 1; i <= 3_600; i++) {
      const timeMs = startMs + i * 1_000;
      metrics.add(metric, {
        source,
        scope: { name: "", version: "" },
        attributes: [],
        timeMs,
        startMs: delta ? timeMs - 1_000 : startMs,
        value: delta ? 5 : 5 * i,
        delta,
      }, timeMs);
    }
    const [family] = metrics.families();
    const [series] = family!.series.values();
    assert.ok(series!.points.length <= 360, `${series!.points.length}`);
    assert.ok(metrics.evicted >= 3_240);
    assert.equal(metrics.points, series!.points.length);
    const { points } = metricSeries(series!, 0);
    assert.ok(points[0]!.timeMs <= startMs + 60_000, "it reaches back to the beginning");
    const rates = points.flatMap((point) =>
      "rate" in point && point.rate !== null ? [point.rate] : []
    );
    assert.ok(rates.length > 200);
    for (const rate of rates) assert.ok(Math.abs(rate - 5) < 0.01, `${rate}`);
  });
}
