import assert from "node:assert/strict";
import type { JaegerKeyValue } from "../page_api/api.ts";
import { attributeOf, newSpanId, newTraceId, testConsole, type TestSpan } from "../test_console.ts";

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
