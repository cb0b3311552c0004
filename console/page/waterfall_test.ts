import assert from "node:assert/strict";
import type { JaegerSpan, JaegerTrace } from "../page_api/jaeger_api.ts";
import type { LogRow } from "../page_api/logs_api.ts";
import { rulerMarks, traceTree, type WaterfallRow, waterfallRows } from "./waterfall.ts";

const traceID = "4bf92f3577b34da6a3ce929d0e0e4736";
const startUs = 1_700_000_000_000_000;

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
    startTime: startUs + fromMs * 1e3,
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
      p1: { serviceName: "orb-client", tags: [] },
      p2: { serviceName: "orb-server", tags: [] },
    },
    warnings: null,
  };
}

function log(seq: number, timeMs: number, spanId?: string): LogRow {
  return {
    seq,
    timeMs: startUs / 1e3 + timeMs,
    severityNumber: 9,
    severity: "INFO",
    service: "orb-server",
    scope: "",
    body: `log ${seq}`,
    attributes: {},
    traceId: traceID,
    ...(spanId !== undefined && { spanId }),
  };
}

function outline(rows: WaterfallRow[]): string[] {
  return rows.map((row) =>
    row.kind === "span"
      ? `${"  ".repeat(row.span.depth)}${row.span.id}${row.collapsed ? "+" : ""}`
      : `${"  ".repeat(row.depth)}${row.log.body}`
  );
}

Deno.test("traceTree() hangs children below parents, by start, and counts time from the trace's beginning", () => {
  const tree = traceTree(
    trace(span("c", "a", 6, 9), span("b", "a", 1, 5), span("a", undefined, 0, 10)),
  );
  assert.deepEqual(outline(waterfallRows(tree, { collapsed: new Set() })), ["a", "  b", "  c"]);
  assert.equal(tree.startMs, startUs / 1e3);
  assert.equal(tree.durationMs, 10);
  assert.equal(tree.spans.get("c")!.startMs, 6);
});

Deno.test("traceTree() gives a span's own time: less its children's, overlaps once, outside not at all", () => {
  const tree = traceTree(
    trace(
      span("a", undefined, 0, 10),
      span("b", "a", 1, 5),
      span("c", "a", 3, 7),
      span("d", "a", 9, 30),
    ),
  );
  assert.equal(tree.spans.get("a")!.selfMs, 3);
});

Deno.test("traceTree() shows a span whose parent was not received, and says so", () => {
  const tree = traceTree(trace(span("b", "lost", 0, 1)));
  assert.equal(tree.roots[0]!.parentMissing, true);
  assert.equal(traceTree(trace(span("a", undefined, 0, 1))).roots[0]!.parentMissing, false);
});

Deno.test("traceTree() cuts a circle open instead of losing it or going round for ever", () => {
  const tree = traceTree(trace(span("a", "b", 0, 2), span("b", "a", 1, 2), span("s", "s", 3, 4)));
  assert.deepEqual(outline(waterfallRows(tree, { collapsed: new Set() })), ["a", "  b", "s"]);
});

Deno.test("traceTree() takes a chain of 20,000 spans", () => {
  const spans = Array.from(
    { length: 20_000 },
    (_, i) => span(`${i}`, i === 0 ? undefined : `${i - 1}`, 0, 1),
  );
  const tree = traceTree(trace(...spans));
  assert.equal(tree.roots[0]!.descendants, 19_999);
  assert.equal(waterfallRows(tree, { collapsed: new Set() }).length, 20_000);
});

Deno.test("traceTree() says in words why a span failed", () => {
  const error = { key: "otel.status_code", type: "string", value: "ERROR" } as const;
  const tags = (...more: JaegerSpan["tags"]) => ({ tags: [error, ...more] });
  const exception = {
    timestamp: startUs,
    fields: [{ key: "exception.message", type: "string", value: "disk full" } as const],
  };
  const tree = traceTree(trace(
    span(
      "a",
      undefined,
      0,
      1,
      tags({ key: "otel.status_description", type: "string", value: "no" }),
    ),
    span("b", "a", 0, 1, { ...tags(), logs: [exception] }),
    span("c", "a", 0, 1, tags()),
    span("d", "a", 0, 1),
  ));
  assert.deepEqual(["a", "b", "c", "d"].map((id) => tree.spans.get(id)!.error), [
    "no",
    "disk full",
    "failed",
    undefined,
  ]);
  assert.equal(tree.errorCount, 3);
});

Deno.test("traceTree() adds each service's own time up", () => {
  const tree = traceTree(
    trace(span("a", undefined, 0, 10), span("b", "a", 2, 6, { processID: "p2" })),
  );
  assert.deepEqual(tree.services, [
    { name: "orb-client", spans: 1, selfMs: 6 },
    { name: "orb-server", spans: 1, selfMs: 4 },
  ]);
});

Deno.test("waterfallRows() hides what is below a collapsed span and puts logs below theirs", () => {
  const tree = traceTree(
    trace(
      span("a", undefined, 0, 10),
      span("b", "a", 1, 5),
      span("c", "b", 2, 3),
      span("d", "a", 6, 7),
    ),
  );
  const logs = [log(2, 3, "b"), log(1, 2, "b"), log(3, 1, "gone"), log(4, 9)];
  assert.deepEqual(outline(waterfallRows(tree, { collapsed: new Set(["b", "d"]), logs })), [
    "a",
    "  b+",
    "    log 1",
    "    log 2",
    "  d",
    "log 3",
    "log 4",
  ]);
});

Deno.test("traceTree() of no spans is empty", () => {
  const tree = traceTree(trace());
  assert.deepEqual([tree.roots, tree.durationMs, tree.errorCount], [[], 0, 0]);
});

Deno.test("rulerMarks() are round and few", () => {
  assert.deepEqual(rulerMarks(10), [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(rulerMarks(0.3), [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]);
  assert.deepEqual(rulerMarks(1_234), [0, 500, 1_000]);
  assert.deepEqual(rulerMarks(0), [0]);
  for (let ms = 0.001; ms < 1e6; ms *= 1.7) assert.ok(rulerMarks(ms).length <= 7, `${ms}`);
});
