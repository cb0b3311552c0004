import assert from "node:assert/strict";
import type { JaegerSpan, JaegerTrace } from "../page_api/jaeger_api.ts";
import { compareFrames, frameAt, framesOf, hottest, placeFrames } from "./flame.ts";
import { traceTree } from "./waterfall.ts";

type Given = [id: string, parent: string, name: string, startMs: number, durationMs: number];

function trace(...spans: Given[]): JaegerTrace {
  return {
    traceID: "t",
    spans: spans.map(([spanID, parent, operationName, startMs, durationMs]): JaegerSpan => ({
      traceID: "t",
      spanID,
      operationName,
      references: parent === "" ? [] : [{ refType: "CHILD_OF", traceID: "t", spanID: parent }],
      startTime: startMs * 1_000,
      duration: durationMs * 1_000,
      tags: operationName === "bad" ? [{ key: "error", type: "bool", value: true }] : [],
      logs: [],
      processID: "p1",
      warnings: null,
    })),
    processes: { p1: { serviceName: "shop", tags: [] } },
    warnings: null,
  };
}

const framesOfTrace = (...spans: Given[]) => framesOf(traceTree(trace(...spans)).roots);

Deno.test("framesOf() puts spans of one name under one caller together, the widest first", () => {
  const [root] = framesOfTrace(
    ["r", "", "GET /", 0, 100],
    ["a", "r", "read", 0, 10],
    ["b", "r", "read", 20, 30],
    ["c", "r", "write", 60, 39],
    ["d", "c", "bad", 60, 1],
  );
  assert.deepEqual(
    root!.children.map(({ name, count, totalMs, errors }) => [name, count, totalMs, errors]),
    [["read", 2, 40, 0], ["write", 1, 39, 0]],
  );
  assert.equal(root!.selfMs, 21);
  assert.equal(root!.children[1]!.children[0]!.errors, 1);
  assert.equal(frameAt([root!], "0.1.0")?.name, "bad");
  assert.equal(frameAt([root!], "0.9"), undefined);
});

Deno.test("framesOf() bears a chain of thousands of spans", () => {
  const spans = Array.from(
    { length: 5_000 },
    (_, i): Given => [`${i}`, i === 0 ? "" : `${i - 1}`, "step", 0, 5_000 - i],
  );
  assert.equal(framesOfTrace(...spans)[0]!.count, 1);
});

Deno.test("placeFrames() lets children that worked at once share their parent's width", () => {
  const { placed, depth, hidden } = placeFrames(framesOfTrace(
    ["r", "", "root", 0, 100],
    ["a", "r", "left", 0, 100],
    ["b", "r", "right", 0, 100],
    ["c", "r", "hair", 0, 0.01],
  ));
  assert.deepEqual([depth, hidden], [2, 1]);
  const [root, left, right] = placed;
  assert.deepEqual([root!.left, root!.width], [0, 1]);
  for (const [one, at] of [[left, 0], [right, 0.5]] as const) {
    assert.ok(Math.abs(one!.left - at) < 1e-3 && Math.abs(one!.width - 0.5) < 1e-3);
  }
});

Deno.test("hottest() adds up a name wherever it stands", () => {
  const [first] = hottest(framesOfTrace(
    ["r", "", "root", 0, 100],
    ["a", "r", "a", 0, 40],
    ["b", "r", "b", 50, 50],
    ["c", "a", "query", 0, 40],
    ["d", "b", "query", 50, 45],
  ));
  assert.deepEqual([first!.name, first!.count, first!.selfMs], ["query", 2, 85]);
});

Deno.test("compareFrames() says what is new, gone, slower and faster", () => {
  const rows = compareFrames(
    framesOfTrace(
      ["r", "", "root", 0, 100],
      ["a", "r", "query", 0, 40],
      ["b", "r", "cache", 50, 5],
      ["c", "r", "render", 60, 30],
      ["d", "r", "log", 95, 0.1],
    ),
    framesOfTrace(
      ["r", "", "root", 0, 105],
      ["a", "r", "query", 0, 70],
      ["c", "r", "render", 75, 10],
      ["d", "r", "log", 95, 0.4],
      ["e", "r", "retry", 90, 9],
    ),
  );
  assert.deepEqual(rows.map(({ name, change, depth }) => [name, change, depth]), [
    ["root", "same", 0],
    ["query", "slower", 1],
    ["render", "faster", 1],
    ["cache", "gone", 1],
    ["log", "same", 1],
    ["retry", "new", 1],
  ]);
});
