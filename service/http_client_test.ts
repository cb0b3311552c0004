import assert from "node:assert/strict";
import { propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { KeptSpans } from "./testing/kept_spans.ts";
import { tracedFetch } from "./http_client.ts";

Deno.test("tracedFetch() makes a client span and hands its context on", async () => {
  const exporter = new KeptSpans();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  trace.setGlobalTracerProvider(provider);
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => new Response(request.headers.get("traceparent"), { status: 409 }),
  );
  try {
    const response = await tracedFetch("test")(
      `http://user:secret@127.0.0.1:${server.addr.port}/api/signup?token=secret`,
      { method: "POST", body: "{}" },
    );
    const traceparent = await response.text();
    const [span] = exporter.getFinishedSpans();
    assert.ok(span);
    const { traceId, spanId } = span.spanContext();
    assert.equal(traceparent, `00-${traceId}-${spanId}-01`);
    assert.equal(span.name, "POST");
    assert.equal(span.kind, SpanKind.CLIENT);
    assert.equal(span.status.code, SpanStatusCode.ERROR);
    assert.deepEqual(span.attributes, {
      "http.request.method": "POST",
      "server.address": "127.0.0.1",
      "server.port": server.addr.port,
      "url.full": `http://127.0.0.1:${server.addr.port}/api/signup`,
      "http.response.status_code": 409,
      "error.type": "409",
    });

    await server.shutdown();
    await assert.rejects(tracedFetch("test")(`http://127.0.0.1:${server.addr.port}/`));
    assert.equal(exporter.getFinishedSpans()[1]?.attributes["error.type"], "TypeError");
  } finally {
    await server.shutdown();
    await provider.shutdown();
    trace.disable();
    propagation.disable();
  }
});
