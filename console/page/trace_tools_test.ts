import assert from "node:assert/strict";
import type { JaegerSpan, JaegerTrace } from "../page_api/jaeger_api.ts";
import { clockSkews, withoutSkew } from "./clock_skew.ts";
import { criticalPath } from "./critical_path.ts";
import { failedSpans, findSpans, inOrder, nextOf } from "./find_in_trace.ts";
import { traceTree, waterfallRows } from "./waterfall.ts";

const traceID = "4bf92f3577b34da6a3ce929d0e0e4736";

function span(
  id: string,
  parent: string | undefined,
  fromMs: number,
  toMs: number,
  more: Partial<JaegerSpan> = {},
): JaegerSpan {
  return {
    traceID,
    spanID: id,
    operationName: `span ${id}`,
    references: parent === undefined ? [] : [{ refType: "CHILD_OF", traceID, spanID: parent }],
    startTime: 1_700_000_000_000_000 + fromMs * 1e3,
    duration: (toMs - fromMs) * 1e3,
    tags: [],
    logs: [],
    processID: "p1",
    warnings: null,
    ...more,
  };
}

function trace(...spans: JaegerSpan[]): JaegerTrace {
  return {
    traceID,
    spans,
    processes: {
      p1: { serviceName: "web", tags: [] },
      p2: { serviceName: "db", tags: [] },
    },
    warnings: null,
  };
}

const other = { processID: "p2" };

Deno.test("clockSkews() finds what does not lie within its caller, and all that is below it", () => {
  const given = trace(
    span("a", undefined, 0, 100),
    span("fits", "a", 10, 90, other),
    span("early", "a", -50, -10, other),
    span("below", "early", -40, -20, other),
    span("same clock", "a", 95, 120),
    span("longer", "a", -5, 200, other),
    span("gave up", "a", 50, 200, other),
  );
  const skews = clockSkews(given);
  assert.deepEqual(
    [...skews].sort(),
    [["below", 80_000], ["early", 80_000], ["longer", 5_000]],
  );
  const { spans } = withoutSkew(given, skews);
  const early = spans.find(({ spanID }) => spanID === "early")!;
  assert.equal(early.startTime, given.spans[0]!.startTime + 30_000);
  assert.equal(spans.find(({ spanID }) => spanID === "fits"), given.spans[1]);
});

Deno.test("criticalPath() follows the child that ended last, back to the beginning", () => {
  const tree = traceTree(trace(
    span("root", undefined, 0, 100),
    span("first", "root", 10, 40),
    span("beside", "root", 15, 35),
    span("last", "root", 50, 90),
    span("inner", "last", 55, 80),
    span("after", "root", 95, 300),
  ));
  const path = criticalPath(tree);
  assert.deepEqual(Object.fromEntries(path), {
    after: [{ fromMs: 95, toMs: 100 }],
    root: [{ fromMs: 90, toMs: 95 }, { fromMs: 40, toMs: 50 }, { fromMs: 0, toMs: 10 }],
    last: [{ fromMs: 80, toMs: 90 }, { fromMs: 50, toMs: 55 }],
    inner: [{ fromMs: 55, toMs: 80 }],
    first: [{ fromMs: 10, toMs: 40 }],
  });
  const onPath = [...path.values()].flat().reduce((sum, one) => sum + one.toMs - one.fromMs, 0);
  assert.equal(onPath, 100);
});

Deno.test("findSpans() looks in names, services, attributes and events, in the order shown", () => {
  const tree = traceTree(trace(
    span("a", undefined, 0, 100),
    span("c", "a", 60, 70, { ...other, operationName: "SELECT" }),
    span("b", "a", 10, 20, {
      tags: [{ key: "http.route", type: "string", value: "/Cart" }],
      logs: [{ timestamp: 1, fields: [{ key: "event", type: "string", value: "cache miss" }] }],
    }),
  ));
  const ids = (text: string) => findSpans(tree, text).map(({ id }) => id);
  assert.deepEqual(ids("span"), ["a", "b"]);
  assert.deepEqual(ids("select db"), ["c"]);
  assert.deepEqual(ids("http.route=/cart"), ["b"]);
  assert.deepEqual(ids("cache miss"), ["b"]);
  assert.deepEqual(ids("  "), []);

  const order = inOrder(tree);
  const matches = findSpans(tree, "span");
  assert.equal(nextOf(matches, order, undefined, 1)!.id, "a");
  assert.equal(nextOf(matches, order, tree.spans.get("a"), 1)!.id, "b");
  assert.equal(nextOf(matches, order, tree.spans.get("c"), 1)!.id, "a");
  assert.equal(nextOf(matches, order, tree.spans.get("c"), -1)!.id, "b");
  assert.equal(nextOf([], order, undefined, 1), undefined);
  assert.deepEqual(failedSpans(tree), []);
});

Deno.test("findSpans() finds in 10,000 spans within a blink, once it has read them", () => {
  const tags = Array.from({ length: 8 }, (_, i) => ({
    key: `key.${i}`,
    type: "string" as const,
    value: `some value ${i}`,
  }));
  const spans = Array.from(
    { length: 10_000 },
    (_, i) =>
      span(`s${i}`, i === 0 ? undefined : "s0", 0, 10, {
        tags: [...tags, { key: "n", type: "int64", value: i }],
      }),
  );
  const tree = traceTree(trace(...spans));
  assert.equal(findSpans(tree, "n=9999").length, 1);
});

Deno.test("waterfallRows() shows one service alone, and what failed below a folded span", () => {
  const tree = traceTree(trace(
    span("a", undefined, 0, 100),
    span("b", "a", 10, 20, other),
    span("c", "b", 10, 20, {
      ...other,
      tags: [{ key: "otel.status_code", type: "string", value: "ERROR" }],
    }),
  ));
  const rows = waterfallRows(tree, { collapsed: new Set(), only: "db" });
  assert.deepEqual(rows.map((row) => row.kind === "span" && row.span.id), ["b", "c"]);
  assert.equal(tree.spans.get("a")!.failedBelow, 1);
  assert.equal(tree.spans.get("c")!.failedBelow, 0);
});
