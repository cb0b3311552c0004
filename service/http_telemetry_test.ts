import assert from "node:assert/strict";
import { SpanStatusCode, trace } from "@opentelemetry/api";
import {
  InMemorySpanExporter,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { Hono } from "hono";
import { httpTelemetry } from "./http_telemetry.ts";
import { ProblemError, problemOnError } from "./problem.ts";

Deno.test("httpTelemetry() marks a span as failed for 5xx and not for 4xx", async () => {
  const exporter = new InMemorySpanExporter();
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
