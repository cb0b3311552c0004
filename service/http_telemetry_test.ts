import assert from "node:assert/strict";
import { context, metrics, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { KeptSpans } from "./testing/kept_spans.ts";
import { Hono } from "hono";
import { httpTelemetry } from "./http_telemetry.ts";
import { ProblemError, problemOnError } from "./problem.ts";
import { version } from "./version.ts";
import { VirtualWorld } from "./world/virtual_world.ts";

Deno.test("httpTelemetry() marks a span as failed for 5xx and not for 4xx", async () => {
  const exporter = new KeptSpans();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  trace.setGlobalTracerProvider(provider);
  try {
    const silent = () => {};
    const app = new Hono();
    app.onError(problemOnError({ debug: silent, info: silent, warn: silent, error: silent }));
    app.use(httpTelemetry("fixture"));
    app.get("/things/:id", (c) => c.text("ok"));
    app.get("/refused", () => {
      throw new ProblemError(422, { title: "Refused" });
    });
    app.get("/busy", () => {
      throw new ProblemError(503, { title: "Busy" });
    });
    app.get("/bug", () => {
      throw new TypeError("bug");
    });
    for (const path of ["/things/7", "/refused", "/busy", "/bug"]) await app.request(path);

    assert.deepEqual(
      exporter.getFinishedSpans().map(({ name, status, attributes }) => [
        name,
        attributes["http.response.status_code"],
        status.code,
        attributes["service.name"],
      ]),
      [
        ["GET /things/:id", 200, SpanStatusCode.UNSET, "fixture"],
        ["GET /refused", 422, SpanStatusCode.UNSET, "fixture"],
        ["GET /busy", 503, SpanStatusCode.ERROR, "fixture"],
        ["GET /bug", 500, SpanStatusCode.ERROR, "fixture"],
      ],
    );
  } finally {
    await provider.shutdown();
    trace.disable();
  }
});

Deno.test("httpTelemetry() calls a method that HTTP has not by one name, whatever it is", async () => {
  const exporter = new KeptSpans();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  trace.setGlobalTracerProvider(provider);
  try {
    const app = new Hono();
    app.use(httpTelemetry("fixture"));
    app.all("/pot", (c) => c.text("ok"));
    const known = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
    for (const method of [...known, "BREW", "x".repeat(200)]) await app.request("/pot", { method });
    assert.deepEqual(
      exporter.getFinishedSpans().map(({ name, attributes }) => [
        ...[name, attributes["http.request.method"], attributes["http.request.method_original"]],
      ]),
      [
        ...known.map((method) => [`${method} /pot`, method, undefined]),
        ["HTTP /pot", "_OTHER", "BREW"],
        ["HTTP /pot", "_OTHER", "x".repeat(100)],
      ],
    );
  } finally {
    await provider.shutdown();
    trace.disable();
  }
});

Deno.test("httpTelemetry() goes on from the request's traceparent, its span active in the routes", async () => {
  const exporter = new KeptSpans();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  trace.setGlobalTracerProvider(provider);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  try {
    const app = new Hono();
    app.use(httpTelemetry("fixture"));
    app.post("/things", async (c) => {
      await Promise.resolve();
      return c.text(trace.getActiveSpan()!.spanContext().spanId, 201);
    });
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const url = "http://127.0.0.1:4242/things?all=1";
    const answer = await app.request(url, { method: "POST", headers: { traceparent } });

    const [span] = exporter.getFinishedSpans();
    assert.equal(await answer.text(), span!.spanContext().spanId);
    assert.equal(span!.spanContext().traceId, "0af7651916cd43dd8448eb211c80319c");
    assert.equal(span!.parentSpanContext?.spanId, "b7ad6b7169203331");
    assert.equal(span!.kind, SpanKind.SERVER);
    assert.deepEqual(span!.attributes, {
      "http.request.method": "POST",
      "service.name": "fixture",
      "service.version": version,
      "url.full": url,
      "http.route": "/things",
      "http.response.status_code": 201,
    });
  } finally {
    await provider.shutdown();
    trace.disable();
    context.disable();
    propagation.disable();
  }
});

Deno.test("httpTelemetry() counts requests under way, and how long they take", async () => {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const provider = new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1e6 })],
  });
  metrics.setGlobalMeterProvider(provider);
  const world = new VirtualWorld({ seed: 1 });
  /** Name, and of each point its method, route, status and value. */
  async function collect() {
    exporter.reset();
    await provider.forceFlush();
    return exporter.getMetrics()[0]!.scopeMetrics[0]!.metrics.map(({ descriptor, dataPoints }) => [
      descriptor.name,
      ...dataPoints.filter(({ attributes }) => attributes["service.name"] === "counted")
        .map(({ attributes, value }) => [
          attributes["http.request.method"],
          attributes["http.route"],
          attributes["http.response.status_code"],
          typeof value === "object" && "sum" in value ? [value.count, value.sum] : value,
        ]),
    ]);
  }
  try {
    const app = new Hono();
    const waiting = Promise.withResolvers<void>();
    app.use(httpTelemetry("counted", { world }));
    app.get("/slow/:id", async (c) => {
      await waiting.promise;
      return c.text("", 418);
    });
    const answers = [app.request("/slow/1"), app.request("/slow/2")];
    const underWay = await collect();
    assert.deepEqual(underWay[0], [
      "http.server.active_requests",
      ["GET", undefined, undefined, 2],
    ]);
    await world.advance(250);
    waiting.resolve();
    await Promise.all(answers);
    assert.deepEqual((await collect()).toSorted(), [
      ["http.server.active_requests", ["GET", undefined, undefined, 0]],
      ["http.server.request.duration", ["GET", "/slow/:id", 418, [2, .5]]],
    ]);
  } finally {
    await provider.shutdown();
    metrics.disable();
  }
});
