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
  type Counter,
  type Histogram,
  type Link,
  type Meter,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import type { ServiceContext } from "../life_cycle.ts";
import type { World } from "../world/world.ts";
import type { Bus, BusHeader } from "./bus.ts";

/** The buckets that the messaging conventions ask for, in seconds. */
const durationBuckets = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/** What a message is, for its span. */
export interface MessageFacts {
  topic: string;
  /** The topic without what makes it one instance's own: `orders.replies.{instance}`. @default none: `topic` is one of few */
  template?: string;
  /** What request and reply have in common. @default none */
  conversationId?: string;
  /** Where it lies, for received messages. @default unknown */
  partition?: number;
  /** Where it lies in its partition, for received messages. @default unknown */
  offset?: bigint;
  /** The group that reads it. @default none */
  group?: string;
  /** Size of its value, in bytes. @default unknown */
  bodyBytes?: number;
}

/** The instruments and span makers of one program. */
export interface MessagingTelemetry {
  /** Sends inside a PRODUCER span; `send` gets the headers that carry the trace on. */
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

/**
 * Makes the instruments and span makers for one bus.
 *
 * @example
 * ```ts
 * const messaging = messagingTelemetry(bus, context);
 * await messaging.send({ topic: "orders" }, parent, (headers) =>
 *   bus.send("orders", { headers, value }));
 * ```
 */
export function messagingTelemetry(
  bus: Pick<Bus, "system">,
  context: Pick<ServiceContext, "telemetry" | "world">,
): MessagingTelemetry {
  return new BusTelemetry(bus.system, context);
}

class BusTelemetry implements MessagingTelemetry {
  readonly #system: Bus["system"];
  readonly #tracer: ServiceContext["telemetry"]["tracer"];
  readonly #world: World;
  readonly #operationDuration: Histogram;
  readonly #processDuration: Histogram;
  readonly #sent: Counter;
  readonly #consumed: Counter;

  constructor(
    system: Bus["system"],
    { telemetry, world }: Pick<ServiceContext, "telemetry" | "world">,
  ) {
    const { meter, tracer } = telemetry;
    this.#system = system;
    this.#tracer = tracer;
    this.#world = world;
    this.#operationDuration = durationHistogram(
      meter,
      "messaging.client.operation.duration",
      "Duration of messaging operation initiated by a producer or consumer client.",
    );
    this.#processDuration = durationHistogram(
      meter,
      "messaging.process.duration",
      "Duration of processing operation.",
    );
    this.#sent = meter.createCounter("messaging.client.sent.messages", {
      description: "Number of messages producer attempted to send to the broker.",
      unit: "{message}",
    });
    this.#consumed = meter.createCounter("messaging.client.consumed.messages", {
      description: "Number of messages that were delivered to the application.",
      unit: "{message}",
    });
  }

  async send(
    facts: MessageFacts,
    parent: Context,
    send: (headers: BusHeader[]) => Promise<void>,
  ): Promise<void> {
    const base = this.#metricAttributes(facts, "send");
    const span = this.#tracer.startSpan(
      `send ${facts.template ?? facts.topic}`,
      { kind: SpanKind.PRODUCER, attributes: this.#spanAttributes(facts, base) },
      parent,
    );
    const startMs = this.#world.monotonicMs();
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
      this.#sent.add(1, base, active);
      this.#operationDuration.record(this.#secondsSince(startMs), base, active);
    }
  }

  startProcess(facts: MessageFacts, headers: readonly BusHeader[]): Processing {
    const base = this.#metricAttributes(facts, "process");
    const parent = contextOf(headers);
    const sender = trace.getSpanContext(parent);
    const links: Link[] = sender ? [{ context: sender }] : [];
    const span = this.#tracer.startSpan(
      `process ${facts.template ?? facts.topic}`,
      { kind: SpanKind.CONSUMER, attributes: this.#spanAttributes(facts, base), links },
      parent,
    );
    const active = trace.setSpan(parent, span);
    const startMs = this.#world.monotonicMs();
    this.#consumed.add(1, base, active);
    return {
      context: active,
      span,
      end: (errorType) => {
        if (errorType) {
          base["error.type"] = errorType;
          fail(span, errorType);
        }
        span.end();
        this.#processDuration.record(this.#secondsSince(startMs), base, active);
      },
    };
  }

  #secondsSince(startMs: number): number {
    return (this.#world.monotonicMs() - startMs) / 1_000;
  }

  #metricAttributes(facts: MessageFacts, operation: "send" | "process"): Attributes {
    return {
      "messaging.system": this.#system,
      "messaging.operation.name": operation,
      "messaging.operation.type": operation,
      // A topic of one instance only would make a series of its own.
      ...(facts.template
        ? { "messaging.destination.template": facts.template }
        : { "messaging.destination.name": facts.topic }),
      ...(facts.group && { "messaging.consumer.group.name": facts.group }),
    };
  }

  #spanAttributes(facts: MessageFacts, base: Attributes): Attributes {
    return {
      ...base,
      "messaging.destination.name": facts.topic,
      ...(facts.conversationId && { "messaging.message.conversation_id": facts.conversationId }),
      ...(facts.partition !== undefined && this.#system === "kafka" && {
        "messaging.destination.partition.id": String(facts.partition),
        "messaging.kafka.offset": Number(facts.offset),
      }),
      ...(facts.bodyBytes !== undefined && { "messaging.message.body.size": facts.bodyBytes }),
    };
  }
}

function durationHistogram(meter: Meter, name: string, description: string): Histogram {
  return meter.createHistogram(name, {
    description,
    unit: "s",
    advice: { explicitBucketBoundaries: durationBuckets },
  });
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

/** Runs with this context active, so that logs and inner spans belong to its span. */
export function withContext<Result>(active: Context, work: () => Result): Result {
  return context.with(active, work);
}
