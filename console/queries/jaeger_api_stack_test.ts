/** The same questions over the same traces, to the console and to the real Jaeger. */
import assert from "node:assert/strict";
import { startJaeger } from "../../stack/jaeger.ts";
import { testWithStack } from "../../stack/test_with_stack.ts";
import { eventually } from "../../service/testing/eventually.ts";
import { call, framed } from "../test_grpc.ts";
import { attributeOf, newSpanId, newTraceId, testConsole, tracesRequest } from "../test_console.ts";
import type { TestSpan } from "../test_console.ts";

const exportPath = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
// Whole milliseconds, some minutes ago: Jaeger looks no further back than it is asked.
const baseMs = Math.floor(Date.now() / 1_000) * 1_000 - 120_000;
const ns = (ms: number) => BigInt(Math.round(ms * 1_000)) * 1_000n;

interface Trace {
  traceID: string;
  spans: {
    spanID: string;
    operationName: string;
    startTime: number;
    duration: number;
    processID: string;
    references: { refType: string; traceID: string; spanID: string }[];
    tags: { key: string; type: string; value: unknown }[];
    logs: { timestamp: number; fields: { key: string; type: string; value: unknown }[] }[];
  }[];
  processes: Record<string, { serviceName: string; tags: { key: string; value: unknown }[] }>;
}

/** Traces of a small shop, eight of them, that differ in what is asked for. */
function shop(): { service: string; spans: TestSpan[] }[] {
  const requests: { service: string; spans: TestSpan[] }[] = [];
  let linked: { traceId: Uint8Array; spanId: Uint8Array } | undefined;
  for (let i = 0; i < 8; i++) {
    const [traceId, root, query] = [newTraceId(), newSpanId(), newSpanId()];
    const startMs = baseMs + i * 5_000;
    const durationMs = 10 * (i + 1);
    const failed = i % 4 === 3;
    requests.push({
      service: "web",
      spans: [{
        traceId,
        spanId: root,
        name: i % 2 === 0 ? "GET /cart" : "PUT /orders",
        kind: 2,
        startTimeUnixNano: ns(startMs),
        endTimeUnixNano: ns(startMs + durationMs),
        attributes: [
          attributeOf("http.request.method", i % 2 === 0 ? "GET" : "PUT"),
          attributeOf("http.response.status_code", failed ? 500n : 200n),
          attributeOf("customer", `c:${i % 3}`),
          attributeOf("share", 0.5 + i),
          attributeOf("cached", i % 2 === 0),
        ],
        events: [{
          name: failed ? "exception" : "rendered",
          timeUnixNano: ns(startMs + 1),
          attributes: [attributeOf("exception.type", failed ? "TimeoutError" : "none")],
        }],
        ...(failed && { status: { code: 2 as const, message: "no answer" } }),
        ...(linked && { links: [linked] }),
      }],
    }, {
      service: "db",
      spans: [{
        traceId,
        spanId: query,
        parentSpanId: root,
        name: "query",
        kind: 3,
        startTimeUnixNano: ns(startMs + 1),
        endTimeUnixNano: ns(startMs + 1 + durationMs / 2),
        attributes: [attributeOf("db.rows", BigInt(i))],
      }],
    });
    linked = { traceId, spanId: root };
  }
  return requests;
}

/** What both must say of a trace, whatever the order. */
function comparable({ traceID, spans, processes }: Trace) {
  const byKey = (a: { key: string }, b: { key: string }) => a.key < b.key ? -1 : 1;
  return {
    traceID,
    spans: spans.map((span) => ({
      id: span.spanID,
      name: span.operationName,
      service: processes[span.processID]!.serviceName,
      process: processes[span.processID]!.tags.map(({ key, value }) => ({ key, value })).sort(
        byKey,
      ),
      start: span.startTime,
      duration: span.duration,
      references: span.references,
      tags: span.tags.map(({ key, type, value }) => ({ key, type, value })).sort(byKey),
      logs: span.logs.map(({ timestamp, fields }) => ({
        timestamp,
        fields: fields.map(({ key, type, value }) => ({ key, type, value })).sort(byKey),
      })),
    })).sort((a, b) => a.id < b.id ? -1 : 1),
  };
}

/** As Jaeger's page and Grafana's data source ask. */
const questions: readonly string[] = [
  "service=web&limit=20&lookback=1h",
  "service=db&limit=20&lookback=1h",
  "service=web&operation=GET%20%2Fcart&limit=20&lookback=1h",
  `service=web&limit=20&tags=${encodeURIComponent('{"http.request.method":"PUT"}')}`,
  `service=web&limit=20&tags=${encodeURIComponent('{"http.response.status_code":"500"}')}`,
  `service=web&limit=20&tags=${
    encodeURIComponent('{"cached":"true","http.request.method":"GET"}')
  }`,
  "service=web&limit=20&tag=customer:c:1",
  "service=web&limit=20&tag=cached:false&tag=customer:c:0",
  `service=web&limit=20&tags=${encodeURIComponent('{"exception.type":"TimeoutError"}')}`,
  `service=web&limit=20&tags=${encodeURIComponent('{"customer":"nobody"}')}`,
  "service=web&limit=20&minDuration=45ms",
  "service=web&limit=20&minDuration=20ms&maxDuration=60ms",
  "service=web&operation=PUT%20%2Forders&limit=20&minDuration=35ms",
  "service=db&limit=20&maxDuration=12ms",
  `service=web&limit=20&lookback=custom&start=${baseMs * 1_000}&end=${(baseMs + 12_000) * 1_000}`,
  "service=nobody&limit=20",
];

testWithStack(
  "the console answers Jaeger's questions as Jaeger does",
  async () => {
    await using jaeger = await startJaeger();
    await using viewer = await testConsole();
    for (const { service, spans } of shop()) {
      const body = tracesRequest(spans, service);
      for (const address of [jaeger.otlpGrpcAddress, viewer.grpcAddress]) {
        const { status, message } = await call(address, exportPath, framed(body));
        assert.equal(status, "0", message);
      }
    }
    const ask = async (base: string, path: string) => {
      const answer = await (await fetch(base + path)).json();
      return answer.data;
    };
    const urls = [viewer.pageUrl, jaeger.queryUrl] as const;
    await eventually("Jaeger has them all", async () => {
      const found = await ask(jaeger.queryUrl, "/api/traces?service=web&limit=20&lookback=1h");
      return found?.length === 8 && found.every((one: Trace) => one.spans.length === 2) ||
        undefined;
    });

    for (const path of ["/api/services", "/api/services/web/operations"]) {
      const [ours, theirs] = await Promise.all(urls.map((url) => ask(url, path)));
      assert.deepEqual(ours.toSorted(), theirs.toSorted(), path);
    }
    for (const question of questions) {
      // Jaeger asks for a time; its own page gives one, too.
      const timed = question.includes("start=")
        ? question
        : `${question}&start=${(baseMs - 3_600_000) * 1_000}&end=${(Date.now() + 60_000) * 1_000}`;
      const [ours, theirs] = await Promise.all(
        urls.map(async (url): Promise<Trace[]> => await ask(url, `/api/traces?${timed}`) ?? []),
      );
      const sorted = (traces: Trace[]) =>
        traces.map(comparable).sort((a, b) => a.traceID < b.traceID ? -1 : 1);
      assert.deepEqual(sorted(ours!), sorted(theirs!), question);
    }
    // Jaeger shows `error` as a tag of a failed span, and its store in memory does not find it: ours does.
    const failed = `/api/traces?service=web&limit=20&tags=${
      encodeURIComponent('{"error":"true"}')
    }&start=${(baseMs - 3_600_000) * 1_000}&end=${(Date.now() + 60_000) * 1_000}`;
    const found = await Promise.all(urls.map((url) => ask(url, failed)));
    assert.deepEqual(found.map((traces: Trace[] | null) => traces?.length ?? 0), [2, 0]);

    const query = `?endTs=${Date.now() + 60_000}&lookback=3600000`;
    const [ours, theirs] = await Promise.all(
      urls.map((url) => ask(url, `/api/dependencies${query}`)),
    );
    const plain = (edges: { parent: string; child: string; callCount: number }[]) =>
      edges.map(({ parent, child, callCount }) => ({ parent, child, callCount }));
    assert.deepEqual(plain(ours), plain(theirs));
  },
);
