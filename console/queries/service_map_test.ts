import assert from "node:assert/strict";
import type { MapEdge, MapNode } from "../page_api/api.ts";
import { placeNodes } from "../page/map_layout.ts";
import { attributeOf, newSpanId, newTraceId, testConsole } from "../test_console.ts";

const nowMs = Date.now();
const ns = (ms: number) => BigInt(ms) * 1_000_000n;
const times = (fromMs: number, durationMs: number) => ({
  startTimeUnixNano: ns(nowMs - fromMs),
  endTimeUnixNano: ns(nowMs - fromMs + durationMs),
});

async function shop() {
  const viewer = await testConsole();
  const [traceId, root, send] = [newTraceId(), newSpanId(), newSpanId()];
  const topic = attributeOf("messaging.destination.name", "orders");
  await viewer.sendSpans([
    { traceId, spanId: root, kind: 2, ...times(10_000, 500) },
    { traceId, spanId: send, parentSpanId: root, kind: 4, attributes: [topic], ...times(9_900, 5) },
  ], "web");
  await viewer.sendSpans([
    { traceId, parentSpanId: root, kind: 3, status: { code: 2 }, ...times(9_800, 100) },
    { traceId, parentSpanId: root, kind: 3, ...times(9_700, 20) },
  ], "db");
  await viewer.sendSpans([
    { traceId, parentSpanId: send, kind: 5, attributes: [topic], ...times(9_000, 30) },
  ], "mailer");
  await viewer.sendSpans([
    { links: [{ traceId, spanId: root }], kind: 1, ...times(5_000, 3) },
  ], "audit");
  return viewer;
}

Deno.test("/api/map shows calls, messages by their topic, and links, with their figures", async () => {
  await using viewer = await shop();
  const { nodes, edges, seconds } = await viewer.get("/api/map");
  assert.ok(seconds >= 9 && seconds < 60, `${seconds}`);
  assert.deepEqual(
    nodes.map(({ name, kind }: MapNode) => [name, kind]),
    [
      ["audit", "service"],
      ["db", "service"],
      ["mailer", "service"],
      ["topic orders", "topic"],
      ["web", "service"],
    ],
  );
  const lastOf = (name: string) => nodes.find((one: MapNode) => one.name === name).lastTraceId;
  assert.notEqual(lastOf("audit"), lastOf("web"));
  assert.match(lastOf("web"), /^[0-9a-f]{32}$/);
  assert.equal(lastOf("db"), lastOf("web"));
  assert.deepEqual(
    edges.map(({ from, to, calls, errors, p95Ms }: MapEdge) =>
      `${from} ${to} ${calls} ${errors} ${p95Ms}`
    ).sort(),
    [
      "topic orders mailer 1 0 30",
      "web audit 1 0 3",
      "web db 2 1 100",
      "web topic orders 1 0 5",
    ],
  );
  const found = async (edge: string) =>
    (await viewer.get(`/api/summaries?q=${encodeURIComponent(`edge="${edge}"`)}`)).traces.length;
  assert.equal(await found("web>db"), 1);
  assert.equal(await found("db>web"), 0);
  assert.equal(await found("web>topic orders"), 1);
  assert.equal(await found("topic orders>mailer"), 1);
  assert.equal(await found("topic orders>web"), 0);
  assert.deepEqual((await viewer.get("/api/map?lookback=1s")).nodes, []);
});

Deno.test("/api/map takes topics of one instance each for the one that their template names", async () => {
  await using viewer = await testConsole();
  for (const instance of ["a", "b"]) {
    const attributes = [
      attributeOf("messaging.destination.name", `replies.${instance}`),
      attributeOf("messaging.destination.template", "replies.{instance}"),
    ];
    await viewer.sendSpans([{ kind: 4, attributes, ...times(1_000, 5) }], "signer");
  }
  const { nodes, edges } = await viewer.get("/api/map");
  assert.deepEqual(nodes.map(({ name }: MapNode) => name), ["signer", "topic replies.{instance}"]);
  assert.deepEqual(edges.map(({ to, calls }: MapEdge) => [to, calls]), [[
    "topic replies.{instance}",
    2,
  ]]);
  const q = encodeURIComponent('edge="signer>topic replies.{instance}"');
  assert.equal((await viewer.get(`/api/summaries?q=${q}`)).traces.length, 2);
});

function node(name: string, calls = 1): MapNode {
  return {
    name,
    kind: "service",
    namespace: "",
    calls,
    errors: 0,
    rate: 1,
    p95Ms: 1,
    lastSeenMs: 1,
    lastTraceId: null,
  };
}

function edge(from: string, to: string): MapEdge {
  return { from, to, calls: 1, errors: 0, rate: 1, p95Ms: 1 };
}

Deno.test("placeNodes() puts each service on the ring of its depth, the same way each time", () => {
  const nodes = ["a", "b", "c", "d"].map((name) => node(name));
  const edges = [edge("a", "b"), edge("a", "c"), edge("b", "d"), edge("c", "d"), edge("d", "b")];
  const { placed, rings } = placeNodes(nodes, edges);
  assert.deepEqual([...placed.values()].map(({ node: { name }, ring }) => [name, ring]).sort(), [
    ["a", 0],
    ["b", 1],
    ["c", 1],
    ["d", 2],
  ]);
  assert.ok(Math.hypot(placed.get("a")!.x, placed.get("a")!.y) < 1e-9);
  assert.deepEqual(rings, [0.5, 1]);
  const again = placeNodes(nodes.toReversed(), edges.toReversed());
  for (const [name, { x, y }] of placed) {
    const other = again.placed.get(name)!;
    assert.ok(Math.abs(other.x - x) < 1e-9 && Math.abs(other.y - y) < 1e-9, name);
  }
});

Deno.test("placeNodes() puts who is called beside the caller, and not upon each other", () => {
  const callers = ["a", "b", "c", "d"];
  const names = [...callers, "b1", "b2", "c1"];
  const edges = [edge("b", "b1"), edge("b", "b2"), edge("c", "c1")];
  const { placed } = placeNodes(names.map((name) => node(name)), edges);
  const apart = (one: string, other: string) => {
    const [a, b] = [placed.get(one)!, placed.get(other)!];
    return Math.hypot(a.x - b.x, a.y - b.y);
  };
  for (const { from, to } of edges) {
    for (const other of callers) {
      if (other !== from) assert.ok(apart(from, to) < apart(other, to), `${to} by ${other}`);
    }
  }
  assert.ok(apart("b1", "b2") > 0.25);
});

Deno.test("placeNodes() places a hundred services, none upon another", () => {
  const nodes = Array.from({ length: 100 }, (_, i) => node(`s${i}`));
  const edges = nodes.slice(1).map(({ name }, i) => edge(`s${Math.floor(i / 5)}`, name));
  const { placed } = placeNodes(nodes, edges);
  const places = [...placed.values()];
  for (const [i, a] of places.entries()) {
    assert.ok(Math.hypot(a.x, a.y) <= 1 + 1e-9);
    for (const b of places.slice(i + 1)) assert.ok(Math.hypot(a.x - b.x, a.y - b.y) > 0.02);
  }
});
