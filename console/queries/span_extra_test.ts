import assert from "node:assert/strict";
import { attributeOf, newSpanId, newTraceId, testConsole } from "../test_console.ts";

Deno.test("/api/traces/{}/spans/{} has links in both directions, flags, and what was dropped", async () => {
  await using viewer = await testConsole();
  const [order, orderSpan, batch, batchSpan] = [
    newTraceId(),
    newSpanId(),
    newTraceId(),
    newSpanId(),
  ];
  const unknown = newTraceId();
  await viewer.sendSpans([{
    traceId: order,
    spanId: orderSpan,
    name: "PUT /orders",
    flags: 0x301,
    traceState: "a=b",
    droppedAttributesCount: 3,
  }], "web");
  await viewer.sendSpans([{
    traceId: batch,
    spanId: batchSpan,
    name: "ship",
    links: [
      {
        traceId: order,
        spanId: orderSpan,
        attributes: [attributeOf("batch.index", 7)],
        traceState: "c=d",
      },
      { traceId: unknown, spanId: newSpanId() },
    ],
  }], "shipping");
  const get = (trace: Uint8Array, span: Uint8Array) =>
    viewer.get(`/api/traces/${trace.toHex()}/spans/${span.toHex()}`);
  const link = { traceState: "c=d", attributes: { "batch.index": 7 } };

  const { links, linkedFrom } = await get(batch, batchSpan);
  assert.deepEqual(links[0], {
    ...link,
    traceId: order.toHex(),
    spanId: orderSpan.toHex(),
    name: "PUT /orders",
    service: "web",
  });
  assert.equal(links[1].traceId, unknown.toHex());
  assert.equal("name" in links[1], false, "it is not held");
  assert.deepEqual(linkedFrom, []);

  const extra = await get(order, orderSpan);
  assert.deepEqual(extra.linkedFrom, [{
    ...link,
    traceId: batch.toHex(),
    spanId: batchSpan.toHex(),
    name: "ship",
    service: "shipping",
  }]);
  assert.deepEqual([extra.flags, extra.traceState, extra.dropped.attributes], [0x301, "a=b", 3]);
  assert.equal(extra.scope.name, "test");

  const missing = await fetch(`${viewer.pageUrl}/api/traces/${order.toHex()}/spans/00`);
  assert.equal(missing.status, 404);
  await missing.body?.cancel();
});
