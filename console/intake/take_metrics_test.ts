import assert from "node:assert/strict";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  AggregationTemporality,
  type MetricSchema,
} from "../../service/otlp/proto/gen/metrics_pb.ts";
import { ExportMetricsServiceRequestSchema } from "../../service/otlp/proto/gen/metrics_service_pb.ts";
import type { ConsoleLimits } from "../page_api/stream_events.ts";
import { defaultLimits, TelemetryStore } from "../stores/telemetry_store.ts";
import { IntakeRequest } from "./intake_request.ts";
import { takeMetrics } from "./take_metrics.ts";

const nowMs = 1_795_000_000_000;
const traceId = new Uint8Array(16).fill(0xab);
const spanId = new Uint8Array(8).fill(0xcd);
const text = (key: string, value: string) => ({
  key,
  value: { value: { case: "stringValue" as const, value } },
});

type MetricInit = MessageInitShape<typeof MetricSchema>;
const times = { startTimeUnixNano: 1_000_000n, timeUnixNano: 2_500_000n };
const asInt = (value: bigint) => ({ value: { case: "asInt" as const, value } });

/** Takes the metrics of one scope, and gives what is kept of them. */
function take(metrics: MetricInit[], limits: Partial<ConsoleLimits> = {}) {
  const store = new TelemetryStore({ ...defaultLimits, ...limits });
  const intake = new IntakeRequest(store, "metrics", nowMs);
  takeMetrics(
    intake,
    create(ExportMetricsServiceRequestSchema, {
      resourceMetrics: [{
        resource: { attributes: [text("service.name", "shop")] },
        schemaUrl: "of the resource",
        scopeMetrics: [{ scope: { name: "scope" }, metrics }],
      }],
    }),
  );
  const refusal = intake.finish();
  const families = [...store.metrics.families()];
  const series = families.flatMap((family) => [...family.series.values()]);
  const points = series.flatMap((one) =>
    Array.from({ length: one.points.length }, (_, at) => one.points.at(at)!)
  );
  return { store, refusal, kept: intake.kept, families, series, points };
}

function gauge(point: object, name = "heat"): MetricInit {
  return { name, data: { case: "gauge", value: { dataPoints: [{ ...times, ...point }] } } };
}

Deno.test("takeMetrics() keeps a number with its times, its series and its metric's words", () => {
  const { families: [family], series: [series], points, kept, store } = take([{
    ...{ name: "requests", unit: "{request}", description: "Requests." },
    data: {
      case: "sum",
      value: {
        isMonotonic: true,
        aggregationTemporality: AggregationTemporality.CUMULATIVE,
        dataPoints: [{ ...times, ...asInt(7n), attributes: [text("k", "v")] }],
      },
    },
  }]);
  const { name, type, monotonic, unit, description } = family!;
  assert.deepEqual(
    [name, type, monotonic, unit, description],
    ["requests", "sum", true, "{request}", "Requests."],
  );
  assert.deepEqual(points, [{ timeMs: 2.5, startMs: 1, value: 7 }]);
  assert.deepEqual(series!.attributes, ["k", "v"]);
  assert.deepEqual(
    [series!.source.service, series!.scope.name, series!.scope.schemaUrl],
    ["shop", "scope", "of the resource"],
  );
  assert.equal(kept, 1);
  assert.equal(store.services.rows()[0]!.lastSeenMs, nowMs);
  const double = take([gauge({ value: { case: "asDouble", value: 1.5 } })]);
  assert.equal(double.points[0]!.value, 1.5);
  assert.deepEqual([double.families[0]!.type, double.families[0]!.monotonic], ["gauge", false]);
});

Deno.test("takeMetrics() adds deltas up, and takes one that comes again for the same", () => {
  const sum = (aggregationTemporality: AggregationTemporality, isMonotonic = true): MetricInit => ({
    name: "requests",
    data: {
      case: "sum",
      value: {
        ...{ isMonotonic, aggregationTemporality },
        dataPoints: [
          { startTimeUnixNano: 1_000_000n, timeUnixNano: 2_000_000n, ...asInt(3n) },
          { startTimeUnixNano: 2_000_000n, timeUnixNano: 3_000_000n, ...asInt(4n) },
          { startTimeUnixNano: 2_000_000n, timeUnixNano: 3_000_000n, ...asInt(4n) },
        ],
      },
    },
  });
  const delta = take([sum(AggregationTemporality.DELTA)]);
  assert.deepEqual(delta.points.map(({ value, fromMs }) => [value, fromMs]), [[3, 1], [7, 2]]);
  assert.deepEqual([delta.kept, delta.refusal], [2, undefined]);
  const total = take([sum(AggregationTemporality.CUMULATIVE, false)]);
  assert.deepEqual(total.points.map(({ value }) => value), [3, 4]);
  assert.equal(total.families[0]!.monotonic, false);
});

Deno.test("takeMetrics() refuses what is no metric or no point, with its name and number", () => {
  const point = { ...times, ...asInt(1n) };
  const cases: [MetricInit, RegExp | undefined, number][] = [
    [{ name: "none" }, /^1 invalid_metric: .*"none" of shop/, 0],
    [
      { name: "", data: { case: "gauge", value: { dataPoints: [point, point, point] } } },
      /^3 invalid_metric: /,
      0,
    ],
    [{ name: "", data: { case: "gauge", value: { dataPoints: [] } } }, /^1 invalid_metric: /, 0],
    [gauge({}), /^1 invalid_point: .*"heat" of shop/, 0],
    [gauge({ ...asInt(1n), timeUnixNano: 0n }), /^1 invalid_point: /, 0],
    // The series has ended: there is no value, and nothing is wrong.
    [gauge({ flags: 1 }), undefined, 0],
    [gauge({ flags: 2, ...asInt(1n) }), undefined, 1],
  ];
  for (const [metric, message, kept] of cases) {
    const taken = take([metric]);
    if (message) assert.match(taken.refusal!.message, message);
    else assert.equal(taken.refusal, undefined);
    assert.equal(taken.points.length, kept);
    assert.equal(taken.kept, kept);
  }
  const late = take([gauge(asInt(1n)), gauge({ ...asInt(1n), timeUnixNano: 1n })]);
  assert.match(late.refusal!.message, /^1 out_of_order: .*"heat" of shop/);
  const many = take([gauge(asInt(1n)), gauge(asInt(1n), "cold")], { maxSeries: 1 });
  assert.match(many.refusal!.message, /^1 series_limit: .*"cold" of shop/);
});

Deno.test("takeMetrics() says which metric's values were cut", () => {
  const { store } = take(
    [gauge({ ...asInt(1n), attributes: [text("k", "much too long for it")] })],
    {
      maxValueLength: 15,
    },
  );
  const rows = store.notices.rows().filter(({ reason }) => reason === "cut");
  assert.equal(rows.length, 1);
  const [{ sender, example, count }] = rows as [typeof rows[number]];
  assert.deepEqual([sender, example, count], ["shop", "heat", 1]);
});

function histogram(point: object): MetricInit {
  return {
    name: "duration",
    data: { case: "histogram", value: { dataPoints: [{ ...times, ...point }] } },
  };
}

Deno.test("takeMetrics() keeps a histogram whose bounds ascend and fit its counts", () => {
  const whole = { count: 6n, sum: 9.5, explicitBounds: [1, 2], bucketCounts: [1n, 2n, 3n] };
  const { points, families } = take([histogram(whole)]);
  assert.equal(families[0]!.type, "histogram");
  assert.deepEqual(points[0]!.value, {
    ...{ count: 6, sum: 9.5 },
    buckets: { kind: "explicit", bounds: [1, 2], counts: [1, 2, 3] },
  });
  const { points: [bare] } = take([histogram({ count: 6n })]);
  assert.deepEqual(bare!.value, {
    ...{ count: 6, sum: NaN },
    buckets: { kind: "explicit", bounds: [], counts: [6] },
  });
  const one = take([histogram({ count: 6n, bucketCounts: [6n] })]);
  assert.equal(one.points.length, 1);
  for (
    const wrong of [
      { bucketCounts: [1n, 2n] },
      { bucketCounts: [] },
      { explicitBounds: [] },
      { explicitBounds: [2, 1] },
      { explicitBounds: [1, 1] },
      { explicitBounds: [1, Infinity] },
      { explicitBounds: [NaN, 1] },
    ]
  ) {
    const { refusal } = take([histogram({ ...whole, ...wrong })]);
    assert.equal(refusal?.count, 1, JSON.stringify(wrong, (_, one) => String(one)));
  }
  for (const [buckets, kept] of [[1_024, 1], [1_025, 0]] as const) {
    const explicitBounds = Array.from({ length: buckets - 1 }, (_, at) => at);
    const { points } = take([
      histogram({ count: 1n, explicitBounds, bucketCounts: Array(buckets).fill(1n) }),
    ]);
    assert.equal(points.length, kept);
  }
});

function exponential(point: object): MetricInit {
  return {
    name: "size",
    data: { case: "exponentialHistogram", value: { dataPoints: [{ ...times, ...point }] } },
  };
}

Deno.test("takeMetrics() keeps an exponential histogram within the range of its scale", () => {
  const { points } = take([exponential({
    ...{ count: 7n, sum: 3, scale: 2, zeroCount: 1n, zeroThreshold: 0.5 },
    positive: { offset: -3, bucketCounts: [1n, 2n] },
    negative: { offset: 4, bucketCounts: [3n] },
  })]);
  assert.deepEqual(points[0]!.value, {
    ...{ count: 7, sum: 3 },
    buckets: {
      ...{ kind: "exponential", scale: 2, zeroCount: 1, zeroThreshold: 0.5 },
      positive: { offset: -3, counts: [1, 2] },
      negative: { offset: 4, counts: [3] },
    },
  });
  const { points: [bare] } = take([exponential({ count: 0n })]);
  assert.deepEqual(bare!.value, {
    ...{ count: 0, sum: NaN },
    buckets: {
      ...{ kind: "exponential", scale: 0, zeroCount: 0, zeroThreshold: 0 },
      ...{ positive: { offset: 0, counts: [] }, negative: { offset: 0, counts: [] } },
    },
  });
  for (const [scale, kept] of [[-10, 1], [-11, 0], [20, 1], [21, 0]] as const) {
    assert.equal(take([exponential({ scale })]).points.length, kept, `scale ${scale}`);
  }
  const full = (length: number) => ({ bucketCounts: Array(length).fill(1n) });
  for (
    const [positive, negative, kept] of [[1_000, 24, 1], [1_000, 25, 0], [0, 1_025, 0]] as const
  ) {
    const sent = { positive: full(positive), negative: full(negative) };
    assert.equal(take([exponential(sent)]).points.length, kept);
  }
});

Deno.test("takeMetrics() keeps a summary, of not too many quantiles", () => {
  const summary = (count: number): MetricInit => ({
    name: "latency",
    data: {
      case: "summary",
      value: {
        dataPoints: [{
          ...{ ...times, count: 9n, sum: 4.5 },
          quantileValues: Array.from(
            { length: count },
            (_, at) => ({ quantile: at, value: at * 2 }),
          ),
        }],
      },
    },
  });
  assert.deepEqual(take([summary(2)]).points[0]!.value, {
    ...{ count: 9, sum: 4.5, quantiles: [[0, 0], [1, 2]] },
  });
  assert.equal(take([summary(1_024)]).points.length, 1);
  assert.equal(take([summary(1_025)]).points.length, 0);
});

Deno.test("takeMetrics() keeps exemplars that lead to a trace", () => {
  const exemplar = (more: object) => ({
    ...{ timeUnixNano: 3_500_000n, traceId, spanId, value: { case: "asDouble", value: 2.5 } },
    filteredAttributes: [text("user", "ann")],
    ...more,
  });
  const { series: [series] } = take([gauge({
    ...asInt(1n),
    exemplars: [
      exemplar({}),
      exemplar({ spanId: new Uint8Array(), value: { case: "asInt", value: 7n } }),
      exemplar({ traceId: new Uint8Array() }),
      exemplar({ value: { case: undefined } }),
    ],
  })]);
  const kept = Array.from(
    { length: series!.exemplars!.length },
    (_, at) => series!.exemplars!.at(at),
  );
  assert.deepEqual(kept, [
    {
      ...{ timeMs: 3.5, value: 2.5, traceId: "ab".repeat(16), spanId: "cd".repeat(8) },
      attributes: ["user", "ann"],
    },
    {
      ...{ timeMs: 3.5, value: 7, traceId: "ab".repeat(16), spanId: "" },
      attributes: ["user", "ann"],
    },
  ]);
  for (const exemplars of [[], [exemplar({ traceId: new Uint8Array() })]]) {
    const { series: [none] } = take([gauge({ ...asInt(1n), exemplars })]);
    assert.equal(none!.exemplars, undefined);
  }
});
