import assert from "node:assert/strict";
import { metricSeries } from "../queries/metric_query.ts";
import {
  type IncomingPoint,
  type MetricIdentity,
  MetricStore,
  type MetricStoreOptions,
  type PointValue,
} from "./metric_store.ts";

const counter: MetricIdentity = {
  name: "requests",
  type: "sum",
  monotonic: true,
  unit: "{request}",
  description: "",
};
const histogram: MetricIdentity = { ...counter, name: "duration", type: "histogram", unit: "s" };
const source = { service: "shop", instance: "i1", attributes: [], key: "shop" };
const scope = { name: "test", version: "" };

function store(options: Partial<MetricStoreOptions> = {}): MetricStore {
  return new MetricStore({ maxSeries: 10, maxPointsPerSeries: 4, maxBytes: 1e9, ...options });
}

function point(timeMs: number, value: PointValue, given: Partial<IncomingPoint> = {}) {
  return { timeMs, startMs: 0, value, source, scope, attributes: [], delta: false, ...given };
}

function explicit(counts: number[]): PointValue {
  const count = counts.reduce((sum, one) => sum + one, 0);
  return { count, sum: 2 * count, buckets: { kind: "explicit", bounds: [1, 2], counts } };
}

function onlySeries(metrics: MetricStore) {
  const [family] = metrics.families();
  const [series] = family!.series.values();
  return metricSeries(series!, 0);
}

Deno.test("MetricStore distinguishes series by their attributes, whatever their order", () => {
  const metrics = store();
  metrics.add(counter, point(1, 1, { attributes: ["a", 1, "b", 2] }), 1);
  metrics.add(counter, point(2, 2, { attributes: ["b", 2, "a", 1] }), 2);
  metrics.add(counter, point(2, 2, { attributes: ["a", 1] }), 2);
  assert.equal(metrics.series, 2);
  assert.equal(metrics.points, 3);
});

Deno.test("MetricStore refuses a new series at its limit until one has been silent for long", () => {
  const metrics = store({ maxSeries: 2 });
  const series = (name: string) => ({ attributes: ["name", name] });
  assert.equal(metrics.add(counter, point(1, 1, series("a")), 1), "kept");
  assert.equal(metrics.add(counter, point(1, 1, series("b")), 200_000), "kept");
  assert.equal(metrics.add(counter, point(1, 1, series("c")), 200_001), "series_limit");
  assert.equal(metrics.add(counter, point(2, 2, series("b")), 400_000), "kept");
  assert.equal(metrics.add(counter, point(1, 1, series("c")), 400_001), "kept");
  assert.equal(metrics.series, 2);
});

Deno.test("MetricStore keeps the last points of a series, and none that are older", () => {
  const metrics = store();
  for (let time = 1; time <= 6; time++) metrics.add(counter, point(time, time), time);
  assert.equal(metrics.add(counter, point(3, 3), 7), "out_of_order");
  assert.equal(metrics.add(counter, point(6, 66), 7), "kept");
  assert.deepEqual(onlySeries(metrics).points.map((one) => "value" in one && one.value), [
    3,
    4,
    5,
    66,
  ]);
  assert.equal(metrics.evicted, 2);
});

Deno.test("MetricStore keeps its limit of bytes, and knows exactly what it holds", () => {
  const metrics = store({ maxSeries: 1_000, maxPointsPerSeries: 1_000, maxBytes: 100_000 });
  for (let time = 1; time < 200; time++) {
    for (let series = 0; series < 30; series++) {
      const value = explicit(Array.from({ length: 3 + time % 7 }, () => time));
      metrics.add(histogram, point(time, value, { attributes: ["series", series] }), time);
      assert.ok(metrics.bytes <= 100_000);
    }
  }
  assert.ok(metrics.bytes > 50_000, `${metrics.bytes}`);
  let held = 0;
  for (const family of metrics.families()) {
    for (const { ownBytes, pointBytes, points } of family.series.values()) {
      held += ownBytes + pointBytes * points.length;
    }
  }
  assert.equal(metrics.bytes, held);
  // Series too many to hold even two points each: the most silent go.
  for (let series = 0; series < 900; series++) {
    metrics.add(counter, point(1, 1, { attributes: ["other", series] }), 1_000 + series);
  }
  assert.ok(metrics.bytes <= 100_000);
  assert.ok(metrics.series < 500);
  const left = [...metrics.families()].flatMap(({ series }) => [...series.values()])
    .map(({ lastSeenMs }) => lastSeenMs).sort((a, b) => a - b);
  assert.equal(left.at(-1), 1_899, "the latest is among those that are left");
  assert.equal(left[0], 1_900 - left.length, "and none that was heard of before one that went");
});

Deno.test("MetricStore adds deltas up to totals, each with the rate of its own interval", () => {
  const metrics = store();
  for (const [time, value] of [[2_000, 5], [3_000, 3], [4_000, 0]] as const) {
    metrics.add(counter, point(time, value, { delta: true, startMs: time - 1_000 }), time);
  }
  // 100 in 10 s after a silence are 10 a second, whenever the one before was.
  metrics.add(counter, point(290_000, 100, { delta: true, startMs: 280_000 }), 290_000);
  assert.deepEqual(onlySeries(metrics).points, [
    { timeMs: 2_000, value: 5, rate: 5 },
    { timeMs: 3_000, value: 8, rate: 3 },
    { timeMs: 4_000, value: 8, rate: 0 },
    { timeMs: 290_000, value: 108, rate: 10 },
  ]);
});

Deno.test("MetricStore counts a delta that comes twice once", () => {
  const metrics = store();
  const sent = point(2_000, 5, { delta: true, startMs: 1_000 });
  assert.equal(metrics.add(counter, sent, 1), "kept");
  assert.equal(metrics.add(counter, sent, 2), "duplicate");
  assert.deepEqual(onlySeries(metrics).points, [{ timeMs: 2_000, value: 5, rate: 5 }]);
});

Deno.test("MetricStore knows the interval of its oldest point, though the one before is gone", () => {
  const metrics = store({ maxPointsPerSeries: 2 });
  for (let time = 1; time <= 4; time++) metrics.add(counter, point(time * 1_000, time * 10), time);
  assert.deepEqual(
    onlySeries(metrics).points.map((one) => "value" in one && one.rate),
    [10, 10],
  );
});

Deno.test("MetricStore tells metrics of one name apart by their unit, and series by their scope", () => {
  const metrics = store();
  metrics.add({ ...counter, name: "lat", unit: "s" }, point(1, 1), 1);
  metrics.add({ ...counter, name: "lat", unit: "ms" }, point(1, 1_000), 1);
  assert.equal([...metrics.families()].length, 2);
  for (const version of ["1", "2"]) {
    metrics.add(counter, point(1, 1, { scope: { name: "test", version } }), 1);
  }
  assert.equal(metrics.series, 4);
});

Deno.test("MetricStore keeps the latest exemplars, each once, and knows what they take", () => {
  const metrics = store();
  const exemplar = (timeMs: number) => ({
    timeMs,
    value: timeMs,
    traceId: "t1",
    spanId: "s1",
    attributes: [],
  });
  for (let time = 1; time <= 40; time++) {
    const exemplars = [exemplar(time), exemplar(time)];
    metrics.add(counter, point(time, time, { exemplars }), time);
  }
  const { exemplars } = onlySeries(metrics);
  assert.equal(exemplars!.length, 32);
  const { timeMs, traceId, spanId } = exemplars!.at(-1)!;
  assert.deepEqual([timeMs, traceId, spanId], [40, "t1", "s1"]);
  // Silent for so long that another one takes its place: nothing of it is left.
  const small = store({ maxSeries: 1 });
  small.add(counter, point(1, 1, { exemplars: [exemplar(1)] }), 1);
  const bytes = small.bytes;
  small.add(counter, point(1, 1, { attributes: ["a", "b"] }), 400_000);
  assert.ok(small.bytes < bytes, `${small.bytes} of ${bytes}`);
});

Deno.test("metricSeries() gives a rate over a restart of the sender by what it says of its start", () => {
  const metrics = store();
  metrics.add(counter, point(1_000, 100), 1);
  metrics.add(counter, point(3_000, 140), 2);
  // Smaller than before: it has counted from 0 since then.
  metrics.add(counter, point(4_000, 7), 3);
  metrics.add(counter, point(5_000, 900, { startMs: 4_500 }), 4);
  assert.deepEqual(
    onlySeries(metrics).points.map((one) => "value" in one && one.rate),
    [null, 20, 7, 1_800],
  );
});

Deno.test("metricSeries() shows the first and only point of a histogram, if it says since when it counts", () => {
  for (const delta of [true, false]) {
    const metrics = store();
    metrics.add(histogram, point(3_000, explicit([0, 10, 0]), { startMs: 1_000, delta }), 1);
    const { points } = onlySeries(metrics);
    assert.deepEqual(
      points.map((one) => "buckets" in one && [one.fromMs, one.count, one.rate, one.p50]),
      [[1_000, 10, 5, 1.5]],
    );
  }
});

Deno.test("metricSeries() invents no quantiles: a histogram without buckets, a summary without values", () => {
  const metrics = store();
  const value = {
    count: 4,
    sum: 8,
    buckets: { kind: "explicit" as const, bounds: [], counts: [4] },
  };
  metrics.add(histogram, point(3_000, value, { startMs: 1_000 }), 1);
  const [one] = onlySeries(metrics).points;
  assert.ok(one !== undefined && "buckets" in one);
  assert.deepEqual([one.mean, one.p50, one.p95, one.p99], [2, null, null, null]);

  const summaries = store();
  const quantiles = [[0.5, NaN], [0.9, 3]] as [number, number][];
  summaries.add(
    { ...histogram, type: "summary" },
    point(1, { count: 0, sum: NaN, quantiles }),
    1,
  );
  assert.deepEqual(onlySeries(summaries).points, [
    { timeMs: 1, count: 0, sum: null, quantiles: [[0.5, null], [0.9, 3]] },
  ]);
});

Deno.test("metricSeries() shows what a histogram counted between two points", () => {
  const metrics = store();
  metrics.add(histogram, point(1_000, explicit([5, 5, 0])), 1);
  metrics.add(histogram, point(3_000, explicit([5, 15, 0])), 2);
  metrics.add(histogram, point(4_000, explicit([1, 0, 1]), { startMs: 3_500 }), 3);
  const { points } = onlySeries(metrics);
  assert.deepEqual(points, [
    {
      timeMs: 3_000,
      fromMs: 1_000,
      count: 10,
      sum: 20,
      rate: 5,
      mean: 2,
      p50: 1.5,
      p95: 1.95,
      p99: 1.99,
      buckets: [[2, 10]],
    },
    // The sender began again: all it has counted is new.
    {
      timeMs: 4_000,
      fromMs: 3_500,
      count: 2,
      sum: 4,
      rate: 4,
      mean: 2,
      p50: 1,
      p95: 2,
      p99: 2,
      buckets: [[1, 1], [null, 1]],
    },
  ]);
});

/** What it says that it holds, counted anew. */
function assertExact(metrics: MetricStore): void {
  const all = [...metrics.families()].flatMap(({ series }) => [...series.values()]);
  assert.equal(metrics.series, all.length);
  assert.equal(metrics.points, all.reduce((sum, { points }) => sum + points.length, 0));
  assert.equal(
    metrics.bytes,
    all.reduce(
      (sum, { ownBytes, pointBytes, points, exemplars }) =>
        sum + ownBytes + pointBytes * points.length + 240 * (exemplars?.length ?? 0),
      0,
    ),
  );
  const times = all.flatMap(({ points }) => [...points].map(({ timeMs }) => timeMs));
  assert.equal(metrics.oldestMs, times.length === 0 ? undefined : Math.min(...times));
}

const named = (name: string) => ({ attributes: ["name", name] });
const keysOf = (metrics: MetricStore) =>
  [...metrics.families()].flatMap(({ series }) =>
    [...series.values()].map(({ attributes }) => attributes[1])
  );

Deno.test("MetricStore takes a point's size from what it is, and all of a series for its largest", () => {
  const sizes: [PointValue, number][] = [
    [7, 80],
    [{ count: 1, sum: 1, quantiles: [[0, 1], [1, 2]] }, 320],
    [explicit([1, 2, 3]), 264],
    [
      {
        ...{ count: 1, sum: 1 },
        buckets: {
          ...{ kind: "exponential", scale: 0, zeroCount: 0, zeroThreshold: 0 },
          positive: { offset: 0, counts: [1, 2] },
          negative: { offset: 0, counts: [1] },
        },
      },
      424,
    ],
  ];
  for (const [value, bytes] of sizes) {
    const metrics = store();
    metrics.add(histogram, point(1, value), 1);
    const own = metrics.bytes - bytes;
    metrics.add(histogram, point(2, value), 1);
    assert.equal(metrics.bytes, own + 2 * bytes);
    assertExact(metrics);
  }
  const metrics = store();
  metrics.add(histogram, point(1, explicit([1, 2, 3])), 1);
  metrics.add(histogram, point(2, explicit([1, 2, 3, 4])), 1);
  assertExact(metrics);
  metrics.add(histogram, point(2, explicit([1, 2])), 1);
  assert.equal(metrics.points, 2, "of the same time the later one");
  assertExact(metrics);
});

Deno.test("MetricStore tells what has changed, once, and forgets all", () => {
  const metrics = store();
  assert.equal(metrics.oldestMs, undefined);
  metrics.add(counter, point(5, 1), 7);
  metrics.add(histogram, point(3, explicit([1])), 7);
  assert.deepEqual([...metrics.takeChanged()], ["requests", "duration"]);
  assert.deepEqual([...metrics.takeChanged()], []);
  assert.equal(metrics.add(counter, point(4, 1), 9), "out_of_order");
  assert.deepEqual([...metrics.takeChanged()], []);
  const [family] = metrics.families();
  assert.equal(family!.lastSeenMs, 7, "what is refused is not seen");
  assert.equal(metrics.add(counter, point(6, 1), 9), "kept");
  assert.equal(family!.lastSeenMs, 9);
  assert.equal([...family!.series.values()][0]!.lastSeenMs, 9);
  assertExact(metrics);
  metrics.clear();
  assert.deepEqual(
    [metrics.series, metrics.points, metrics.bytes, metrics.evicted, metrics.oldestMs],
    [0, 0, 0, 0, undefined],
  );
  assert.deepEqual([...metrics.families()], []);
});

Deno.test("MetricStore forgets what is silent for more than five minutes, looking once a second", () => {
  const metrics = store({ maxSeries: 2 });
  metrics.add(counter, point(1, 1, named("a")), 0);
  metrics.add(histogram, point(1, explicit([1]), named("b")), 1_000);
  const fresh = (nowMs: number) => metrics.add(counter, point(1, 1, named("c")), nowMs);
  assert.equal(fresh(300_000), "series_limit", "just five minutes");
  assert.equal(fresh(300_999), "series_limit", "it was looked a moment ago");
  assert.equal(fresh(301_000), "kept");
  assert.deepEqual(keysOf(metrics), ["b", "c"]);
  assertExact(metrics);
  assert.equal(metrics.evicted, 1);
  // The last series of a metric goes with it.
  assert.equal(metrics.add(counter, point(1, 1, named("d")), 303_000), "kept");
  assert.deepEqual([...metrics.families()].map(({ name }) => name), ["requests"]);
  assertExact(metrics);
});

Deno.test("MetricStore gives up the oldest quarter of each series, and forgets none for it", () => {
  const metrics = store({ maxPointsPerSeries: 1_000, maxBytes: 5_000 });
  for (let timeMs = 1; timeMs <= 100; timeMs++) {
    metrics.add(counter, point(timeMs, timeMs, named("a")), 1);
    metrics.add(counter, point(timeMs, timeMs, named("b")), 2);
    assert.ok(metrics.bytes <= 5_000);
    assertExact(metrics);
  }
  assert.deepEqual(keysOf(metrics), ["a", "b"]);
  const [a, b] = [...metrics.families()].flatMap(({ series }) => [...series.values()]);
  for (const { points, before } of [a!, b!]) {
    assert.ok(points.length > 15, `${points.length} points`);
    assert.equal(points.at(-1)!.timeMs, 100);
    assert.equal(before!.timeMs, points.at(0)!.timeMs - 1, "in one piece");
  }
  assert.equal(metrics.evicted, 200 - metrics.points);
});

Deno.test("MetricStore forgets the most silent series where none has points to give", () => {
  const metrics = store({ maxBytes: 1_700 });
  metrics.add(counter, point(1, 1, named("x")), 100);
  metrics.add(counter, point(1, 1, named("y")), 50);
  assert.equal(metrics.series, 2);
  metrics.add(histogram, point(1, 1, named("z")), 101);
  assert.deepEqual(keysOf(metrics), ["x", "z"]);
  assertExact(metrics);
  // Two points are what a rate needs: a series gives none of them, it goes.
  const two = store({ maxBytes: 800 });
  two.add(counter, point(1, 1), 1);
  assert.equal(two.series, 1);
  two.add(counter, point(2, 2), 1);
  assert.deepEqual([two.series, two.bytes, [...two.families()].length], [0, 0, 0]);
});

Deno.test("MetricStore tells a total from what may fall, whatever their name", () => {
  const metrics = store();
  metrics.add(counter, point(1, 1), 1);
  metrics.add({ ...counter, monotonic: false }, point(1, 1), 1);
  assert.equal([...metrics.families()].length, 2);
});

Deno.test("MetricStore thins out what is old of a long series, and drops the oldest of a short one", () => {
  const short = store({ maxPointsPerSeries: 3 });
  for (let timeMs = 1; timeMs <= 5; timeMs++) short.add(counter, point(timeMs, timeMs), 1);
  const [series] = [...short.families()][0]!.series.values();
  assert.deepEqual([...series!.points].map(({ timeMs }) => timeMs), [3, 4, 5]);
  assert.equal(series!.before!.timeMs, 2);
  assert.equal(short.evicted, 2);
  assertExact(short);
  const long = store({ maxPointsPerSeries: 100 });
  for (let timeMs = 1; timeMs <= 500; timeMs++) {
    long.add(counter, point(timeMs * 1_000, timeMs), 1);
    assertExact(long);
    assert.ok(long.points <= 100);
  }
  assert.equal(long.evicted, 500 - long.points);
  assert.ok(long.points >= 50);
});

Deno.test("MetricStore begins a total anew where values cannot be added, and keeps where a delta begins", () => {
  const metrics = store();
  const delta = (timeMs: number, startMs: number, value: PointValue) =>
    metrics.add(histogram, point(timeMs, value, { delta: true, startMs }), 1);
  delta(10, 5, explicit([1, 1, 1]));
  delta(20, 10, explicit([1, 1, 1]));
  delta(30, 20, 7);
  delta(40, 30, 8);
  delta(50, 0, { count: 1, sum: 1, quantiles: [] });
  const [series] = [...metrics.families()][0]!.series.values();
  const points = [...series!.points].map(({ timeMs, startMs, fromMs, value }) => [
    ...[timeMs, startMs, fromMs],
    typeof value === "number" ? value : value.count,
  ]);
  assert.deepEqual(points, [
    [20, 5, 10, 6],
    [30, 20, 20, 7],
    [40, 20, 30, 15],
    [50, 0, undefined, 1],
  ]);
});

Deno.test("MetricStore keeps exemplars that differ in time, value or span, of the last 32", () => {
  const exemplar = { timeMs: 1, value: 1, traceId: "t", spanId: "s", attributes: [] };
  const others = [{ timeMs: 2 }, { value: 2 }, { spanId: "other" }].map((one) => ({
    ...exemplar,
    ...one,
  }));
  const metrics = store();
  const send = (timeMs: number, exemplars: (typeof exemplar)[]) =>
    metrics.add(counter, point(timeMs, 1, { exemplars }), 1);
  send(1, [exemplar, exemplar, ...others]);
  send(2, [exemplar]);
  const [series] = [...metrics.families()][0]!.series.values();
  assert.equal(series!.exemplars!.length, 4);
  assertExact(metrics);
  send(3, Array.from({ length: 40 }, (_, number) => ({ ...exemplar, timeMs: 100 + number })));
  assert.equal(series!.exemplars!.length, 32);
  assert.equal(series!.exemplars!.at(0)!.timeMs, 108);
  assertExact(metrics);
});
