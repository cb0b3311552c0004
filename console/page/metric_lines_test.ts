import assert from "node:assert/strict";
import type { Attributes } from "../page_api/api.ts";
import type { MetricDataAnswer, MetricSeries } from "../page_api/metrics_api.ts";
import {
  figuresOf,
  figureUnit,
  headline,
  lastFigure,
  linesOf,
  mainFigure,
  seriesLabels,
} from "./metric_lines.ts";

function counter(
  attributes: Attributes,
  rates: [timeMs: number, rate: number | null][],
): MetricSeries {
  return {
    service: "orb-server",
    scope: "",
    attributes,
    points: rates.map(([timeMs, rate]) => ({ timeMs, value: timeMs, rate })),
  };
}

const histogram: MetricSeries = {
  service: "orb-server",
  scope: "",
  attributes: {},
  points: [
    {
      timeMs: 1,
      fromMs: 0,
      count: 4,
      sum: 8,
      rate: 4,
      mean: 2,
      p50: 1,
      p95: 3,
      p99: 4,
      buckets: [],
    },
    {
      timeMs: 2,
      fromMs: 1,
      count: 0,
      sum: 0,
      rate: 0,
      mean: null,
      p50: null,
      p95: null,
      p99: null,
      buckets: [],
    },
  ],
};

Deno.test("linesOf() puts series of different times on common ones; where only others have a point is no gap", () => {
  const { timesMs, lines } = linesOf([
    counter({ status: 200 }, [[1, null], [3, 5]]),
    counter({ status: 500 }, [[2, 1], [3, 2]]),
  ], "rate");
  assert.deepEqual(timesMs, [1, 2, 3]);
  assert.deepEqual(lines, [
    { label: "200", values: [null, null, 5] },
    { label: "500", values: [undefined, 1, 2] },
  ]);
});

Deno.test("linesOf() marks a gap where more than three steps were missed", () => {
  const steady = counter({ status: 200 }, [1, 2, 3, 4, 5, 6, 7, 8].map((at) => [at * 10, 1]));
  const broken = counter({ status: 500 }, [[11, 1], [21, 1], [31, 1], [71, 1], [81, 1]]);
  const [, line] = linesOf([steady, broken], "rate").lines;
  // The whole gap: the line is drawn no further than to its last value, and from its next one on.
  const own = (value: number | null | undefined) => value === undefined ? "-" : `${value ?? "."}`;
  assert.equal(line!.values.map(own).join(""), "-1-1-1....1-1");
  assert.ok(linesOf([steady, broken], "rate").lines[0]!.values.every((value) => value !== null));
});

Deno.test("linesOf() bridges a short pause in which nothing was counted, but no long one, and no missed points", () => {
  const seconds = Array.from({ length: 121 }, (_, at) => at);
  const rare = counter({}, seconds.map((at) => [at * 1_000, at % 3 === 0 && at < 60 ? 1 : null]));
  const { values } = linesOf([rare], "rate").lines[0]!;
  assert.deepEqual(values.slice(0, 5), [1, undefined, undefined, 1, undefined]);
  const pause = counter({}, seconds.map((at) => [at * 1_000, at % 5 === 0 ? 1 : null]));
  assert.deepEqual(linesOf([pause], "rate").lines[0]!.values.slice(0, 3), [1, null, null]);
});

Deno.test("figuresOf() draws the percentiles of a histogram, with a gap where nothing was counted", () => {
  const { lines } = figuresOf(histogram, ["p50", "p95", "p99"]);
  assert.deepEqual(lines, [
    { label: "p50", values: [1, null] },
    { label: "p95", values: [3, null] },
    { label: "p99", values: [4, null] },
  ]);
});

Deno.test("lastFigure() is the last one there is", () => {
  assert.equal(lastFigure(histogram, "p95"), 3);
  assert.equal(lastFigure(counter({}, [[1, null]]), "rate"), null);
});

Deno.test("seriesLabels() says only what distinguishes the series", () => {
  const series = (attributes: Attributes, more: Partial<MetricSeries> = {}): MetricSeries => ({
    ...counter(attributes, []),
    ...more,
  });
  assert.deepEqual(
    seriesLabels([
      series({ "http.route": "/a", "http.method": "GET" }),
      series({ "http.route": "/b", "http.method": "GET" }),
    ]),
    ["/a", "/b"],
  );
  assert.deepEqual(seriesLabels([series({ a: 1 })]), ["orb-server"]);
  assert.deepEqual(
    seriesLabels([series({ a: 1 }, { instance: "i1" }), series({ a: 2 }, { instance: "i2" })]),
    ["1", "2"],
  );
  assert.deepEqual(
    seriesLabels([series({}, { instance: "i1" }), series({}, { instance: "i2" })]),
    ["i1", "i2"],
  );
});

Deno.test("mainFigure() and figureUnit() follow the kind of metric", () => {
  assert.equal(mainFigure({ type: "sum", monotonic: true }), "rate");
  assert.equal(mainFigure({ type: "sum", monotonic: false }), "value");
  assert.equal(mainFigure({ type: "exponentialHistogram", monotonic: false }), "p95");
  assert.equal(figureUnit({ type: "sum", unit: "{request}" }, "rate"), "/s");
  assert.equal(figureUnit({ type: "sum", unit: "By" }, "rate"), "By/s");
  assert.equal(figureUnit({ type: "histogram", unit: "s" }, "rate"), "/s");
  assert.equal(figureUnit({ type: "histogram", unit: "s" }, "p95"), "s");
});

Deno.test("headline() adds growths up and gives the highest of anything else", () => {
  const metric: Omit<MetricDataAnswer, "type" | "monotonic" | "data"> = {
    name: "m",
    unit: "",
    description: "",
    services: [],
    series: 2,
    lastSeenMs: 0,
    matched: 2,
    keys: [],
  };
  const rates = [counter({ a: 1 }, [[1, 2], [2, 3]]), counter({ a: 2 }, [[2, 4]])];
  assert.deepEqual(headline({ ...metric, type: "sum", monotonic: true, data: rates }), {
    values: [2, 3],
    last: 7,
  });
  assert.deepEqual(headline({ ...metric, type: "sum", monotonic: false, data: rates }), {
    values: [1, 2],
    last: 2,
  });
  assert.deepEqual(headline({ ...metric, type: "gauge", monotonic: false, data: [] }), {
    values: [],
    last: null,
  });
});
