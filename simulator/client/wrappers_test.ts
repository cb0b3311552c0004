import assert from "node:assert/strict";
import { context, propagation, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { KeptSpans } from "../../service/testing/kept_spans.ts";
import { TelemetryClient } from "../telemetry_client.ts";
import type { EventAttributes } from "./event_json.ts";
import { tracedFetch, tracedJob, tracedLambda } from "./wrappers.ts";

interface Sent {
  event: string;
  attributes: EventAttributes;
  traceId: string | undefined;
}

/** A client that sends nowhere, and what it was asked to send. */
function recordingClient() {
  const client = new TelemetryClient({ port: 1, stopAtExit: false });
  const sent: Sent[] = [];
  client.send = (event, attributes = {}, traceId) => void sent.push({ event, attributes, traceId });
  return { client, sent, kinds: () => sent.map(({ event }) => event) };
}

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const traceId = "0af76519-16cd-43dd-8448-eb211c80319c";

Deno.test("tracedFetch() says when a request begins and how it ends, without its secrets", async () => {
  let header: string | null = null;
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => {
      header = request.headers.get("traceparent");
      return new Response("no", { status: 503 });
    },
  );
  const { client, sent, kinds } = recordingClient();
  const url = `http://127.0.0.1:${server.addr.port}/orders?token=secret`;
  const response = await tracedFetch(client)(url, { method: "POST", body: "x" });
  await response.body?.cancel();
  assert.deepEqual(kinds(), ["httpRequestStarted", "httpRequestPerformed"]);
  assert.equal(sent[1]!.attributes["http.response.status_code"], 503);
  assert.equal(sent[1]!.attributes["url.full"], `http://127.0.0.1:${server.addr.port}/orders`);
  assert.doesNotMatch(JSON.stringify(sent), /secret/);
  assert.match(header!, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  assert.equal(sent[0]!.traceId!.replaceAll("-", ""), header!.slice(3, 35));
});

Deno.test("tracedFetch() says why a request failed, and throws what fetch throws", async () => {
  const { client, sent, kinds } = recordingClient();
  // A port that nothing listens on any more.
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  listener.close();
  await assert.rejects(tracedFetch(client)(`http://127.0.0.1:${listener.addr.port}/`), TypeError);
  assert.deepEqual(kinds(), ["httpRequestStarted", "httpRequestFailed"]);
  assert.match(String(sent[1]!.attributes.reason), /refused/i);
});

Deno.test("tracedJob() and tracedLambda() belong to the trace that the work carries", async () => {
  const { client, sent, kinds } = recordingClient();
  const job = tracedJob(
    client,
    "resize",
    (job: { traceparent?: string; size: number }) => Promise.resolve(job.size * 2),
  );
  assert.equal(await job({ traceparent, size: 4 }), 8);
  const lambda = tracedLambda(
    client,
    "on-order",
    (event: { headers?: Record<string, string> }, id: string) =>
      Promise.resolve(`${id} ${Object.keys(event.headers ?? {}).length}`),
  );
  assert.equal(await lambda({ headers: { traceparent } }, "call-1"), "call-1 1");
  assert.deepEqual(kinds(), [
    "jobStarted",
    "jobPerformed",
    "invocationStarted",
    "invocationPerformed",
  ]);
  assert.deepEqual([...new Set(sent.map((one) => one.traceId))], [traceId]);
});

Deno.test("what a handler throws is thrown on, and said", async () => {
  const { client, sent, kinds } = recordingClient();
  const failing = tracedJob(client, "resize", () => Promise.reject(new Error("no memory")));
  await assert.rejects(failing({}), /no memory/);
  assert.deepEqual(kinds(), ["jobStarted", "jobFailed"]);
  assert.equal(sent[1]!.attributes.reason, "no memory");
  // Without a trace of its own each job has a new one.
  await assert.rejects(failing({}), /no memory/);
  assert.notEqual(sent[0]!.traceId, sent[2]!.traceId);
});

Deno.test("where OpenTelemetry is set up, each is a span too, and events carry its trace", async () => {
  const exporter = new KeptSpans();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(provider);
  try {
    const { client, sent } = recordingClient();
    const inner = tracedJob(client, "inner", () => Promise.resolve());
    const outer = tracedLambda(client, "outer", () => inner({}));
    await outer({ traceparent }, undefined);
    const [innerSpan, outerSpan] = exporter.getFinishedSpans();
    assert.deepEqual([innerSpan!.name, outerSpan!.name], ["process inner", "outer"]);
    assert.equal(outerSpan!.parentSpanContext?.spanId, "b7ad6b7169203331");
    assert.equal(innerSpan!.parentSpanContext?.spanId, outerSpan!.spanContext().spanId);
    assert.deepEqual([...new Set(sent.map((one) => one.traceId))], [traceId]);
  } finally {
    trace.disable();
    propagation.disable();
    context.disable();
  }
});
