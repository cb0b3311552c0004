import assert from "node:assert/strict";
import { metrics, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { type ReadableSpan, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { KeptSpans } from "../testing/kept_spans.ts";
import { testContext } from "../testing/context.ts";
import { pause } from "../resilience.ts";
import { VirtualWorld } from "../world/virtual_world.ts";
import { BusError, type BusHeader } from "./bus.ts";
import { type MessagingTelemetry, messagingTelemetry } from "./messaging_telemetry.ts";

interface Scene {
  messaging: MessagingTelemetry;
  world: VirtualWorld;
  spans(): ReadableSpan[];
  /** What was recorded: value and attributes, by instrument. */
  recorded: Map<string, { value: number; attributes: Record<string, unknown> }[]>;
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
  const instrument = (name: string) => {
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
      recorded,
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
