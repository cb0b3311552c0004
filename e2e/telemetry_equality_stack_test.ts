import assert from "node:assert/strict";
import { eventually } from "../service/testing/eventually.ts";
import { startTelemetryStack } from "../stack/telemetry_stack.ts";
import { testWithStack } from "../stack/test_with_stack.ts";
import { findTraces, type JaegerTrace, servicesOf, startDemo } from "./demo_program.ts";

/** Signups of the test's own, beside the fleet's first and only one. */
const ownSignups = 7;

testWithStack(
  "demo's telemetry, sent once, is the same in the console as in Jaeger and Prometheus",
  async () => {
    await using stack = await startTelemetryStack();
    // One orb that signs up at once and then not again today: the counts come to rest.
    await using demo = await startDemo(
      ...["--orbs", "1", "--signup-interval", "86400"],
      ...["--forward", stack.collector.otlpHttpUrl],
    );
    for (let signup = 0; signup < ownSignups; signup++) {
      const response = await fetch(`${demo.orbUrl}/api/signup`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ id: String(signup), image_base64: btoa(`image ${signup}`) }),
      });
      assert.equal(response.status, 200, await response.text());
    }

    // A signup is decided after it was answered, so its trace grows: both are read until they agree.
    const { ours, theirs } = await eventually("the fleet's trace, whole, in both", async () => {
      const traces = await findTraces(demo.consoleUrl, "?service=orb-client&limit=10");
      const ours = traces.find((trace) => servicesOf(trace).includes("orb-server"));
      if (ours === undefined || orphans(ours).length > 0) return undefined;
      const [theirs] = await findTraces(stack.jaeger.queryUrl, `/${ours.traceID}`);
      return theirs?.spans.length === ours.spans.length ? { ours, theirs } : undefined;
    });
    assert.deepEqual(comparable(ours), comparable(theirs));
    assert.ok(servicesOf(ours).includes("orb-client") && servicesOf(ours).includes("orb-server"));

    const signups = ownSignups;
    const selector = 'http_route="/api/signup",http_response_status_code="200"';
    const seenByPrometheus = await eventually("the request count in Prometheus", async () => {
      const count = await requestCount(
        stack.prometheus.url,
        `sum(http_server_request_duration_seconds_count{${selector}})`,
      );
      return count === signups ? count : undefined;
    });
    const seenByConsole = await eventually("the request count in the console", async () => {
      const text = await (await fetch(`${demo.consoleUrl}/metrics`)).text();
      const counts = text.split("\n")
        .filter((line) =>
          line.startsWith("http_server_request_duration_seconds_count{") &&
          selector.split(",").every((label) => line.includes(label))
        )
        .map((line) => Number(line.split(" ").at(-1)));
      const count = counts.reduce((sum, one) => sum + one, 0);
      return count === signups ? count : undefined;
    });
    assert.equal(seenByConsole, seenByPrometheus);

    const calls = await eventually("the span count in Prometheus", async () => {
      const count = await requestCount(
        stack.prometheus.url,
        `sum(traces_span_metrics_calls_total{service_name="orb-server",span_name="POST /api/signup"})`,
      );
      return count === signups ? count : undefined;
    });
    assert.equal(calls, signups);

    demo.program.kill("SIGINT");
    assert.equal((await demo.program.status).code, 0);
  },
);

/** Spans whose parent is not in the trace. */
function orphans(trace: JaegerTrace): string[] {
  const ids = new Set(trace.spans.map(({ spanID }) => spanID));
  return trace.spans.flatMap(({ references }) => references)
    .map(({ spanID }) => spanID)
    .filter((parent) => !ids.has(parent));
}

/** What both must say of a trace, in one order: tree, names, services, times, attributes. */
function comparable(trace: JaegerTrace) {
  return trace.spans.map((span) => ({
    span: span.spanID,
    parents: span.references.map(({ spanID }) => spanID).sort(),
    name: span.operationName,
    service: trace.processes[span.processID]?.serviceName,
    startUs: span.startTime,
    durationUs: span.duration,
    tags: Object.fromEntries(span.tags.map(({ key, value }) => [key, value])),
  })).sort((a, b) => a.span.localeCompare(b.span));
}

async function requestCount(prometheusUrl: string, query: string): Promise<number | undefined> {
  const response = await fetch(`${prometheusUrl}/api/v1/query?query=${encodeURIComponent(query)}`);
  const { data } = await response.json() as { data: { result: { value: [number, string] }[] } };
  const value = data.result[0]?.value[1];
  return value === undefined ? undefined : Number(value);
}
