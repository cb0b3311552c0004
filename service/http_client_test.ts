import assert from "node:assert/strict";
import {
  createNoopMeter,
  metrics,
  propagation,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { KeptSpans } from "./testing/kept_spans.ts";
import { httpDurationBuckets, tracedFetch } from "./http_client.ts";
import { VirtualWorld } from "./world/virtual_world.ts";

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

Deno.test("tracedFetch() measures by the HTTP conventions, and calls only 4xx and 5xx failed", async () => {
  const exporter = new KeptSpans();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  trace.setGlobalTracerProvider(provider);
  const made: unknown[] = [];
  const recorded: [number, Record<string, unknown>][] = [];
  const meter = Object.assign(Object.create(createNoopMeter()), {
    createHistogram: (...options: unknown[]) => {
      made.push(options);
      return {
        record: (value: number, attributes: Record<string, unknown>) =>
          recorded.push([value, { ...attributes }]),
      };
    },
  });
  metrics.setGlobalMeterProvider({ getMeter: () => meter });
  const world = new VirtualWorld();
  await world.advance(1_000);
  const { fetch } = globalThis;
  const asked: (() => Promise<Response>)[] = [];
  globalThis.fetch = () => asked.shift()!();
  try {
    const traced = tracedFetch("test", { world });
    assert.deepEqual(made, [["http.client.request.duration", {
      ...{ description: "Duration of HTTP client requests.", unit: "s" },
      advice: { explicitBucketBoundaries: httpDurationBuckets },
    }]]);
    assert.deepEqual(httpDurationBuckets.slice(0, 2), [0.005, 0.01]);
    assert.equal(httpDurationBuckets.length, 14);
    for (const status of [200, 302, 399, 400, 599]) {
      asked.push(async () => {
        await world.advance(500);
        return new Response(null, { status });
      });
      await traced(status === 200 ? "https://a.example/x" : "http://a.example/x");
    }
    const failed = (error: unknown) => {
      asked.push(() => Promise.reject(error));
      return traced("http://a.example:8080/x");
    };
    await assert.rejects(failed(new RangeError("no way")), RangeError);
    await assert.rejects(failed("a word"), (error) => error === "a word");
    const of = (port: number, more: object) => ({
      ...{ "http.request.method": "GET", "server.address": "a.example", "server.port": port },
      ...more,
    });
    assert.deepEqual(recorded, [
      [0.5, of(443, { "http.response.status_code": 200 })],
      [0.5, of(80, { "http.response.status_code": 302 })],
      [0.5, of(80, { "http.response.status_code": 399 })],
      [0.5, of(80, { "http.response.status_code": 400, "error.type": "400" })],
      [0.5, of(80, { "http.response.status_code": 599, "error.type": "599" })],
      [0, of(8_080, { "error.type": "RangeError" })],
      [0, of(8_080, { "error.type": "Error" })],
    ]);
    const { ERROR, UNSET } = SpanStatusCode;
    assert.deepEqual(exporter.getFinishedSpans().map(({ status }) => status), [
      ...[{ code: UNSET }, { code: UNSET }, { code: UNSET }, { code: ERROR }, { code: ERROR }],
      ...[{ code: ERROR, message: "no way" }, { code: ERROR, message: "a word" }],
    ]);
  } finally {
    globalThis.fetch = fetch;
    await provider.shutdown();
    trace.disable();
    metrics.disable();
  }
});
