import assert from "node:assert/strict";
import type { MetricDataAnswer, MetricRow } from "../page_api/metrics_api.ts";
import {
  addedMetrics,
  figureOfMetric,
  groupedBy,
  groupWords,
  metricPath,
  metricWord,
} from "./chart_state.ts";
import { combinedLines, shortNames } from "./combined_lines.ts";

function row(name: string, given: Partial<MetricRow> = {}): MetricRow {
  return {
    name,
    type: "gauge",
    monotonic: false,
    unit: "s",
    description: "",
    services: [],
    series: 1,
    lastSeenMs: 0,
    ...given,
  };
}

function part(name: string, unit: string, groups: Record<string, number[]> = { all: [1, 2] }) {
  const metric: MetricDataAnswer = {
    ...row(name, { unit }),
    matched: 1,
    keys: [],
    data: Object.entries(groups).map(([route, values]) => ({
      service: "shop",
      scope: "",
      attributes: route === "all" ? {} : { route },
      members: 2,
      points: values.map((value, i) => ({ timeMs: 1_000 * i, value, rate: null })),
    })),
  };
  return { metric, figure: "value" as const };
}

Deno.test("combinedLines() draws one unit by one axis, two by two, and more as shares that keep their values", () => {
  const [latency, wait] = [part("shop.latency", "s"), part("shop.wait", "s")];
  const [size, count] = [part("shop.size", "By", { all: [0, 4_000] }), part("shop.count", "1")];
  const one = combinedLines([latency, wait], false);
  assert.deepEqual([one.axes, one.units], ["one", ["s"]]);
  assert.deepEqual(one.lines.map(({ label, axis }) => [label, axis]), [
    ["latency", "left"],
    ["wait", "left"],
  ]);

  const two = combinedLines([latency, size], false);
  assert.deepEqual([two.axes, two.units], ["two", ["s", "By"]]);
  assert.deepEqual(two.lines.map(({ axis, dash }) => [axis, dash]), [
    ["left", undefined],
    ["right", [6, 3]],
  ]);
  assert.match(two.format(1) + two.rightFormat(4_000), /^1\ss4\skB$/);

  const shares = combinedLines([latency, size, count], false);
  assert.deepEqual([shares.axes, shares.units], ["shares", []]);
  assert.deepEqual(shares.lines.map(({ values }) => values), [[0.5, 1], [0, 1], [0.5, 1]]);
  assert.match(shares.lines[1]!.format!(1), /^4\skB$/);
  assert.deepEqual(shares.first.lines.map(({ values }) => values), [[1, 2]]);
  assert.equal(combinedLines([latency, wait], true).axes, "shares");
});

Deno.test("combinedLines() has seven lines at most, and names them by metric and group", () => {
  const many = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`/${i}`, [i]]));
  const { lines } = combinedLines([part("a.x", "s", many), part("a.y", "s")], false);
  assert.deepEqual(lines.map(({ label }) => label), ["x · /0", "x · /1", "x · /2", "y"]);
});

Deno.test("shortNames() leaves out what all begin with, but never everything", () => {
  assert.deepEqual(shortNames(["http.server.duration", "http.server.active"]), [
    "duration",
    "active",
  ]);
  assert.deepEqual(shortNames(["http.server", "http.server.active"]), ["server", "server.active"]);
  assert.deepEqual(shortNames(["a.b", "c.b"]), ["a.b", "c.b"]);
  assert.deepEqual(shortNames(["a.b"]), ["a.b"]);
});

Deno.test("the address says which metrics a chart has, and how they are grouped", () => {
  const seconds = row("lat");
  const milliseconds = row("lat", { unit: "ms" });
  const all = [seconds, milliseconds, row("b"), row("c"), row("d"), row("e")];
  assert.deepEqual([metricWord(seconds, all), metricWord(all[2]!, all)], ["gauge s lat", "b"]);
  const params = new URLSearchParams([
    ["with", "gauge ms lat"],
    ["with", "b"],
    ["with", "b"],
    ["with", "gone"],
    ["with", "c"],
    ["with", "d"],
  ]);
  assert.deepEqual(addedMetrics(params, seconds, all), [milliseconds, all[2], all[3]]);
  assert.equal(groupedBy(params), undefined);
  for (const by of [[], ["a"], ["a,b", "c d"]]) {
    const back = new URLSearchParams(groupWords(by)!.map((key) => ["by", key]));
    assert.deepEqual(groupedBy(back), by);
  }
  assert.equal(figureOfMetric(new URLSearchParams("figure=p50"), seconds), "value");
  assert.equal(
    figureOfMetric(new URLSearchParams("figure=p50"), row("h", { type: "histogram" })),
    "p50",
  );
});

Deno.test("metricPath() asks for groups, for the time that was chosen, and never a summary to be grouped", () => {
  const params = new URLSearchParams("service=shop&from=100000&to=200000&combine=max");
  const options = { params, lookback: "15m", by: ["a", "b"] };
  const query = (metric: MetricRow, given: object = {}) =>
    new URL(metricPath(metric, { ...options, ...given }), "http://x").searchParams;
  const grouped = query(row("g"));
  assert.deepEqual(grouped.getAll("by"), ["a", "b"]);
  assert.deepEqual(
    ["start", "end", "combine", "service", "lookback"].map((key) => grouped.get(key)),
    ["85000000", "215000000", "max", "shop", null],
  );
  assert.deepEqual(query(row("g"), { by: [] }).getAll("by"), [""]);
  assert.equal(query(row("h", { type: "histogram" })).has("combine"), false);
  assert.equal(query(row("s", { type: "summary" })).has("by"), false);
  assert.equal(query(row("g"), { params: new URLSearchParams() }).get("lookback"), "15m");
});
