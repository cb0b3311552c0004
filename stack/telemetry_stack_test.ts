import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { eventually } from "../service/testing/eventually.ts";
import { startTelemetryStack } from "./telemetry_stack.ts";
import { testWithStack } from "./test_with_stack.ts";

testWithStack(
  "telemetry stack shows a trace, its span count and a counter that were sent once",
  async () => {
    await using stack = await startTelemetryStack();
    const sent = madeUpTrace();

    await post(`${stack.collector.otlpHttpUrl}/v1/traces`, sent.traces);
    await post(`${stack.collector.otlpHttpUrl}/v1/metrics`, sent.metrics);
    await post(`${stack.collector.otlpHttpUrl}/v1/logs`, sent.logs);

    const trace = await eventually("the trace in Jaeger", async () => {
      const answer = await getJson(`${stack.jaeger.queryUrl}/api/traces/${sent.traceId}`);
      const found = (answer as JaegerAnswer).data?.[0];
      return found?.spans.length === sent.spans.length ? found : undefined;
    });
    assert.deepEqual(
      trace.spans.map((span) => ({
        id: span.spanID,
        parent: span.references[0]?.spanID ?? "",
        name: span.operationName,
        service: trace.processes[span.processID]?.serviceName,
        route: span.tags.find((tag) => tag.key === "http.route")?.value,
        durationUs: span.duration,
      })).sort((a, b) => a.id.localeCompare(b.id)),
      sent.spans,
    );

    const calls =
      `traces_span_metrics_calls_total{service_name="stack-test-server",span_kind="SPAN_KIND_SERVER"}`;
    const counted = await eventually(
      "the span count in Prometheus",
      () => queryOne(stack.prometheus.url, calls),
    );
    assert.equal(counted.value, 1);
    assert.equal(counted.labels["span_name"], "POST /signup");
    assert.equal(counted.labels["http_route"], "/signup");
    assert.equal(counted.labels["job"], "orrery/stack-test-server");

    const counter = await eventually(
      "the program's own counter in Prometheus",
      () => queryOne(stack.prometheus.url, `stack_test_signups_total`),
    );
    assert.equal(counter.value, 7);
    assert.equal(counter.labels["job"], "orrery/stack-test-server");
    assert.equal(counter.labels["outcome"], "accepted");

    const accepted = await eventually(
      "the collector's own figures in Prometheus",
      () => queryOne(stack.prometheus.url, `otelcol_receiver_accepted_log_records_total`),
    );
    assert.equal(accepted.value, 1);
  },
);

testWithStack("telemetry stack leaves no process behind", async () => {
  await using stack = await startTelemetryStack();
  const components = [stack.collector, stack.jaeger, stack.prometheus];
  await stack.stop();

  for (const { name, exited, pid } of components) {
    const status = await exited;
    assert.notEqual(status.signal, "SIGKILL", `${name} had to be killed`);
    assert.throws(() => Deno.kill(pid, "SIGCONT"), Deno.errors.NotFound, `${name} is still there`);
  }
  await assert.rejects(fetch(`${stack.jaeger.queryUrl}/api/services`), TypeError);
});

interface JaegerAnswer {
  data: {
    spans: {
      spanID: string;
      operationName: string;
      processID: string;
      duration: number;
      references: { spanID: string }[];
      tags: { key: string; value: unknown }[];
    }[];
    processes: Record<string, { serviceName: string }>;
  }[] | null;
}

/** A client's span and its server's child, as two programs would send them, and what must be seen. */
function madeUpTrace() {
  const traceId = randomBytes(16).toString("hex");
  const [clientId, serverId] = ["1111111111111111", "2222222222222222"];
  const startNs = BigInt(Date.now()) * 1_000_000n;
  const at = (us: number) => String(startNs + BigInt(us) * 1_000n);
  const route = { key: "http.route", value: { stringValue: "/signup" } };
  return {
    traceId,
    spans: [
      {
        id: clientId,
        parent: "",
        name: "signup",
        service: "stack-test-client",
        route: undefined,
        durationUs: 5_000,
      },
      {
        id: serverId,
        parent: clientId,
        name: "POST /signup",
        service: "stack-test-server",
        route: "/signup",
        durationUs: 3_000,
      },
    ],
    traces: {
      resourceSpans: [
        {
          resource: resource("stack-test-client"),
          scopeSpans: [{
            spans: [{
              traceId,
              spanId: clientId,
              name: "signup",
              kind: 3,
              startTimeUnixNano: at(0),
              endTimeUnixNano: at(5_000),
            }],
          }],
        },
        {
          resource: resource("stack-test-server"),
          scopeSpans: [{
            spans: [{
              traceId,
              spanId: serverId,
              parentSpanId: clientId,
              name: "POST /signup",
              kind: 2,
              startTimeUnixNano: at(1_000),
              endTimeUnixNano: at(4_000),
              attributes: [route],
            }],
          }],
        },
      ],
    },
    metrics: {
      resourceMetrics: [{
        resource: resource("stack-test-server"),
        scopeMetrics: [{
          metrics: [{
            name: "stack.test.signups",
            sum: {
              aggregationTemporality: 2,
              isMonotonic: true,
              dataPoints: [{
                startTimeUnixNano: at(0),
                timeUnixNano: at(5_000),
                asInt: "7",
                attributes: [{ key: "outcome", value: { stringValue: "accepted" } }],
              }],
            },
          }],
        }],
      }],
    },
    logs: {
      resourceLogs: [{
        resource: resource("stack-test-server"),
        scopeLogs: [{
          logRecords: [{ timeUnixNano: at(2_000), traceId, body: { stringValue: "signed up" } }],
        }],
      }],
    },
  };
}

function resource(serviceName: string) {
  return {
    attributes: [
      { key: "service.namespace", value: { stringValue: "orrery" } },
      { key: "service.name", value: { stringValue: serviceName } },
      { key: "service.instance.id", value: { stringValue: `${serviceName}-1` } },
    ],
  };
}

async function post(url: string, body: unknown): Promise<void> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.deepEqual(
    { url, status: response.status, body: await response.json() },
    { url, status: 200, body: { partialSuccess: {} } },
  );
}

async function getJson(url: string): Promise<unknown> {
  const response = await fetch(url);
  return await response.json();
}

/** The one series that a PromQL query finds, or `undefined` while it finds none. */
async function queryOne(prometheusUrl: string, query: string) {
  const answer = await getJson(
    `${prometheusUrl}/api/v1/query?query=${encodeURIComponent(query)}`,
  ) as { data: { result: { metric: Record<string, string>; value: [number, string] }[] } };
  const { result } = answer.data;
  assert.ok(result.length <= 1, `${query} found ${result.length} series`);
  return result[0] && { labels: result[0].metric, value: Number(result[0].value[1]) };
}
