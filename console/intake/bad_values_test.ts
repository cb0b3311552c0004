/** One bad value costs only itself: what foreign programs send that no schema allows. */
import assert from "node:assert/strict";
import type { NoticeRow } from "../page_api/api.ts";
import {
  attributeOf,
  logsRequest,
  newTraceId,
  testConsole,
  tracesRequest,
} from "../test_console.ts";

const json = { "content-type": "application/json" };
const traceId = "5b8efff798038103d269b633813fc60c";

const good = {
  traceId,
  spanId: "eee19b7ec3c1b174",
  name: "good",
  startTimeUnixNano: "1795000000000000000",
  endTimeUnixNano: "1795000000500000000",
};

function traces(...spans: Record<string, unknown>[]): string {
  return JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans }] }] });
}

function logs(...logRecords: Record<string, unknown>[]): string {
  return JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords }] }] });
}

function indexOf(body: Uint8Array, text: string): number {
  const needle = new TextEncoder().encode(text);
  return body.findIndex((_, at) => needle.every((byte, i) => body[at + i] === byte));
}

Deno.test("a lone surrogate in JSON becomes U+FFFD, in a name, a key and a value alike", async () => {
  await using viewer = await testConsole();
  const body = traces({
    ...good,
    name: "half \ud83d",
    attributes: [{ key: "k\udc00", value: { stringValue: "whole \u{1f600}, half \ud800" } }],
  });
  assert.match(body, /\\ud83d/);
  assert.equal(await (await viewer.send("traces", body, json)).text(), "{}");
  const [span] = (await viewer.get(`/api/traces/${traceId}`)).data[0].spans;
  assert.equal(span.operationName, "half \ufffd");
  assert.deepEqual(span.tags[0], {
    key: "k\ufffd",
    type: "string",
    value: "whole \u{1f600}, half \ufffd",
  });
});

Deno.test("JSON and protobuf that are not UTF-8 keep all that is", async () => {
  await using viewer = await testConsole();
  const text = new TextEncoder().encode(traces({ ...good, name: "bad @ byte" }));
  text[indexOf(text, "@")] = 0xff;
  assert.equal(await (await viewer.send("traces", text, json)).text(), "{}");
  assert.equal(
    (await viewer.get(`/api/traces/${traceId}`)).data[0].spans[0].operationName,
    "bad \ufffd byte",
  );

  const id = newTraceId();
  const binary = tracesRequest([
    { traceId: id, name: "bad @ byte", attributes: [attributeOf("key", "also @ bad")] },
    { traceId: id, name: "neighbour" },
  ]);
  binary[indexOf(binary, "@")] = 0xff;
  binary[indexOf(binary, "@")] = 0xc3;
  const response = await viewer.send("traces", binary);
  assert.equal(response.status, 200);
  assert.equal((await response.bytes()).length, 0);
  const { spans } = (await viewer.get(`/api/traces/${id.toHex()}`)).data[0];
  assert.deepEqual(
    spans.map(({ operationName }: { operationName: string }) => operationName).sort(),
    ["bad \ufffd byte", "neighbour"],
  );
});

Deno.test("ids of JSON are read where they are ids: an unknown field may be called so", async () => {
  await using viewer = await testConsole();
  const body = JSON.stringify({
    resourceSpans: [{
      vendor: { traceId: "none of yours", spanId: 7 },
      scopeSpans: [{ spans: [{ ...good, vendor: [{ traceId: {} }] }], traceId: "no" }],
    }],
  });
  assert.equal(await (await viewer.send("traces", body, json)).text(), "{}");
  assert.equal((await viewer.get(`/api/traces/${traceId}`)).data.length, 1);
});

Deno.test("a span that cannot be kept is named with its reason, its neighbours are kept", async () => {
  await using viewer = await testConsole();
  const body = traces(
    good,
    {
      ...good,
      spanId: "0000000000000002",
      traceId: "5b8efff7-9803-8103-d269-b633813fc60c",
      name: "GET /cart",
    },
    { ...good, spanId: "0000000000000003", startTimeUnixNano: "soon", name: "PUT /soon" },
    { ...good, spanId: "0000000000000004", parentSpanId: 12, name: "parent" },
    { ...good, spanId: "0000000000000005", name: 5 },
  );
  const { partialSuccess } = await (await viewer.send("traces", body, json)).json();
  assert.equal(partialSuccess.rejectedSpans, "4");
  assert.match(partialSuccess.errorMessage, /1 invalid_trace_id: .*"GET \/cart"/);
  assert.match(partialSuccess.errorMessage, /1 invalid_parent_span_id: .*"parent"/);
  assert.match(partialSuccess.errorMessage, /2 malformed: .*start_time_unix_nano.*"PUT \/soon"/);
  const { spans } = (await viewer.get(`/api/traces/${traceId}`)).data[0];
  assert.equal(spans.length, 1);
});

Deno.test("an attribute, event or link that is no such thing costs itself, not its span", async () => {
  await using viewer = await testConsole();
  const body = traces({
    ...good,
    attributes: [
      { key: "n", value: { intValue: "many" } },
      { key: "ok", value: { stringValue: "yes" } },
      "nothing",
    ],
    events: [{ name: "e", timeUnixNano: "never" }, { name: "kept", timeUnixNano: "1" }],
    links: [{ traceId: "zz", spanId: "zz" }],
  });
  assert.equal(await (await viewer.send("traces", body, json)).text(), "{}");
  const [span] = (await viewer.get(`/api/traces/${traceId}`)).data[0].spans;
  assert.deepEqual(span.tags[0], { key: "ok", type: "string", value: "yes" });
  assert.equal(span.logs.length, 1);
  assert.equal((await viewer.get("/api/stats")).traces.truncated, 4);
});

Deno.test("a log record whose trace id is none is kept without its trace", async () => {
  await using viewer = await testConsole();
  const body = logs(
    { body: { stringValue: "a" }, traceId: "5b8efff798038103", spanId: "eee19b7ec3c1b174" },
    { body: { stringValue: "b" }, traceId: "5b8efff7-9803-8103-d269-b633813fc60c" },
    { body: { stringValue: "c" }, traceId, spanId: "0a" },
    { body: { intValue: "many" }, attributes: [{ key: "d", value: { stringValue: "d" } }] },
  );
  assert.equal(await (await viewer.send("logs", body, json)).text(), "{}");
  const binary = logsRequest([{ traceId: new Uint8Array(8).fill(1) }]);
  assert.equal((await (await viewer.send("logs", binary)).bytes()).length, 0);
  const rows = (await viewer.get("/api/logs")).logs as {
    body: string;
    traceId?: string;
    spanId?: string;
  }[];
  assert.deepEqual(
    rows.map(({ body, traceId, spanId }) => [body, traceId, spanId]).reverse(),
    [
      ["a", undefined, undefined],
      ["b", undefined, undefined],
      ["c", traceId, undefined],
      ["", undefined, undefined],
      ["", undefined, undefined],
    ],
  );
});

Deno.test("a span that is broken inside its own bytes costs itself", async () => {
  await using viewer = await testConsole();
  const id = newTraceId();
  const body = tracesRequest([{ traceId: id, name: "broken" }, { traceId: id, name: "whole" }]);
  // The tag of its name says now: a number of eight bytes, which does not fit what is left of it.
  body[indexOf(body, "broken") - 2] = (5 << 3) | 1;
  body[indexOf(body, "broken") - 1] = 0x7f;
  const response = await viewer.send("traces", body);
  assert.equal(response.status, 200);
  assert.match(new TextDecoder().decode(await response.bytes()), /1 malformed/);
  const { spans } = (await viewer.get(`/api/traces/${id.toHex()}`)).data[0];
  assert.deepEqual(
    spans.map(({ operationName }: { operationName: string }) => operationName),
    ["whole"],
  );
});

Deno.test("the operator hears what was refused, cut and mended, by sender and reason", async () => {
  const lines: string[] = [];
  await using viewer = await testConsole({ maxValueLength: 20 }, { lines });
  const bad = { traceId: new Uint8Array(3), name: "GET /" };
  const body = tracesRequest([bad, bad, { attributes: [attributeOf("k", "x".repeat(40))] }]);
  await (await viewer.send("traces", body)).body?.cancel();
  await (await viewer.send("logs", "no", { "user-agent": "Strange/1.0" })).body?.cancel();
  const grpc = { "content-type": "application/grpc", "user-agent": "grpc-go/1.0" };
  const knock = await viewer.send("traces", "no", grpc);
  assert.equal(knock.headers.get("grpc-status"), "12");
  assert.match(decodeURIComponent(knock.headers.get("grpc-message")!), /http\/protobuf/);
  await knock.body?.cancel();

  const { notices } = await viewer.get("/api/notices");
  assert.deepEqual(
    notices.map(({ signal, sender, reason, count, example }: NoticeRow) => [
      signal,
      sender,
      reason,
      count,
      example,
    ]).reverse(),
    [
      ["traces", "shop", "invalid_trace_id", 2, "GET /"],
      ["traces", "shop", "cut", 1, "GET /"],
      ["logs", "Strange/1.0", "http_400", 1, ""],
      ["traces", "grpc-go/1.0", "http_415", 1, ""],
    ],
  );
  const said = lines.filter((line) => line.startsWith("WARN"));
  assert.equal(said.length, 4);
  assert.match(said[0]!, /sender=shop reason=invalid_trace_id .*example="GET \/"/);
});

Deno.test("a log record says where it comes from, and its severity by its word", async () => {
  await using viewer = await testConsole();
  const body = JSON.stringify({
    resourceLogs: [{
      resource: {
        attributes: [
          { key: "service.name", value: { stringValue: "cart" } },
          { key: "k8s.pod.name", value: { stringValue: "cart-7" } },
        ],
      },
      scopeLogs: [{
        scope: {
          name: "lib",
          version: "2",
          attributes: [{ key: "team", value: { stringValue: "blue" } }],
        },
        logRecords: [{ severityText: "Warning", eventName: "stock.low", timeUnixNano: "1" }],
      }],
    }],
  });
  assert.equal(await (await viewer.send("logs", body, json)).text(), "{}");
  for (const q of ["k8s.pod.name=cart-7", "team=blue", "cart-7", "event=stock.low", "stock.low"]) {
    const { logs } = await viewer.get(`/api/logs?severity=warn&q=${encodeURIComponent(q)}`);
    assert.equal(logs.length, 1, q);
  }
  const [{ seq, severityNumber, severity }] = (await viewer.get("/api/logs")).logs;
  assert.deepEqual([severityNumber, severity], [13, "Warning"]);
  const detail = await viewer.get(`/api/logs/${seq}`);
  assert.deepEqual(detail.resource, { "k8s.pod.name": "cart-7" });
  assert.deepEqual([detail.scopeAttributes, detail.scopeVersion], [{ team: "blue" }, "2"]);
});

Deno.test("log records and data points that cannot be read are counted in the answer, by their own names", async () => {
  await using viewer = await testConsole();
  const logBody = logs(
    { body: { stringValue: "kept" } },
    ...[3, "no", []] as unknown as Record<string, unknown>[],
  );
  const answer = await (await viewer.send("logs", logBody, json)).json();
  assert.equal(answer.partialSuccess.rejectedLogRecords, "3");
  assert.match(answer.partialSuccess.errorMessage, /^3 malformed/);
  assert.equal((await viewer.get("/api/stats")).logs.received, 1);
});
