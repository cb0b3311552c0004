/**
 * The live topology's telemetry: each message is one trace across all parts, faults are events of the
 * spans that they have hit, and every box has its depth and age.
 *
 * All of it is made here, in the main program, from the parts' events: a part that is killed in the
 * middle of something loses no span that was told of, and needs no exporter of its own.
 *
 * @module
 */
import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import type { Meter } from "@opentelemetry/api";
import { millisToHrTime } from "@opentelemetry/core";
import { pointNames } from "./faults.ts";
import type { LiveEvent } from "./live_event.ts";
import type { LiveState } from "./live_state.ts";
import { traceIdOf } from "./live_observer.ts";
import { isTraceparent } from "./service_bus.ts";

/** Options of {@linkcode LiveTelemetry}. */
export interface LiveTelemetryOptions {
  readonly tracer: Tracer;
  readonly meter: Meter;
  /** What the gauges are read from. */
  readonly state: () => LiveState;
}

/** Orders whose time is taken at once: beyond it the oldest, such as those that are lost, are forgotten. */
const maxTimed = 10_000;

const kinds: Readonly<Record<number, SpanKind>> = {
  1: SpanKind.CLIENT,
  2: SpanKind.PRODUCER,
  3: SpanKind.CONSUMER,
  4: SpanKind.CLIENT,
  5: SpanKind.INTERNAL,
  6: SpanKind.PRODUCER,
  7: SpanKind.CONSUMER,
  8: SpanKind.CLIENT,
};

/** Makes spans and metrics of events. */
export class LiveTelemetry {
  readonly #tracer: Tracer;
  readonly #instruments;
  /** When orders were placed, by trace. */
  readonly #placedMs = new Map<string, number>();

  constructor({ tracer, meter, state }: LiveTelemetryOptions) {
    this.#tracer = tracer;
    this.#instruments = instrumentsOf(meter);
    observe(meter, state);
  }

  /** Takes an event in. */
  take(event: LiveEvent): void {
    switch (event.type) {
      case "call":
        return this.#call(event);
      case "fault":
        this.#instruments.faults.add(1, {
          "simulator.fault.kind": event.kind,
          ...(event.point !== undefined && { "simulator.point": event.point }),
        });
        return this.#faultBesideCalls(event);
      case "placed":
        this.#instruments.orders.add(1);
        this.#placedMs.set(event.trace, event.atMs);
        if (this.#placedMs.size > maxTimed) {
          this.#placedMs.delete(this.#placedMs.keys().next().value!);
        }
        return;
      case "delivered": {
        const name = event.topic === "orders" ? pointNames[3] : pointNames[7];
        const attributes = {
          ...attributesOf(event.part, event.messageId),
          "messaging.destination.name": event.topic,
          "messaging.operation.type": "receive",
          "simulator.attempt": event.attempt,
        };
        return this.#point(name, SpanKind.CONSUMER, event.trace, event.atMs, attributes);
      }
      case "effect": {
        this.#instruments.effects.add(1, { "simulator.consumer": event.consumer });
        const attributes = {
          ...attributesOf(event.part, event.messageId),
          "simulator.consumer": event.consumer,
        };
        this.#point(
          `apply ${event.consumer}`,
          SpanKind.INTERNAL,
          event.trace,
          event.atMs,
          attributes,
        );
        return this.#timeOrder(event);
      }
      case "note":
        this.#instruments.notes.add(1, { "simulator.event": event.event });
    }
  }

  #call(event: LiveEvent & { type: "call" }): void {
    // Polls belong to no message: of these only those that have failed are worth a span.
    if (event.trace === undefined && event.error === undefined && event.faults.length === 0) return;
    const { point, startMs, endMs, faults, error } = event;
    const span = this.#tracer.startSpan(pointNames[point], {
      kind: kinds[point]!,
      startTime: millisToHrTime(startMs),
      attributes: { ...attributesOf(event.part, event.subject), "simulator.point": point },
    }, parentOf(event.trace));
    for (const { kind, atMs, detail } of faults) {
      span.addEvent("fault", {
        ...{ "simulator.fault.kind": kind, "simulator.point": point },
        ...(detail !== "" && { "simulator.fault.detail": detail }),
      }, millisToHrTime(atMs));
    }
    if (error !== undefined) {
      span.setAttribute("error.type", error);
      span.setStatus({ code: SpanStatusCode.ERROR, message: error });
    }
    span.end(millisToHrTime(endMs));
  }

  /** Those that no call has an event of: poison, a crash, a pause. */
  #faultBesideCalls(event: LiveEvent & { type: "fault" }): void {
    if (event.point !== undefined) return;
    const span = this.#tracer.startSpan(`fault ${event.kind}`, {
      startTime: millisToHrTime(event.atMs),
      attributes: attributesOf(event.part, event.subject),
    }, parentOf(event.trace));
    span.addEvent("fault", {
      "simulator.fault.kind": event.kind,
      ...(event.detail !== "" && { "simulator.fault.detail": event.detail }),
    }, millisToHrTime(event.atMs));
    span.setStatus({ code: SpanStatusCode.ERROR, message: event.kind });
    span.end(millisToHrTime(event.atMs));
  }

  #point(name: string, kind: SpanKind, of: string, atMs: number, attributes: Attributes): void {
    const startTime = millisToHrTime(atMs);
    this.#tracer.startSpan(name, { kind, startTime, attributes }, parentOf(of)).end(startTime);
  }

  #timeOrder({ consumer, trace, atMs }: LiveEvent & { type: "effect" }): void {
    if (consumer !== "confirmation") return;
    const placedMs = this.#placedMs.get(trace);
    if (placedMs === undefined) return;
    this.#placedMs.delete(trace);
    this.#instruments.duration.record(Math.max(0, atMs - placedMs) / 1_000);
  }
}

function attributesOf(part: string, subject: string): Attributes {
  return { "simulator.part": part, ...(subject !== "" && { "simulator.subject": subject }) };
}

/** The message's own context: whatever is done about it belongs to its trace. */
function parentOf(traceparent: string | undefined): Context {
  if (traceparent === undefined || !isTraceparent(traceparent)) return ROOT_CONTEXT;
  const [, , spanId, flags] = traceparent.split("-");
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId: traceIdOf(traceparent),
    spanId: spanId!,
    traceFlags: Number.parseInt(flags!, 16),
    isRemote: true,
  });
}

function instrumentsOf(meter: Meter) {
  return {
    orders: meter.createCounter("simulator.live.orders", {
      description: "Orders placed.",
      unit: "{order}",
    }),
    effects: meter.createCounter("simulator.live.effects", {
      description: "Effects applied, by consumer.",
      unit: "{effect}",
    }),
    faults: meter.createCounter("simulator.live.faults", {
      description: "Faults that have hit, by kind and point.",
      unit: "{fault}",
    }),
    notes: meter.createCounter("simulator.live.notes", {
      description: "What parts note, such as fenced, duplicate or parked.",
      unit: "{event}",
    }),
    duration: meter.createHistogram("simulator.live.order.duration", {
      description: "From an order being placed to its confirmation.",
      unit: "s",
      advice: {
        explicitBucketBoundaries: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
      },
    }),
  };
}

function observe(meter: Meter, state: () => LiveState): void {
  meter.createObservableGauge("simulator.live.box.depth", {
    description: "What is in a box and not yet done with.",
    unit: "{message}",
  }).addCallback((result) => {
    for (const { name, depth } of state().boxes) result.observe(depth, { "simulator.box": name });
  });
  meter.createObservableGauge("simulator.live.box.age", {
    description: "How long the oldest has been in its box.",
    unit: "s",
  }).addCallback((result) => {
    for (const { name, depth, oldestMs } of state().boxes) {
      if (depth > 0 && oldestMs === undefined) continue;
      result.observe((oldestMs ?? 0) / 1_000, { "simulator.box": name });
    }
  });
  meter.createObservableGauge("simulator.live.box.parked", {
    description: "What its handler has given up on.",
    unit: "{message}",
  }).addCallback((result) => {
    for (const { name, parked } of state().boxes) result.observe(parked, { "simulator.box": name });
  });
  meter.createObservableGauge("simulator.live.parts", {
    description: "Parts, by state.",
    unit: "{part}",
  }).addCallback((result) => {
    const counts = { running: 0, paused: 0, killed: 0, crashed: 0 };
    for (const { state: name } of state().parts) counts[name]++;
    for (const [name, count] of Object.entries(counts)) {
      result.observe(count, { "simulator.part.state": name });
    }
  });
}
