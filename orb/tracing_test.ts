import assert from "node:assert/strict";
import { context, propagation, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { type ReadableSpan, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { KeptSpans } from "../service/testing/kept_spans.ts";
import { tracedFetch } from "../service/http_client.ts";
import { testWith } from "../service/testing/permissions.ts";
import { startOrbServer } from "./server.ts";
import { testContext } from "../service/testing/context.ts";
import { createCallPolicy } from "./delivery/call_policy.ts";
import { Delivery } from "./delivery/delivery.ts";
import { createSignupWire } from "./delivery/signup_wire.ts";
import { signUpImages } from "./virtual_orb.ts";

/** Runs with telemetry on; gives the spans that ended. */
async function withTelemetry(run: () => Promise<void>): Promise<ReadableSpan[]> {
  const exporter = new KeptSpans();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(provider);
  try {
    await run();
    await provider.forceFlush();
    return exporter.getFinishedSpans();
  } finally {
    trace.disable();
    propagation.disable();
    context.disable();
  }
}

async function withServer(run: (url: string) => Promise<void>): Promise<void> {
  const dataDir = await Deno.makeTempDir();
  const own = testContext();
  const telemetry = { ...own.telemetry, enabled: true, tracer: trace.getTracer("orb-server") };
  const server = await startOrbServer({ orbApiPort: 0, dataDir }, { ...own, telemetry });
  try {
    await run(server.url);
  } finally {
    await server.stop(AbortSignal.timeout(5_000));
    await Deno.remove(dataDir, { recursive: true });
  }
}

function named(spans: ReadableSpan[], name: string): ReadableSpan[] {
  return spans.filter((span) => span.name === name);
}

testWith(["net", "read", "write"], "a signup's trace crosses client and server", async () => {
  const spans = await withTelemetry(() =>
    withServer(async (url) => {
      const own = testContext();
      const tools = {
        log: own.log,
        tracer: trace.getTracer("orb-client"),
        meter: own.telemetry.meter,
        stopping: own.stopping,
      };
      const fetch = tracedFetch("orb-client");
      await signUpImages({
        ...tools,
        orb: 1,
        warn: own.log.warn,
        delivery: new Delivery({
          ...tools,
          wire: createSignupWire({
            server: url,
            api: "v1",
            fetch: (_, to, init) => fetch(to, init),
            requestTimeoutMs: 5_000,
            cut: own.stopping,
          }),
          policy: createCallPolicy({ ...tools, maxCalls: 1, maxWaiting: 0 }),
          maxAttempts: 1,
        }),
        pace: { delayMs: 0, intervalMs: 0, jitter: 0 },
        nextImage: () => () => Promise.resolve(new Uint8Array([1, 2, 3, 4, 5])),
        fields: {
          get stop() {
            // The first log line is the signup's outcome: one is enough.
            own.stop();
            return undefined;
          },
        },
      });
    })
  );
  const chain = ["sign up", "POST", "POST /api/signup", "store token", "commit tokens"];
  let parent: ReadableSpan | undefined;
  for (const name of chain) {
    const [span] = named(spans, name);
    assert.ok(span, `${name} is not in ${spans.map((one) => one.name)}`);
    if (parent) assert.equal(span.parentSpanContext?.spanId, parent.spanContext().spanId, name);
    parent = span;
  }
  assert.equal(new Set(spans.map((span) => span.spanContext().traceId)).size, 1);

  const [server] = named(spans, "POST /api/signup");
  assert.equal(server!.attributes["http.route"], "/api/signup");
  assert.equal(server!.attributes["http.response.status_code"], 200);
  const [hash] = named(spans, "hash image");
  assert.equal(hash!.parentSpanContext?.spanId, server!.spanContext().spanId);
  assert.equal(hash!.attributes["orb.image.size"], 5);
  const [store] = named(spans, "store token");
  assert.equal(store!.attributes["orb.result"], "new");
  assert.equal(store!.attributes["orb.batch.size"], 1);
  assert.equal(named(spans, "sign up")[0]!.attributes["orb.outcome"], "accepted");
});

testWith(["net", "read", "write"], "signups of one transaction link to it", async () => {
  const count = 30;
  const spans = await withTelemetry(() =>
    withServer(async (url) => {
      await Promise.all(Array.from({ length: count }, async (_, index) => {
        const response = await fetch(`${url}/api/signup`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ id: "1", image_base64: new Uint8Array([index]).toBase64() }),
        });
        await response.body?.cancel();
      }));
    })
  );
  const stores = named(spans, "store token");
  const commits = named(spans, "commit tokens");
  assert.equal(stores.length, count);
  assert.ok(commits.length < count, "at least two shared a transaction");
  const sizes = commits.map((commit) => Number(commit.attributes["db.operation.batch.size"]));
  assert.equal(sizes.reduce((sum, size) => sum + size), count);
  const commitIds = new Set(commits.map((commit) => commit.spanContext().spanId));
  const linked = stores.filter((store) =>
    store.links.some((link) => commitIds.has(link.context.spanId))
  );
  assert.equal(linked.length, count - commits.length, "all but the first of each");
});

testWith(["net", "read", "write"], "a refused signup is no error of the server", async () => {
  const spans = await withTelemetry(() =>
    withServer(async (url) => {
      const response = await fetch(`${url}/api/signup`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: "{",
      });
      assert.equal(response.status, 400);
      await response.body?.cancel();
    })
  );
  const [span] = named(spans, "POST /api/signup");
  assert.equal(span!.attributes["http.response.status_code"], 400);
  // HTTP conventions: a server's 4xx leaves the status unset.
  assert.equal(span!.status.code, SpanStatusCode.UNSET);
});
