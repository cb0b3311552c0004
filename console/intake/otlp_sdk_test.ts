/** The real SDK's exporters send to the console: what a program measured must come out of the API. */
import assert from "node:assert/strict";
import { metrics as metricsApi, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-proto";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import {
  AggregationType,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { ROOT_CONTEXT } from "@opentelemetry/api";
import { eventually } from "../../service/testing/eventually.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { testConsole } from "../test_console.ts";

const resource = resourceFromAttributes({
  "service.name": "golden",
  "service.namespace": "orrery",
  "service.instance.id": "one",
});

testWith(["net", "env"], "console shows the SDK's spans in Jaeger's JSON", async () => {
  await using viewer = await testConsole();
  const provider = new TracerProvider({
    resource,
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: new OTLPTraceExporter({ url: `${viewer.otlpUrl}/v1/traces` }),
      }),
    ],
  });
  const tracer = provider.getTracer("golden-scope", "1.2.3");
  const parent = tracer.startSpan("POST /signup", {
    kind: SpanKind.SERVER,
    startTime: 1_795_000_000_000,
  });
  const inParent = trace.setSpan(ROOT_CONTEXT, parent);
  const other = tracer.startSpan("other", {}, ROOT_CONTEXT);
  const child = tracer.startSpan("hash", {
    startTime: 1_795_000_000_001,
    attributes: {
      text: "ünïcode \u{1f600}",
      int: 3,
      double: 0.5,
      yes: true,
      list: ["a", "b"],
    },
    links: [{ context: other.spanContext() }],
  }, inParent);
  child.addEvent("first", { at: 1 }, 1_795_000_000_001.5);
  child.recordException(new TypeError("no eye"), 1_795_000_000_001.75);
  child.setStatus({ code: SpanStatusCode.ERROR, message: "no eye" });
  child.end(1_795_000_000_001.75);
  parent.end(1_795_000_000_003);
  await provider.shutdown();

  const { traceId, spanId } = parent.spanContext();
  const answer = await viewer.get(`/api/traces/${traceId}`);
  assert.deepEqual(Object.keys(answer).sort(), ["data", "errors", "limit", "offset", "total"]);
  const [{ traceID, spans, processes, warnings }] = answer.data;
  assert.equal(traceID, traceId);
  assert.equal(warnings, null);
  assert.equal(processes.p1.serviceName, "golden");
  assert.deepEqual(processes.p1.tags, [
    { key: "service.namespace", type: "string", value: "orrery" },
    { key: "service.instance.id", type: "string", value: "one" },
  ]);
  assert.deepEqual(spans[0], {
    traceID: traceId,
    spanID: spanId,
    operationName: "POST /signup",
    references: [],
    startTime: 1_795_000_000_000_000,
    duration: 3_000,
    tags: [
      { key: "span.kind", type: "string", value: "server" },
      { key: "otel.scope.name", type: "string", value: "golden-scope" },
      { key: "otel.scope.version", type: "string", value: "1.2.3" },
    ],
    logs: [],
    processID: "p1",
    warnings: null,
  });
  const { logs, ...second } = spans[1];
  assert.deepEqual(second, {
    traceID: traceId,
    spanID: child.spanContext().spanId,
    operationName: "hash",
    references: [
      { refType: "CHILD_OF", traceID: traceId, spanID: spanId },
      {
        refType: "FOLLOWS_FROM",
        traceID: other.spanContext().traceId,
        spanID: other.spanContext().spanId,
      },
    ],
    startTime: 1_795_000_000_001_000,
    duration: 750,
    tags: [
      { key: "text", type: "string", value: "ünïcode \u{1f600}" },
      { key: "int", type: "int64", value: 3 },
      { key: "double", type: "float64", value: 0.5 },
      { key: "yes", type: "bool", value: true },
      { key: "list", type: "string", value: '["a","b"]' },
      { key: "span.kind", type: "string", value: "internal" },
      { key: "otel.status_code", type: "string", value: "ERROR" },
      { key: "otel.status_description", type: "string", value: "no eye" },
      { key: "error", type: "bool", value: true },
      { key: "otel.scope.name", type: "string", value: "golden-scope" },
      { key: "otel.scope.version", type: "string", value: "1.2.3" },
    ],
    processID: "p1",
    warnings: null,
  });
  assert.deepEqual(logs[0], {
    timestamp: 1_795_000_000_001_500,
    fields: [
      { key: "event", type: "string", value: "first" },
      { key: "at", type: "int64", value: 1 },
    ],
  });
  assert.deepEqual(
    logs[1].fields.slice(0, 3).map(({ value }: { value: string }) => value),
    ["exception", "TypeError", "no eye"],
  );
});

testWith(["net", "env"], "console shows the SDK's log records, found by their trace", async () => {
  await using viewer = await testConsole();
  const provider = new LoggerProvider({
    resource,
    processors: [
      new BatchLogRecordProcessor({
        exporter: new OTLPLogExporter({ url: `${viewer.otlpUrl}/v1/logs` }),
      }),
    ],
  });
  const spanContext = {
    traceId: "0123456789abcdef0123456789abcdef",
    spanId: "0123456789abcdef",
    traceFlags: 1,
  };
  const logger = provider.getLogger("golden-scope");
  logger.emit({
    timestamp: 1_795_000_000_000,
    severityNumber: 13,
    severityText: "WARN",
    body: "careful",
    attributes: { left: 3 },
    context: trace.setSpanContext(ROOT_CONTEXT, spanContext),
  });
  logger.emit({ severityNumber: 9, body: { structured: true } });
  await provider.shutdown();

  const { logs } = await viewer.get(`/api/logs?traceId=${spanContext.traceId}`);
  assert.deepEqual(logs, [{
    seq: logs[0].seq,
    timeMs: 1_795_000_000_000,
    severityNumber: 13,
    severity: "WARN",
    service: "golden",
    scope: "golden-scope",
    body: "careful",
    attributes: { left: 3 },
    traceId: spanContext.traceId,
    spanId: spanContext.spanId,
  }]);
  const all = await viewer.get("/api/logs");
  assert.equal(all.logs[0].body, '{"structured":true}');
  assert.equal(all.logs[0].severity, "INFO");
});

testWith(["net", "env"], "console shows the SDK's metrics, and re-exports them", async () => {
  await using viewer = await testConsole();
  const reader = new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter({ url: `${viewer.otlpUrl}/v1/metrics` }),
    exportIntervalMillis: 600_000,
  });
  const provider = new MeterProvider({
    resource,
    readers: [reader],
    views: [{
      instrumentName: "exponential",
      aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM },
    }],
  });
  const meter = provider.getMeter("golden-scope");
  const requests = meter.createCounter("http.requests", { unit: "{request}", description: "All" });
  const duration = meter.createHistogram("http.duration", {
    unit: "s",
    advice: { explicitBucketBoundaries: [0.1, 1] },
  });
  const exponential = meter.createHistogram("exponential", { unit: "ms" });
  meter.createObservableGauge("queue.length").addCallback((result) => result.observe(7));

  requests.add(2, { "http.route": "/a" });
  duration.record(0.05);
  exponential.record(5);
  // Its clock has whole milliseconds: a point that starts when it ends says that its start is unknown.
  const recordedMs = Date.now();
  await eventually("a later millisecond", () => Date.now() > recordedMs || undefined);
  await reader.forceFlush();
  requests.add(3, { "http.route": "/a" });
  for (const seconds of [0.05, 0.5, 0.5, 5]) duration.record(seconds);
  for (let i = 1; i <= 100; i++) exponential.record(i);
  await reader.forceFlush();

  const { metrics } = await viewer.get("/api/metrics");
  const received = metrics.filter(({ services }: { services: string[] }) =>
    services.includes("golden")
  );
  assert.deepEqual(
    received.map(({ name, type, monotonic, unit, series }: Record<string, unknown>) => [
      name,
      type,
      monotonic,
      unit,
      series,
    ]),
    [
      ["exponential", "exponentialHistogram", false, "ms", 1],
      ["http.duration", "histogram", false, "s", 1],
      ["http.requests", "sum", true, "{request}", 1],
      ["queue.length", "gauge", false, "", 1],
    ],
  );
  const counted = await viewer.get("/api/metrics?name=http.requests&service=golden");
  assert.deepEqual(counted.data[0].attributes, { "http.route": "/a" });
  assert.equal(counted.data[0].instance, "one");
  assert.deepEqual(counted.data[0].points.map(({ value }: { value: number }) => value), [2, 5]);
  assert.ok(counted.data[0].points[1].rate > 0);

  // The first one says since when it counts, so it is shown, too.
  const [first, interval] = (await viewer.get("/api/metrics?name=http.duration")).data[0].points;
  assert.deepEqual([first.count, first.buckets], [1, [[0.1, 1]]]);
  assert.equal(interval.count, 4);
  assert.ok(Math.abs(interval.sum - 6.05) < 1e-9);
  assert.deepEqual(interval.buckets, [[0.1, 1], [1, 2], [null, 1]]);
  assert.ok(Math.abs(interval.p50 - 0.55) < 1e-9);

  const [, fine] = (await viewer.get("/api/metrics?name=exponential")).data[0].points;
  assert.equal(fine.count, 100);
  assert.ok(Math.abs(fine.p50 / 50 - 1) < 0.03, `${fine.p50}`);
  assert.ok(Math.abs(fine.p99 / 99 - 1) < 0.03, `${fine.p99}`);

  const text = await (await fetch(`${viewer.pageUrl}/metrics`)).text();
  const labels = 'job="orrery/golden",instance="one",otel_scope_name="golden-scope"';
  for (
    const line of [
      "# TYPE http_requests_total counter",
      `http_requests_total{${labels},http_route="/a"} 5`,
      "# TYPE http_duration_seconds histogram",
      `http_duration_seconds_bucket{${labels},le="0.1"} 2`,
      `http_duration_seconds_bucket{${labels},le="1"} 4`,
      `http_duration_seconds_bucket{${labels},le="+Inf"} 5`,
      `http_duration_seconds_count{${labels}} 5`,
      `exponential_milliseconds_count{${labels}} 101`,
      `queue_length{${labels}} 7`,
    ]
  ) assert.ok(text.split("\n").includes(line), `${line}\nis missing in\n${text}`);
  await provider.shutdown();
  metricsApi.disable();
});
