/**
 * Spans, context and metrics of messages, by the messaging conventions (semantic conventions 1.44,
 * Kafka). The trace's context travels in `traceparent` and `tracestate` headers.
 *
 * @module
 */
import {
  type Attributes,
  type Context,
  context,
  type Histogram,
  type Link,
  type Meter,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import type { Bus, BusHeader } from "./bus.ts";

/** The buckets that the messaging conventions ask for, in seconds. */
const durationBuckets = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/** What a message is, for its span. */
export interface MessageFacts {
  topic: string;
  /** The topic without what makes it one instance's own: `signer.v1.resp.{instance}`. */
  template?: string;
  /** The correlation: `msg_id`. */
  conversationId?: string;
  partition?: number;
  offset?: bigint;
  group?: string;
  bodyBytes?: number;
}

/** The instruments and span makers of one program. */
export interface MessagingTelemetry {
  /** Sends within a PRODUCER span; `send` gets the headers that carry the trace on. */
  send(
    facts: MessageFacts,
    parent: Context,
    send: (headers: BusHeader[]) => Promise<void>,
  ): Promise<void>;
  /** Begins a CONSUMER span as child of the message's sender, with a link to it as the conventions want. */
  startProcess(facts: MessageFacts, headers: readonly BusHeader[]): Processing;
}

/** A message being worked on. */
export interface Processing {
  /** With the span active. */
  readonly context: Context;
  readonly span: Span;
  /** Ends the span; an error type makes it a failed one. */
  end(errorType?: string): void;
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Makes the instruments. */
export function messagingTelemetry(bus: Bus, tracer: Tracer, meter: Meter): MessagingTelemetry {
  const histogram = (name: string, description: string): Histogram =>
    meter.createHistogram(name, {
      description,
      unit: "s",
      advice: { explicitBucketBoundaries: durationBuckets },
    });
  const operationDuration = histogram(
    "messaging.client.operation.duration",
    "Duration of messaging operation initiated by a producer or consumer client.",
  );
  const processDuration = histogram(
    "messaging.process.duration",
    "Duration of processing operation.",
  );
  const sent = meter.createCounter("messaging.client.sent.messages", {
    description: "Number of messages producer attempted to send to the broker.",
    unit: "{message}",
  });
  const consumed = meter.createCounter("messaging.client.consumed.messages", {
    description: "Number of messages that were delivered to the application.",
    unit: "{message}",
  });

  function metricAttributes(facts: MessageFacts, name: string, type: string): Attributes {
    return {
      "messaging.system": bus.system,
      "messaging.operation.name": name,
      "messaging.operation.type": type,
      // A topic of one instance only would make a series of its own.
      ...(facts.template
        ? { "messaging.destination.template": facts.template }
        : { "messaging.destination.name": facts.topic }),
      ...(facts.group && { "messaging.consumer.group.name": facts.group }),
    };
  }

  function spanAttributes(facts: MessageFacts, base: Attributes): Attributes {
    return {
      ...base,
      "messaging.destination.name": facts.topic,
      ...(facts.conversationId && { "messaging.message.conversation_id": facts.conversationId }),
      ...(facts.partition !== undefined && bus.system === "kafka" && {
        "messaging.destination.partition.id": String(facts.partition),
        "messaging.kafka.offset": Number(facts.offset),
      }),
      ...(facts.bodyBytes !== undefined && { "messaging.message.body.size": facts.bodyBytes }),
    };
  }

  return {
    async send(facts, parent, send) {
      const base = metricAttributes(facts, "send", "send");
      const span = tracer.startSpan(
        `send ${facts.template ?? facts.topic}`,
        { kind: SpanKind.PRODUCER, attributes: spanAttributes(facts, base) },
        parent,
      );
      const startMs = performance.now();
      const active = trace.setSpan(parent, span);
      try {
        await send(contextHeaders(active));
      } catch (error) {
        const type = errorTypeOf(error);
        base["error.type"] = type;
        fail(span, type);
        throw error;
      } finally {
        span.end();
        sent.add(1, base, active);
        operationDuration.record((performance.now() - startMs) / 1_000, base, active);
      }
    },

    startProcess(facts, headers) {
      const base = metricAttributes(facts, "process", "process");
      const parent = contextOf(headers);
      const sender = trace.getSpanContext(parent);
      const links: Link[] = sender ? [{ context: sender }] : [];
      const span = tracer.startSpan(
        `process ${facts.template ?? facts.topic}`,
        { kind: SpanKind.CONSUMER, attributes: spanAttributes(facts, base), links },
        parent,
      );
      const active = trace.setSpan(parent, span);
      const startMs = performance.now();
      consumed.add(1, base, active);
      return {
        context: active,
        span,
        end(errorType) {
          if (errorType) {
            base["error.type"] = errorType;
            fail(span, errorType);
          }
          span.end();
          processDuration.record((performance.now() - startMs) / 1_000, base, active);
        },
      };
    },
  };
}

/** Marks a span as failed with a stable type. */
export function fail(span: Span, errorType: string): void {
  span.setAttribute("error.type", errorType);
  span.setStatus({ code: SpanStatusCode.ERROR });
}

function errorTypeOf(error: unknown): string {
  return error instanceof Error && "kind" in error ? String(error.kind) : "_OTHER";
}

/** The headers that carry a trace on. */
function contextHeaders(active: Context): BusHeader[] {
  const headers: BusHeader[] = [];
  propagation.inject(active, headers, {
    set: (headers, name, value) => headers.push([name, encoder.encode(value)]),
  });
  return headers;
}

/** The trace that a message belongs to. */
export function contextOf(headers: readonly BusHeader[]): Context {
  return propagation.extract(ROOT_CONTEXT, headers, {
    keys: (headers) => headers.map(([name]) => name),
    get: (headers, name) => {
      const header = headers.find((header) => header[0] === name);
      return header && decoder.decode(header[1]);
    },
  });
}

/** Runs with the span's context active, so that logs and inner spans belong to it. */
export function within<Result>(active: Context, work: () => Result): Result {
  return context.with(active, work);
}
