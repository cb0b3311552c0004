import assert from "node:assert/strict";
import { deflateSync, gzipSync } from "node:zlib";
import { fromBinary } from "@bufbuild/protobuf";
import { consoleReceiver } from "./console_receiver.ts";
import { StatusSchema } from "../../service/otlp/proto/gen/status_pb.ts";
import { ExportTraceServiceResponseSchema } from "../../service/otlp/proto/gen/trace_service_pb.ts";
import { drainMicrotasks, VirtualWorld } from "../../service/world/virtual_world.ts";
import { testContext } from "../../service/testing/context.ts";
import { TelemetryStore } from "../stores/telemetry_store.ts";
import {
  attributeOf,
  logsRequest,
  metricsRequest,
  newTraceId,
  span,
  testConsole,
  tracesRequest,
} from "../test_console.ts";

const json = { "content-type": "application/json" };
const traceId = "5b8efff798038103d269b633813fc60c";

function jsonTrace(fields: Record<string, unknown> = {}): string {
  return JSON.stringify({
    resourceSpans: [{
      resource: { attributes: [{ key: "service.name", value: { stringValue: "web" } }] },
      scopeSpans: [{
        scope: { name: "test" },
        spans: [{
          traceId,
          spanId: "eee19b7ec3c1b174",
          name: "json",
          kind: 2,
          startTimeUnixNano: "1795000000000000000",
          endTimeUnixNano: "1795000000500000000",
          ...fields,
        }],
      }],
    }],
  });
}

const accepted: [name: string, body: BodyInit, headers: Record<string, string>][] = [
  ["protobuf", tracesRequest([{}]), {}],
  ["an empty request", new Uint8Array(), {}],
  ["gzip", gzipSync(tracesRequest([{}])) as Uint8Array<ArrayBuffer>, {
    "content-encoding": "gzip",
  }],
  ["deflate", deflateSync(tracesRequest([{}])) as Uint8Array<ArrayBuffer>, {
    "content-encoding": "deflate",
  }],
  ["JSON", jsonTrace(), json],
  ["JSON with a charset", jsonTrace(), { "content-type": "application/json; charset=utf-8" }],
  ["JSON with unknown fields", jsonTrace({ fromTheFuture: { deep: [1] } }), json],
  ["a span without a name", tracesRequest([{ name: "" }]), {}],
];

for (const [name, body, headers] of accepted) {
  Deno.test(`receiver takes ${name} and answers in its encoding`, async () => {
    await using viewer = await testConsole();
    const response = await viewer.send("traces", body, headers);
    const bytes = await response.bytes();
    assert.equal(response.status, 200);
    const type = headers["content-type"]?.split(";")[0] ?? "application/x-protobuf";
    assert.equal(response.headers.get("content-type"), type);
    assert.equal(new TextDecoder().decode(bytes), type === "application/json" ? "{}" : "");
  });
}

Deno.test("receiver reads ids of JSON as hex and finds the trace by them", async () => {
  await using viewer = await testConsole();
  const body = jsonTrace({
    parentSpanId: "",
    attributes: [
      // A value is left alone, whatever its keys are called, and a field that is not known yet.
      {
        key: "nested",
        value: {
          kvlistValue: { values: [{ key: "traceId", value: { stringValue: "not hex" } }] },
          spanId: "not hex",
        },
      },
    ],
  });
  assert.equal(await (await viewer.send("traces", body, json)).text(), "{}");
  const { data } = await viewer.get(`/api/traces/${traceId}`);
  assert.equal(data[0].spans[0].operationName, "json");
  assert.equal(data[0].spans[0].duration, 500_000);
  assert.equal(data[0].spans[0].tags[0].value, '{"traceId":"not hex"}');
});

/** Nested deeper than any stack: `value.arrayValue.values[0].arrayValue.values[0]…`. */
function bottomless(): Uint8Array<ArrayBuffer> {
  let body = new Uint8Array();
  const wrap = (field: number, inner: Uint8Array<ArrayBuffer>) => {
    const length: number[] = [];
    for (let rest = inner.length;; rest >>>= 7) {
      if (rest < 0x80) {
        length.push(rest);
        break;
      }
      length.push((rest & 0x7f) | 0x80);
    }
    const outer = new Uint8Array(1 + length.length + inner.length);
    outer.set([(field << 3) | 2, ...length]);
    outer.set(inner, 1 + length.length);
    return outer;
  };
  for (let depth = 0; depth < 20_000; depth++) body = wrap(depth % 2 === 0 ? 1 : 5, body);
  // AnyValue of an attribute of a resource of resource_spans.
  return wrap(1, wrap(1, wrap(1, wrap(2, body))));
}

const smallBody = { maxBodyBytes: 4_096, maxDecompressedBytes: 16_384 };
const bomb = gzipSync(new Uint8Array(1_000_000)) as Uint8Array<ArrayBuffer>;
const wholeGzip = gzipSync(tracesRequest([{}])) as Uint8Array<ArrayBuffer>;

interface BadInput {
  name: string;
  status: number;
  /** A word of the message. */
  says: RegExp;
  path?: string;
  method?: string;
  body?: BodyInit | null;
  headers?: Record<string, string>;
  limits?: typeof smallBody;
}

const refused: BadInput[] = [
  {
    name: "bytes that are no protobuf",
    body: new Uint8Array([0xff, 0xff, 1]),
    status: 400,
    says: /ExportTraceServiceRequest/,
  },
  {
    name: "truncated protobuf",
    body: tracesRequest([{}]).slice(0, -7),
    status: 400,
    says: /ExportTraceServiceRequest/,
  },
  {
    name: "a field of the wrong wire type",
    body: new Uint8Array([0x08, 0x01, 0x0f]),
    status: 400,
    says: /ExportTraceServiceRequest/,
  },
  { name: "text that is no JSON", body: "{", headers: json, status: 400, says: /JSON/ },
  {
    name: "JSON of another shape",
    body: '{"resourceSpans":3}',
    headers: json,
    status: 400,
    says: /resource_?[sS]pans/,
  },
  { name: "JSON that is a list", body: "[]", headers: json, status: 400, says: /json/ },
  {
    name: "JSON that is a word that is no UTF-8",
    body: new Uint8Array([0x22, 0xff, 0x22]),
    headers: json,
    status: 400,
    says: /expected a/,
  },
  {
    name: "JSON nested without end",
    body: "[".repeat(200_000),
    headers: json,
    status: 400,
    says: /JSON/,
  },
  {
    name: "truncated gzip",
    body: wholeGzip.slice(0, -9),
    headers: { "content-encoding": "gzip" },
    status: 400,
    says: /gzip/,
  },
  {
    name: "gzip that is none",
    body: tracesRequest([{}]),
    headers: { "content-encoding": "gzip" },
    status: 400,
    says: /gzip/,
  },
  {
    name: "a gzip bomb",
    body: bomb,
    headers: { "content-encoding": "gzip" },
    status: 413,
    says: /at most 16384/,
    limits: smallBody,
  },
  {
    name: "a body beyond the limit",
    body: new Uint8Array(5_000),
    status: 413,
    says: /at most 4096/,
    limits: smallBody,
  },
  {
    name: "a body of 100 MB",
    body: new Uint8Array(100_000_000),
    status: 413,
    says: /at most 16777216/,
  },
  {
    name: "an unknown compression",
    body: new Uint8Array(),
    headers: { "content-encoding": "zstd" },
    status: 415,
    says: /zstd/,
  },
  {
    name: "another media type",
    body: "a=b",
    headers: { "content-type": "text/plain" },
    status: 415,
    says: /content-type/,
  },
  { name: "another method", method: "GET", body: null, status: 405, says: /POST/ },
  {
    name: "a web page that is not listed",
    headers: { origin: "http://127.0.0.1:3000" },
    status: 403,
    says: /--cors-origin/,
  },
  { name: "another path", path: "/v1/profiles", status: 404, says: /v1\/traces/ },
];

for (const bad of refused) {
  Deno.test(`receiver answers ${bad.status} to ${bad.name}, and lives`, async () => {
    await using viewer = await testConsole(bad.limits);
    const response = await fetch(viewer.otlpUrl + (bad.path ?? "/v1/traces"), {
      method: bad.method ?? "POST",
      headers: { "content-type": "application/x-protobuf", ...bad.headers },
      body: bad.body === undefined ? tracesRequest([{}]) : bad.body,
    });
    const bytes = await response.bytes();
    assert.equal(response.status, bad.status, new TextDecoder().decode(bytes));
    // A google.rpc.Status in the encoding of the request.
    const isJson = response.headers.get("content-type") === "application/json";
    const binary = (bad.headers?.["content-type"] ?? "application/x-protobuf") ===
      "application/x-protobuf";
    assert.equal(isJson, !binary);
    const { code, message } = isJson
      ? JSON.parse(new TextDecoder().decode(bytes))
      : fromBinary(StatusSchema, bytes);
    assert.match(message, bad.says);
    assert.ok(code > 0);

    await viewer.sendSpans([{}]);
    const stats = await viewer.get("/api/stats");
    assert.equal(stats.traces.received, 1);
    assert.deepEqual(stats.requests.refused, { [bad.status]: 1 });
  });
}

Deno.test("receiver leaves out an attribute that is nested without end", async () => {
  await using viewer = await testConsole();
  const response = await viewer.send("traces", bottomless());
  assert.equal(response.status, 200);
  assert.equal((await response.bytes()).length, 0);
  assert.equal((await viewer.get("/api/stats")).traces.truncated, 1);
  const { notices } = await viewer.get("/api/notices");
  assert.deepEqual(notices.map(({ reason }: { reason: string }) => reason), ["left_out"]);
});

Deno.test("receiver answers 413 to a body that never ends", async () => {
  await using viewer = await testConsole(smallBody);
  // Written by hand: fetch would wait for the end of its own body.
  const { hostname, port } = new URL(viewer.otlpUrl);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  const write = (text: string) => connection.write(new TextEncoder().encode(text));
  await write(
    "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\n" +
      "transfer-encoding: chunked\r\n\r\n",
  );
  for (let kib = 0; kib < 8; kib++) await write(`400\r\n${"x".repeat(1_024)}\r\n`);
  const answer = new Uint8Array(64);
  const length = await connection.read(answer);
  assert.match(new TextDecoder().decode(answer.subarray(0, length ?? 0)), /^HTTP\/1.1 413 /);
  await viewer.sendSpans([{}]);
});

Deno.test("receiver counts what it refuses in partial_success and keeps the rest", async () => {
  await using viewer = await testConsole();
  const good = newTraceId();
  const response = await viewer.send(
    "traces",
    tracesRequest([
      { traceId: good },
      { traceId: new Uint8Array(16) },
      { traceId: new Uint8Array(3) },
      { spanId: new Uint8Array(8) },
      { parentSpanId: new Uint8Array(5).fill(1) },
    ]),
  );
  assert.equal(response.status, 200);
  const { partialSuccess } = fromBinary(
    ExportTraceServiceResponseSchema,
    await response.bytes(),
  );
  assert.equal(partialSuccess?.rejectedSpans, 4n);
  assert.match(
    partialSuccess.errorMessage,
    /2 invalid_trace_id.*first: "GET \/" of shop.*1 invalid_span_id/,
  );
  const stats = await viewer.get("/api/stats");
  assert.deepEqual(stats.traces.refused, {
    invalid_trace_id: 2,
    invalid_span_id: 1,
    invalid_parent_span_id: 1,
  });
  assert.equal(stats.traces.received, 1);
  assert.equal((await viewer.get(`/api/traces/${good.toHex()}`)).data.length, 1);
});

Deno.test("receiver says in JSON what it refuses of metrics", async () => {
  await using viewer = await testConsole();
  const timed = { timeUnixNano: "1000000" };
  const metrics = JSON.stringify({
    resourceMetrics: [{
      scopeMetrics: [{
        metrics: [
          { name: "good", gauge: { dataPoints: [{ ...timed, asInt: "1" }] } },
          { name: "no kind" },
          { name: "no time", gauge: { dataPoints: [{ asInt: "1" }] } },
          { name: "no value", gauge: { dataPoints: [timed] } },
          {
            name: "no fit",
            histogram: { dataPoints: [{ ...timed, bucketCounts: ["1"], explicitBounds: [1, 2] }] },
          },
          {
            name: "no order",
            histogram: {
              dataPoints: [{ ...timed, bucketCounts: ["1", "1", "1"], explicitBounds: [2, 1] }],
            },
          },
          { name: "no scale", exponentialHistogram: { dataPoints: [{ ...timed, scale: 99 }] } },
          { name: "ended", gauge: { dataPoints: [{ ...timed, flags: 1 }] } },
        ],
      }],
    }],
  });
  assert.deepEqual(await (await viewer.send("metrics", metrics, json)).json(), {
    partialSuccess: {
      rejectedDataPoints: "6",
      errorMessage: "1 invalid_metric: a metric needs a name and data points of a known type " +
        '(first: "no kind" of unknown_service); ' +
        "5 invalid_point: a data point needs a value, a time, and bounds and counts that fit together " +
        '(first: "no time" of unknown_service)',
    },
  });
  const stats = await viewer.get("/api/stats");
  assert.equal(stats.metrics.received, 1);
});

Deno.test("receiver forgets the service that was silent for longest, and refuses none", async () => {
  await using viewer = await testConsole({ maxServices: 2 });
  for (const name of ["a", "b", "a", "c"]) await viewer.sendSpans([{}], name);
  const { services } = await viewer.get("/api/services");
  assert.deepEqual(
    services.map(({ name, spans }: { name: string; spans: number }) => [name, spans]),
    [["a", 2], ["c", 1]],
  );
  assert.equal((await viewer.get("/api/traces?service=b")).data.length, 1);
});

Deno.test("receiver takes a span that is sent again only once", async () => {
  await using viewer = await testConsole();
  const one = span({});
  await viewer.sendSpans([one]);
  await viewer.sendSpans([one]);
  assert.equal((await viewer.get("/api/stats")).traces.received, 1);
  assert.equal((await viewer.get("/api/summaries")).traces[0].spanCount, 1);
});

Deno.test("receiver keeps its limits when values, series and services never repeat", async () => {
  const limits = {
    maxSpans: 1_000,
    maxTraces: 500,
    maxSeries: 100,
    maxServices: 10,
    maxLogs: 200,
    maxValueLength: 64,
    maxAttributes: 8,
  };
  await using viewer = await testConsole(limits);
  let value = 0;
  for (let batch = 0; batch < 20; batch++) {
    const attributes = () =>
      Array.from(
        { length: 12 },
        () => attributeOf(`key-${value++}`, `value-${value}`.padEnd(100, "x")),
      );
    const spans = Array.from({ length: 200 }, () => ({ attributes: attributes() }));
    await viewer.sendSpans(spans, "one");
    await viewer.sendSpans([{}], `service-${batch}`);
    const metrics = await viewer.send(
      "metrics",
      metricsRequest([{
        name: "counter",
        data: {
          case: "sum",
          value: {
            isMonotonic: true,
            aggregationTemporality: 2,
            dataPoints: Array.from({ length: 200 }, () => ({
              attributes: attributes(),
              timeUnixNano: 1_795_000_000_000_000_000n,
              value: { case: "asInt", value: 1n },
            })),
          },
        },
      }], "one"),
    );
    assert.equal(metrics.status, 200);
    await metrics.body?.cancel();
    const logs = await viewer.send(
      "logs",
      logsRequest(Array.from({ length: 100 }, () => ({ attributes: attributes() })), "one"),
    );
    await logs.body?.cancel();
  }
  const { traces, metrics, logs } = await viewer.get("/api/stats");
  assert.ok(traces.held <= 1_000 && traces.tracesHeld <= 500, JSON.stringify(traces));
  assert.equal(traces.received - traces.held, traces.evicted);
  assert.equal(metrics.seriesHeld, 100);
  assert.equal(metrics.received, 100);
  assert.deepEqual(metrics.refused, { series_limit: 3_900 });
  assert.equal(logs.held, 200);
  assert.equal(logs.evicted, 1_800);
  // Of 12 attributes 4 are left out and 8 are cut.
  assert.equal(logs.truncated, 2_000 * 12);
  assert.equal((await viewer.get("/api/services")).services.length, 10);
  assert.deepEqual(traces.refused, {});
});

Deno.test("receiver lets web pages of listed origins send, and no others", async () => {
  await using viewer = await testConsole({ corsOrigin: ["https://shop.example"] });
  const preflight = async (origin: string) => {
    const response = await fetch(`${viewer.otlpUrl}/v1/traces`, {
      method: "OPTIONS",
      headers: {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
      },
    });
    await response.body?.cancel();
    return response.headers.get("access-control-allow-origin");
  };
  assert.equal(await preflight("https://shop.example"), "https://shop.example");
  assert.equal(await preflight("https://evil.example"), null);
  const sent = await viewer.send("traces", tracesRequest([{}]), {
    origin: "https://shop.example",
  });
  await sent.body?.cancel();
  assert.equal(sent.status, 200);
  assert.equal(sent.headers.get("access-control-allow-origin"), "https://shop.example");
  await using closed = await testConsole();
  const response = await fetch(`${closed.otlpUrl}/v1/traces`, { method: "OPTIONS" });
  await response.body?.cancel();
  assert.equal(response.status, 405);
  assert.equal(response.headers.get("access-control-allow-origin"), null);
});

/** A body whose bytes the test gives. */
function drip() {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({ start: (one) => void (controller = one) });
  return {
    body,
    give: (bytes: number) => controller.enqueue(new Uint8Array(bytes)),
    end: () => controller.close(),
  };
}

Deno.test("receiver answers 503 with Retry-After while too much is under way, and cuts who has stalled", async () => {
  const world = new VirtualWorld({ seed: 1 });
  const { app } = consoleReceiver({
    store: new TelemetryStore(),
    log: testContext().log,
    maxBytesUnderWay: 100_000,
    world,
  });
  const headers = { "content-type": "application/x-protobuf" };
  const post = (body: BodyInit) => app.request("/v1/traces", { method: "POST", headers, body });
  const [stalled, lively] = [drip(), drip()];
  const first = post(stalled.body);
  stalled.give(60_000);
  await drainMicrotasks();
  const small = () => post(tracesRequest([{ name: "x".repeat(50_000) }]));
  const refused = await small();
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get("retry-after"), "1");
  assert.equal(fromBinary(StatusSchema, await refused.bytes()).code, 14);

  // While there is room, nobody who pauses is cut.
  await world.advance(900);
  const second = post(lively.body);
  lively.give(10_000);
  await drainMicrotasks();
  await world.advance(200);
  lively.give(1);
  await drainMicrotasks();
  assert.equal((await small()).status, 200);
  const cut = await first;
  assert.equal(cut.status, 408);
  assert.match(fromBinary(StatusSchema, await cut.bytes()).message, /No byte came for 1100 ms/);
  lively.end();
  assert.equal((await second).status, 400);
  assert.equal((await small()).status, 200);
});

Deno.test("receiver takes bodies without a length while others have stalled in theirs", async () => {
  await using viewer = await testConsole();
  const { hostname, port } = new URL(viewer.otlpUrl);
  const head =
    "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\n" +
    "content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n";
  const stalled = await Promise.all(Array.from({ length: 8 }, async () => {
    const connection = await Deno.connect({ hostname, port: Number(port) });
    await connection.write(new TextEncoder().encode(head + "a\r\n"));
    await connection.write(gzipSync(tracesRequest([{}])).subarray(0, 10));
    return connection;
  }));
  try {
    const body = gzipSync(tracesRequest([{}])) as Uint8Array<ArrayBuffer>;
    const answers = await Promise.all(Array.from({ length: 12 }, () =>
      viewer.send(
        "traces",
        new ReadableStream({
          start(controller) {
            controller.enqueue(body.subarray(0, 20));
            controller.enqueue(body.subarray(20));
            controller.close();
          },
        }),
        { "content-encoding": "gzip" },
      )));
    assert.deepEqual(answers.map(({ status }) => status), new Array(12).fill(200));
    await Promise.all(answers.map((one) => one.body?.cancel()));
    assert.equal((await viewer.get("/api/stats")).requests.accepted, 12);
  } finally {
    for (const connection of stalled) connection.close();
  }
});

Deno.test("receiver takes a body of several gzip members, as a log shipper writes it", async () => {
  await using viewer = await testConsole();
  const [a, b] = [gzipSync(tracesRequest([{}])), gzipSync(tracesRequest([{}]))];
  const body = new Uint8Array([...a, ...b]);
  const response = await viewer.send("traces", body, { "content-encoding": "gzip" });
  assert.equal(response.status, 200);
  await response.body?.cancel();
  assert.equal((await viewer.get("/api/stats")).traces.received, 2);
});

Deno.test("receiver answers 408 to a body that does not come", async () => {
  const { app } = consoleReceiver({
    store: new TelemetryStore(),
    log: testContext().log,
    bodyTimeoutMs: 20,
  });
  const response = await app.request("/v1/logs", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: new ReadableStream(),
  });
  assert.equal(response.status, 408);
  assert.match((await response.json()).message, /20 ms/);
});
