import assert from "node:assert/strict";
import {
  context,
  createContextKey,
  metrics,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { type ReadableSpan, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { KeptSpans } from "../testing/kept_spans.ts";
import { testContext } from "../testing/context.ts";
import { pause } from "../resilience.ts";
import { VirtualWorld } from "../world/virtual_world.ts";
import { BusError, type BusHeader } from "./bus.ts";
import {
  contextOf,
  type MessagingTelemetry,
  messagingTelemetry,
  withContext,
} from "./messaging_telemetry.ts";

interface Scene {
  messaging: MessagingTelemetry;
  world: VirtualWorld;
  spans(): ReadableSpan[];
  /** What was recorded: value and attributes, by instrument. */
  recorded: Map<string, { value: number; attributes: Record<string, unknown> }[]>;
  /** What each instrument was made with. */
  made: Map<string, unknown>;
}

/** Spans and figures of one bus, kept in memory. */
async function scene(
  system: "kafka" | "in_process",
  run: (scene: Scene) => Promise<void>,
): Promise<void> {
  const exporter = new KeptSpans();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  const world = new VirtualWorld();
  const context = testContext({ world });
  const recorded: Scene["recorded"] = new Map();
  const made: Scene["made"] = new Map();
  const instrument = (name: string, options: unknown) => {
    made.set(name, options);
    const note = (value: number, attributes: Record<string, unknown>) =>
      recorded.set(name, [...recorded.get(name) ?? [], { value, attributes }]);
    return { add: note, record: note };
  };
  const telemetry = {
    ...context.telemetry,
    tracer: provider.getTracer("test"),
    meter: Object.assign(Object.create(metrics.getMeter("test")), {
      createHistogram: instrument,
      createCounter: instrument,
    }),
  };
  try {
    await run({
      messaging: messagingTelemetry({ system }, { telemetry, world }),
      world,
      spans: () => exporter.getFinishedSpans(),
      ...{ recorded, made },
    });
  } finally {
    await provider.shutdown();
    propagation.disable();
  }
}

Deno.test("messagingTelemetry() carries a trace from the sender to the receiver, by headers", () =>
  scene("kafka", async ({ messaging, world, spans, recorded }) => {
    let headers: BusHeader[] = [];
    const sending = messaging.send(
      { topic: "jobs", conversationId: "c1", bodyBytes: 5 },
      ROOT_CONTEXT,
      async (carried) => {
        headers = carried;
        await pause(250, { world });
      },
    );
    await world.runUntil(sending);
    assert.deepEqual(headers.map(([name]) => name), ["traceparent"]);
    const facts = { topic: "jobs", group: "workers", partition: 3, offset: 7n };
    const processing = messaging.startProcess(facts, headers);
    await world.advance(500);
    processing.end();

    const [send, process] = spans();
    assert.deepEqual([send!.name, send!.kind], ["send jobs", SpanKind.PRODUCER]);
    assert.deepEqual([process!.name, process!.kind], ["process jobs", SpanKind.CONSUMER]);
    assert.equal(process!.spanContext().traceId, send!.spanContext().traceId);
    assert.equal(process!.parentSpanContext?.spanId, send!.spanContext().spanId);
    assert.equal(process!.links[0]?.context.spanId, send!.spanContext().spanId);
    assert.deepEqual(process!.attributes, {
      "messaging.system": "kafka",
      "messaging.operation.name": "process",
      "messaging.operation.type": "process",
      "messaging.destination.name": "jobs",
      "messaging.consumer.group.name": "workers",
      "messaging.destination.partition.id": "3",
      "messaging.kafka.offset": 7,
    });
    // In seconds, by the world's clock.
    assert.equal(recorded.get("messaging.client.operation.duration")?.[0]?.value, 0.25);
    assert.equal(recorded.get("messaging.process.duration")?.[0]?.value, 0.5);
  }));

Deno.test("messagingTelemetry() marks what failed, by the kind of its error", () =>
  scene("in_process", async ({ messaging, spans, recorded }) => {
    const refuse = () => Promise.reject(new BusError("overloaded", "too much"));
    await assert.rejects(messaging.send({ topic: "jobs" }, ROOT_CONTEXT, refuse), BusError);
    messaging.startProcess({ topic: "jobs" }, []).end("invalid");
    assert.deepEqual(
      spans().map(({ status, attributes }) => [status.code, attributes["error.type"]]),
      [[SpanStatusCode.ERROR, "overloaded"], [SpanStatusCode.ERROR, "invalid"]],
    );
    const sent = recorded.get("messaging.client.sent.messages");
    assert.equal(sent?.[0]?.attributes["error.type"], "overloaded");
  }));

Deno.test("messagingTelemetry() makes one series of the topics that belong to one instance each", () =>
  scene("kafka", async ({ messaging, spans, recorded }) => {
    for (const instance of ["a", "b"]) {
      const facts = { topic: `replies.${instance}`, template: "replies.{instance}" };
      await messaging.send(facts, ROOT_CONTEXT, () => Promise.resolve());
    }
    assert.deepEqual(
      spans().map(({ name, attributes }) => [
        name,
        attributes["messaging.destination.name"],
      ]),
      [["send replies.{instance}", "replies.a"], ["send replies.{instance}", "replies.b"]],
    );
    const [first, second] = recorded.get("messaging.client.sent.messages")!;
    assert.deepEqual(first!.attributes, second!.attributes);
    assert.equal(first!.attributes["messaging.destination.template"], "replies.{instance}");
  }));

Deno.test("messagingTelemetry()'s instruments are those of the messaging conventions", () =>
  scene("kafka", ({ made }) => {
    const buckets = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
    const duration = { unit: "s", advice: { explicitBucketBoundaries: buckets } };
    const count = { unit: "{message}" };
    assert.deepEqual(Object.fromEntries(made), {
      "messaging.client.operation.duration": {
        description: "Duration of messaging operation initiated by a producer or consumer client.",
        ...duration,
      },
      "messaging.process.duration": {
        description: "Duration of processing operation.",
        ...duration,
      },
      "messaging.client.sent.messages": {
        description: "Number of messages producer attempted to send to the broker.",
        ...count,
      },
      "messaging.client.consumed.messages": {
        description: "Number of messages that were delivered to the application.",
        ...count,
      },
    });
    return Promise.resolve();
  }));

Deno.test("messagingTelemetry()'s spans say of a message what is known of it, and no more", async () => {
  for (const system of ["kafka", "in_process"] as const) {
    await scene(system, async ({ messaging, spans, recorded }) => {
      const facts = { topic: "jobs", conversationId: "c1", bodyBytes: 0, partition: 0, offset: 7n };
      await messaging.send(facts, ROOT_CONTEXT, () => Promise.resolve());
      const partition = { topic: "jobs", partition: 0, offset: 7n };
      messaging.startProcess(partition, []).end();
      await messaging.send({ topic: "jobs" }, ROOT_CONTEXT, () => Promise.resolve());
      const of = (operation: string) => ({
        ...{ "messaging.system": system, "messaging.destination.name": "jobs" },
        ...{ "messaging.operation.name": operation, "messaging.operation.type": operation },
      });
      const place = system === "kafka"
        ? { "messaging.destination.partition.id": "0", "messaging.kafka.offset": 7 }
        : {};
      assert.deepEqual(spans().map(({ attributes }) => attributes), [
        {
          ...of("send"),
          ...place,
          ...{ "messaging.message.conversation_id": "c1", "messaging.message.body.size": 0 },
        },
        { ...of("process"), ...place },
        of("send"),
      ]);
      assert.deepEqual(spans()[1]!.links, [], "it came from nowhere");
      assert.equal(spans()[1]!.status.code, SpanStatusCode.UNSET);
      // What is measured has no more than the names of few.
      for (const name of ["sent.messages", "operation.duration"]) {
        for (const { attributes } of recorded.get(`messaging.client.${name}`)!) {
          assert.deepEqual(attributes, of("send"));
        }
      }
      assert.deepEqual(recorded.get("messaging.client.consumed.messages"), [
        { value: 1, attributes: of("process") },
      ]);
    });
  }
});

Deno.test("messagingTelemetry() calls an error without a kind another one", () =>
  scene("kafka", async ({ messaging, spans }) => {
    for (const error of [new TypeError("no way"), { kind: "no error" }]) {
      const refuse = () => Promise.reject(error);
      await messaging.send({ topic: "jobs" }, ROOT_CONTEXT, refuse).catch(() => {});
    }
    assert.deepEqual(
      spans().map(({ attributes }) => attributes["error.type"]),
      ["_OTHER", "_OTHER"],
    );
  }));

Deno.test("contextOf() finds a trace among other headers, and withContext() makes it the active one", () =>
  scene("kafka", () => {
    const bytes = (text: string) => new TextEncoder().encode(text);
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const headers: BusHeader[] = [["x", bytes("y")], ["traceparent", bytes(traceparent)]];
    assert.equal(trace.getSpanContext(contextOf(headers))?.spanId, "b7ad6b7169203331");
    assert.equal(trace.getSpanContext(contextOf([["x", bytes(traceparent)]])), undefined);
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    try {
      const key = createContextKey("test");
      const active = ROOT_CONTEXT.setValue(key, 7);
      assert.equal(withContext(active, () => context.active().getValue(key)), 7);
    } finally {
      context.disable();
    }
    return Promise.resolve();
  }));
