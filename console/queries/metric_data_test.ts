import assert from "node:assert/strict";
import { ProblemError } from "../../service/problem.ts";
import type { Combine, HistogramPoint, NumberPoint } from "../page_api/metrics_api.ts";
import {
  type IncomingPoint,
  type MetricIdentity,
  MetricStore,
  type PointValue,
} from "../stores/metric_store.ts";
import { metricData, metricList } from "./metric_data.ts";

const counter: MetricIdentity = {
  name: "requests",
  type: "sum",
  monotonic: true,
  unit: "{request}",
  description: "",
};
const gauge: MetricIdentity = { ...counter, name: "queue", type: "gauge", monotonic: false };
const histogram: MetricIdentity = { ...counter, name: "duration", type: "histogram", unit: "s" };
const summary: MetricIdentity = { ...counter, name: "old", type: "summary" };
const scope = { name: "test", version: "" };

/** Ten o'clock, so that steps begin at whole multiples of all lengths. */
const nowMs = 36_000_000;

function shop(service = "shop", attributes: string[] = []) {
  return { service, instance: undefined, attributes, key: `${service} ${attributes}` };
}

/** A store with points each ten seconds over the last minute, `offsetMs` before the tens. */
function filled() {
  const metrics = new MetricStore({ maxSeries: 100, maxPointsPerSeries: 100, maxBytes: 1e9 });
  const add = (
    identity: MetricIdentity,
    valueAt: (i: number) => PointValue,
    given: Partial<IncomingPoint> = {},
    offsetMs = 0,
  ) => {
    for (let i = 0; i <= 6; i++) {
      const timeMs = nowMs - 60_000 + 10_000 * i - offsetMs;
      const point = {
        timeMs,
        startMs: 0,
        value: valueAt(i),
        source: shop(),
        scope,
        attributes: [],
      };
      metrics.add(identity, { ...point, delta: false, ...given }, timeMs);
    }
  };
  const ask = (name: string, given: Record<string, string | string[]> = {}) => {
    const parameters = Object.assign(
      (key: string) => [given[key]].flat()[0],
      { all: (key: string) => key in given ? [given[key]!].flat() : [] },
    );
    const store = { metricFamilies: () => metrics.families() };
    return metricData(name, parameters, { store, world: { nowMs: () => nowMs } });
  };
  return { metrics, add, ask };
}

function explicit(counts: number[], bounds = [1, 2]): PointValue {
  const count = counts.reduce((sum, one) => sum + one, 0);
  return { count, sum: 2 * count, buckets: { kind: "explicit", bounds, counts } };
}

const rates = (points: unknown[]) => (points as NumberPoint[]).map(({ rate }) => rate);
const values = (points: unknown[]) => (points as NumberPoint[]).map(({ value }) => value);

Deno.test("metricData() adds up the rates of what agrees in an attribute, whenever its points came", () => {
  const { add, ask } = filled();
  add(counter, (i) => 100 * i, { attributes: ["route", "/a", "status", 200] });
  add(counter, (i) => 50 * i, { attributes: ["route", "/a", "status", 500] }, 3_000);
  add(counter, (i) => 10 * i, { attributes: ["route", "/b", "status", 200] });
  add(counter, (i) => 10 * i, { attributes: ["status", 200] });
  const answer = ask("requests", { by: "route" });
  assert.deepEqual(answer.data.map(({ attributes }) => attributes), [
    { route: "/a" },
    { route: "/b" },
    {},
  ]);
  assert.deepEqual(answer.data.map(({ members }) => members), [2, 1, 1]);
  assert.deepEqual(answer.grouped, { by: ["route"], combine: "sum", stepMs: 10_000, leftOut: 0 });
  assert.deepEqual(rates(answer.data[0]!.points.slice(1)), new Array(6).fill(15));
  assert.deepEqual(
    answer.keys.map(({ key, values }) => [key, values]),
    [["route", 2], ["status", 2]],
  );
  assert.equal(answer.matched, 3);
});

Deno.test("metricData() groups by service and by what a resource says; an empty key puts all together", () => {
  const { add, ask } = filled();
  add(counter, (i) => 10 * i, { source: shop("cart", ["host.name", "h1"]) });
  add(counter, (i) => 20 * i, { source: shop("cart", ["host.name", "h2"]) });
  add(counter, (i) => 30 * i, { source: shop("bank", ["host.name", "h1"]) });
  const groups = (by: string | string[]) =>
    ask("requests", { by }).data.map(({ service, attributes, points }) => [
      service,
      ...Object.values(attributes),
      rates(points).at(-1),
    ]);
  assert.deepEqual(groups("service").sort(), [["bank", "bank", 3], ["cart", "cart", 3]]);
  assert.deepEqual(groups("host.name").sort(), [["", "h1", 4], ["cart", "h2", 2]]);
  assert.deepEqual(groups(""), [["", 6]]);
  assert.equal(groups(["service", "host.name"]).length, 3);
  assert.deepEqual(ask("requests").keys.map(({ key }) => key).sort(), ["host.name", "service"]);
});

Deno.test("metricData() adds levels up or takes one of them; one that ended is not held for ever", () => {
  const { add, ask } = filled();
  add(gauge, (i) => i, { attributes: ["worker", "a"] });
  add(gauge, (i) => 10 + i, { attributes: ["worker", "b"] }, 4_000);
  const last = (combine?: Combine) =>
    values(ask("queue", { by: "", ...(combine && { combine }) }).data[0]!.points).at(-1);
  assert.equal(last(), 11);
  assert.equal(last("sum"), 22);
  assert.equal(last("min"), 6);
  assert.equal(last("max"), 16);

  const ended = filled();
  ended.add(gauge, (i) => i, { attributes: ["worker", "a"] });
  ended.add(gauge, () => 100, { attributes: ["worker", "gone"] }, 600_000);
  assert.deepEqual(
    values(ended.ask("queue", { by: "", combine: "sum" }).data[0]!.points).slice(-2),
    [5, 6],
  );
});

Deno.test("metricData() merges histograms: their quantiles are those of all; what has other buckets is counted, not guessed", () => {
  const { add, ask } = filled();
  add(histogram, (i) => explicit([90 * i, 0, 0]), { attributes: ["route", "/a"] });
  add(histogram, (i) => explicit([0, 90 * i, 0]), { attributes: ["route", "/b"] }, 5_000);
  add(histogram, (i) => explicit([i, 0], [7]), { attributes: ["route", "/c"] });
  const { data, grouped } = ask("duration", { by: "" });
  assert.equal(grouped!.leftOut, 1);
  const point = data[0]!.points[3] as HistogramPoint;
  assert.deepEqual([point.rate, point.count, point.fromMs], [18, 180, point.timeMs - 10_000]);
  assert.deepEqual(point.buckets, [[1, 90], [2, 90]]);
  assert.ok(Math.abs(point.p50! - 1) < 1e-9 && Math.abs(point.p95! - 1.9) < 1e-9, `${point.p95}`);
});

Deno.test("metricData() shows a time that was chosen, at most 120 steps of it, and no step that is not over", () => {
  const { add, ask } = filled();
  add(counter, (i) => 10 * i);
  const between = (fromMs: number, toMs: number) =>
    ask("requests", { by: "", start: `${fromMs * 1000}`, end: `${toMs * 1000}` });
  const times = between(nowMs - 30_000, nowMs - 5_000).data[0]!.points.map(({ timeMs }) => timeMs);
  assert.deepEqual(times, [nowMs - 30_000, nowMs - 20_000, nowMs - 10_000]);
  assert.equal(between(nowMs - 7_200_000, nowMs).grouped!.stepMs, 60_000);
  assert.deepEqual(
    ask("requests", { start: `${(nowMs - 25_000) * 1000}`, end: `${(nowMs - 5_000) * 1000}` })
      .data[0]!.points.map(({ timeMs }) => timeMs),
    [nowMs - 20_000, nowMs - 10_000],
  );
});

Deno.test("metricData() shows what a program sent last before it ended, though its step was not full", () => {
  const pointsOfOneAt = (timeMs: number) => {
    const { metrics, ask } = filled();
    const point = { timeMs, startMs: timeMs - 2_000, value: 10, source: shop(), scope };
    metrics.add(counter, { ...point, attributes: [], delta: false }, timeMs);
    return ask("requests", { by: "" }).data[0]!.points;
  };
  assert.deepEqual(pointsOfOneAt(nowMs - 3_000), []);
  const shown = { timeMs: nowMs - 30_000, value: 10, rate: 5 };
  assert.deepEqual(pointsOfOneAt(nowMs - 33_000), [shown]);
});

Deno.test("metricData() says what is wrong with a question", () => {
  const { add, ask } = filled();
  add(counter, (i) => i);
  add(histogram, (i) => explicit([i, 0, 0]));
  add(summary, () => ({ count: 1, sum: 1, quantiles: [[0.5, 1]] }));
  const problems: [name: string, given: Record<string, string | string[]>, parameter: string][] = [
    ["requests", { by: ["a", "b", "c", "d"] }, "by"],
    ["requests", { by: "k".repeat(257) }, "by"],
    ["old", { by: "route" }, "by"],
    ["requests", { by: "a", combine: "median" }, "combine"],
    ["duration", { by: "a", combine: "max" }, "combine"],
    ["requests", { start: "now" }, "start"],
    ["requests", { start: "2", end: "1" }, "start"],
    ["requests", { limit: "0" }, "limit"],
  ];
  for (const [name, given, parameter] of problems) {
    assert.throws(() => ask(name, given), (error) => {
      assert.ok(error instanceof ProblemError);
      assert.deepEqual([error.status, error.problem.parameter], [400, parameter]);
      return true;
    }, JSON.stringify([name, given]));
  }
  assert.throws(() => ask("unknown"), { status: 404 });
});

Deno.test("metricData() of 2,000 series is answered with the largest groups", () => {
  const metrics = new MetricStore({ maxSeries: 2_000, maxPointsPerSeries: 10, maxBytes: 1e9 });
  for (let n = 0; n < 2_000; n++) {
    for (let i = 0; i < 3; i++) {
      const timeMs = nowMs - 20_000 + 10_000 * i;
      const attributes = ["id", n, "part", n % 7];
      const point = { timeMs, startMs: 0, value: i * n, source: shop(), scope, attributes };
      metrics.add(counter, { ...point, delta: false }, timeMs);
    }
  }
  const parameters = Object.assign(
    (key: string) => ({ by: "id", limit: "5" } as Record<string, string>)[key],
    { all: () => ["id"] },
  );
  const store = { metricFamilies: () => metrics.families() };
  const answer = metricData("requests", parameters, { store, world: { nowMs: () => nowMs } });
  assert.equal(answer.matched, 2_000);
  assert.deepEqual(answer.data.map(({ attributes }) => attributes.id), [
    "1999",
    "1998",
    "1997",
    "1996",
    "1995",
  ]);
  assert.equal(metricList({ store }).metrics[0]!.series, 2_000);
});
