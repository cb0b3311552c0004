import assert from "node:assert/strict";
import type { JaegerKeyValue } from "../page_api/jaeger_api.ts";
import {
  attributeOf,
  newSpanId,
  newTraceId,
  testConsole,
  type TestSpan,
  tracesRequest,
} from "../test_console.ts";

async function jaegerSpans(...spans: TestSpan[]) {
  await using viewer = await testConsole({ maxAttributes: 4, maxEventsPerSpan: 2 });
  const traceId = newTraceId();
  await viewer.sendSpans(spans.map((one) => ({ traceId, ...one })));
  return (await viewer.get(`/api/traces/${traceId.toHex()}`)).data[0].spans;
}

Deno.test("jaegerTrace() sorts spans by their start, in whatever order they came", async () => {
  const at = (startTimeUnixNano: bigint, name: string) => ({
    name,
    startTimeUnixNano,
    endTimeUnixNano: startTimeUnixNano,
  });
  const spans = await jaegerSpans(at(2_000n, "second"), at(3_000n, "third"), at(1_000n, "first"));
  assert.deepEqual(
    spans.map(({ operationName }: { operationName: string }) => operationName),
    ["first", "second", "third"],
  );
});

Deno.test("jaegerTrace() keeps the kinds of values apart", async () => {
  const any = (value: unknown) => ({ value: value as never });
  const [one] = await jaegerSpans({
    attributes: [
      attributeOf("whole double", 3),
      { key: "bytes", value: any({ case: "bytesValue", value: new Uint8Array([1, 2, 3]) }) },
      attributeOf("large", 2n ** 62n),
      attributeOf("nan", NaN),
    ],
  });
  assert.deepEqual(one.tags.filter(({ key }: JaegerKeyValue) => !key.startsWith("otel.")), [
    { key: "whole double", type: "float64", value: 3 },
    { key: "bytes", type: "binary", value: "AQID" },
    { key: "large", type: "int64", value: "4611686018427387904" },
    { key: "nan", type: "float64", value: "NaN" },
  ]);
});

Deno.test("jaegerTrace() warns of what was cut, dropped and mended", async () => {
  const event = { name: "e" };
  const spans = await jaegerSpans(
    {
      attributes: Array.from({ length: 6 }, (_, i) => attributeOf(`k${i}`, true)),
      events: [event, event, event],
      links: [{ traceId: newTraceId(), spanId: new Uint8Array(3) }],
    },
    { droppedAttributesCount: 2, droppedEventsCount: 1 },
    { startTimeUnixNano: 1_795_000_000_000_000_000n, endTimeUnixNano: 1n },
    {},
  );
  // By start; those of one microsecond as they came.
  const [cut, dropped, backwards, good] = spans;
  assert.deepEqual(cut.warnings, ["4 values were cut or left out at the console's limits"]);
  assert.equal(cut.logs.length, 2);
  assert.deepEqual(dropped.warnings, [
    "3 attributes, events or links were dropped by the sender",
  ]);
  assert.deepEqual(backwards.warnings, [
    "the span ends before it begins; its duration is shown as 0",
  ]);
  assert.equal(good.warnings, null);
  assert.ok(spans.every(({ duration }: { duration: number }) => duration >= 0));
});

Deno.test("jaegerTrace() names every process once", async () => {
  await using viewer = await testConsole();
  const traceId = newTraceId();
  const parent = newSpanId();
  await viewer.sendSpans([{ traceId, spanId: parent }, { traceId }], "web");
  await viewer.sendSpans([{ traceId, parentSpanId: parent }], "database");
  await viewer.sendSpans([{ traceId, parentSpanId: parent }], "web");
  const [{ processes, spans }] = (await viewer.get(`/api/traces/${traceId.toHex()}`)).data;
  assert.deepEqual(
    Object.values(processes).map((process) => (process as { serviceName: string }).serviceName),
    ["web", "database"],
  );
  assert.deepEqual(spans.map(({ processID }: { processID: string }) => processID).sort(), [
    "p1",
    "p1",
    "p1",
    "p2",
  ]);
});

Deno.test("jaegerTrace() shows both halves of a call that share an id, the server's below the client's", async () => {
  await using viewer = await testConsole();
  const traceId = newTraceId();
  const [root, shared] = [newSpanId(), newSpanId()];
  const at = (ms: bigint) => ({
    startTimeUnixNano: 1_795_000_000_000_000_000n + ms * 1_000_000n,
    endTimeUnixNano: 1_795_000_000_100_000_000n,
  });
  const half = { traceId, spanId: shared, parentSpanId: root };
  await viewer.sendSpans([{ ...half, kind: 2, name: "serve", ...at(2n) }], "shop");
  await viewer.sendSpans([
    { traceId, spanId: root, name: "root", ...at(0n) },
    { ...half, kind: 3, name: "call", ...at(1n) },
    { traceId, parentSpanId: shared, name: "of the caller", ...at(3n) },
  ], "web");
  await viewer.sendSpans([{ traceId, parentSpanId: shared, name: "query", ...at(4n) }], "shop");
  const read = async () => {
    const { spans } = (await viewer.get(`/api/traces/${traceId.toHex()}`)).data[0];
    // deno-lint-ignore no-explicit-any -- Jaeger's JSON
    const nameOf = (id: string) => spans.find((one: any) => one.spanID === id)?.operationName;
    // deno-lint-ignore no-explicit-any -- Jaeger's JSON
    return spans.map((one: any) => [
      one.operationName,
      one.references[0] === undefined ? "" : nameOf(one.references[0].spanID),
    ]);
  };
  const expected = [
    ["root", ""],
    ["call", "root"],
    ["serve", "call"],
    ["of the caller", "call"],
    ["query", "serve"],
  ];
  assert.deepEqual(await read(), expected);
  assert.equal((await viewer.get("/api/summaries")).traces[0].spanCount, 5);
});

Deno.test("jaegerTrace() says which times a span does not have, and shows it where it can", async () => {
  const start = 1_795_000_000_000_000_000n;
  const [begun, noStart, none] = await jaegerSpans(
    { name: "begun", endTimeUnixNano: 0n },
    { name: "no start", startTimeUnixNano: 0n, endTimeUnixNano: start + 5_000_000n },
    { name: "none", startTimeUnixNano: 0n, endTimeUnixNano: 0n },
  ).then((spans) =>
    ["begun", "no start", "none"].map((name) =>
      // deno-lint-ignore no-explicit-any -- Jaeger's JSON
      spans.find((one: any) => one.operationName === name)
    )
  );
  assert.deepEqual([begun.startTime, begun.duration], [Number(start / 1000n), 0]);
  assert.match(begun.warnings[0], /no end/);
  assert.deepEqual([noStart.startTime, noStart.duration], [Number(start / 1000n) + 5_000, 0]);
  assert.match(noStart.warnings[0], /no start time/);
  assert.ok(none.startTime > 1_700_000_000_000_000);
  assert.match(none.warnings[0], /no times/);
});

Deno.test("a trace that was cut says at how many spans, and how many are missing", async () => {
  await using viewer = await testConsole({ maxSpansPerTrace: 3 });
  const traceId = newTraceId();
  const body = tracesRequest(Array.from({ length: 5 }, () => ({ traceId })));
  await (await viewer.send("traces", body)).body?.cancel();
  const [{ spans, warnings }] = (await viewer.get(`/api/traces/${traceId.toHex()}`)).data;
  assert.equal(spans.length, 3);
  assert.match(warnings[0], /cut at 3 spans: 2 more were refused/);
  assert.equal((await viewer.get("/api/summaries")).traces[0].complete, false);
});
