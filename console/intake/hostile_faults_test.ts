/** Hostile OTLP, in all encodings: bounded, never down, good neighbours unharmed. */
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import type { Signal } from "../page_api/stream_events.ts";
import {
  attributeOf,
  logsRequest,
  metricsRequest,
  newTraceId,
  testConsole,
  tracesRequest,
} from "../test_console.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const nowNs = BigInt(Date.now()) * 1_000_000n;
const attributes = [
  attributeOf("http.route", "/cart"),
  attributeOf("n", 3),
  attributeOf("ok", true),
];

/** What is broken: a request of each signal in protobuf, and one in JSON. */
const seeds: readonly { signal: Signal; type: string; body: Bytes }[] = [
  {
    signal: "traces",
    type: "application/x-protobuf",
    body: tracesRequest([{ attributes, events: [{ name: "e", attributes }] }, {}]),
  },
  {
    signal: "logs",
    type: "application/x-protobuf",
    body: logsRequest([{ timeUnixNano: nowNs, severityNumber: 9, attributes }]),
  },
  {
    signal: "metrics",
    type: "application/x-protobuf",
    body: metricsRequest([{
      name: "m",
      data: {
        case: "histogram",
        value: {
          aggregationTemporality: 1,
          dataPoints: [{
            timeUnixNano: nowNs,
            count: 3n,
            explicitBounds: [1, 2],
            bucketCounts: [1n, 1n, 1n],
          }],
        },
      },
    }]),
  },
  {
    signal: "traces",
    type: "application/json",
    body: new TextEncoder().encode(JSON.stringify({
      resourceSpans: [{
        resource: { attributes: [{ key: "service.name", value: { stringValue: "shop" } }] },
        scopeSpans: [{
          spans: [{
            traceId: "ab".repeat(16),
            spanId: "cd".repeat(8),
            name: "GET /",
            kind: 2,
            startTimeUnixNano: String(nowNs),
            endTimeUnixNano: String(nowNs),
            attributes: [{ key: "a", value: { arrayValue: { values: [{ intValue: "1" }] } } }],
          }],
        }],
      }],
    })),
  },
];

/** A change to a body: bytes flipped, a piece cut out, said twice, or put in. */
const change = fc.oneof(
  fc.record({ kind: fc.constant("flip" as const), at: fc.nat(), bit: fc.nat(7) }),
  fc.record({ kind: fc.constant("cut" as const), at: fc.nat(), length: fc.nat(40) }),
  fc.record({ kind: fc.constant("repeat" as const), at: fc.nat(), length: fc.nat(40) }),
  fc.record({
    kind: fc.constant("insert" as const),
    at: fc.nat(),
    bytes: fc.uint8Array({ maxLength: 20 }),
  }),
);

type Change = typeof change extends fc.Arbitrary<infer Value> ? Value : never;

function changed(body: Bytes, changes: readonly Change[]): Bytes {
  let bytes = [...body];
  for (const one of changes) {
    const at = one.at % Math.max(1, bytes.length);
    if (one.kind === "flip") bytes[at]! ^= 1 << one.bit;
    else if (one.kind === "cut") bytes.splice(at, one.length);
    else if (one.kind === "repeat") bytes.splice(at, 0, ...bytes.slice(at, at + one.length));
    else bytes.splice(at, 0, ...one.bytes);
    bytes = bytes.slice(0, 65_536);
  }
  return new Uint8Array(bytes);
}

const allowed = new Set([200, 400, 413, 415]);

Deno.test("whatever is done to a request, it is answered, and the one after it is taken whole", async () => {
  const lines: string[] = [];
  await using viewer = await testConsole({ maxHeldBytes: 4 * 1024 ** 2 }, { lines });
  let rounds = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...seeds),
      fc.array(change, { minLength: 1, maxLength: 6 }),
      fc.constantFrom("", "gzip", "claimed gzip"),
      async ({ signal, type, body }, changes, compression) => {
        const broken = changed(body, changes);
        const sent = await viewer.send(
          signal,
          compression === "gzip" ? new Uint8Array(gzipSync(broken)) : broken,
          { "content-type": type, ...(compression !== "" && { "content-encoding": "gzip" }) },
        );
        await sent.body?.cancel();
        assert.ok(allowed.has(sent.status), `${sent.status}`);
        const traceId = newTraceId();
        await viewer.sendSpans([{ traceId, name: "neighbour", attributes }], "neighbour");
        const { data } = await viewer.get(`/api/traces/${traceId.toHex()}`);
        assert.equal(data[0].spans[0].operationName, "neighbour");
        // Everything that shows what is held bears what came.
        if (++rounds % 20 !== 0) return;
        for (
          const path of [
            ...["/api/summaries", "/api/traces", "/api/logs", "/api/metrics", "/api/map"],
            ...["/api/suggestions", "/api/notices", "/api/dependencies", "/api/stats"],
          ]
        ) await viewer.get(path);
        for (const path of ["/metrics", "/api/export?what=all"]) {
          const answer = await fetch(viewer.pageUrl + path);
          assert.equal(answer.status, 200, path);
          await answer.body?.cancel();
        }
      },
    ),
    { numRuns: 250 },
  );
  const { memory } = await viewer.get("/api/stats");
  assert.ok(memory.heldBytes <= memory.limitBytes);
  assert.deepEqual(lines.filter((line) => /ERROR/.test(line)), []);
});

Deno.test("a million distinct attribute keys stay within the limits, and are searched", async () => {
  const maxHeldBytes = 16 * 1024 ** 2;
  await using viewer = await testConsole({ maxHeldBytes });
  const perSpan = 125;
  const spansPerRequest = 200;
  for (let key = 0; key < 1_000_000;) {
    const spans = Array.from({ length: spansPerRequest }, () => ({
      attributes: Array.from({ length: perSpan }, () => attributeOf(`key.${key++}`, "v")),
    }));
    await viewer.sendSpans(spans);
  }
  const stats = await viewer.get("/api/stats");
  assert.equal(stats.traces.received, 8_000);
  assert.ok(stats.memory.heldBytes <= maxHeldBytes, `${stats.memory.heldBytes}`);
  const { suggestions } = await viewer.get("/api/suggestions");
  assert.ok(suggestions.length <= 250, `${suggestions.length}`);
  const { matched } = await viewer.get("/api/summaries?q=key.999999%3Dv");
  assert.equal(matched, 1);
});
