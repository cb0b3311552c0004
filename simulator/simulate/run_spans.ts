/**
 * A simulated run as spans: the names and attributes of a live run, as the same code makes them, at
 * virtual times. Each order is one trace across all parts, and its result belongs to it.
 *
 * Ids follow from the hash of the event log, so that a run that is told twice has the same ones.
 *
 * @module
 */
import {
  createNoopMeter,
  ROOT_CONTEXT,
  type Span,
  SpanStatusCode,
  type Tracer,
} from "@opentelemetry/api";
import { millisToHrTime } from "@opentelemetry/core";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { AlwaysOnSampler, type ReadableSpan } from "@opentelemetry/sdk-trace";
import { RecordingTracerProvider } from "../../service/telemetry/recording_tracer.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import type { LiveEvent } from "../live/live_event.ts";
import { LiveTelemetry } from "../live/live_telemetry.ts";
import type { LogEntry } from "../simulation/event_loop.ts";
import type { RunInput, RunResult } from "../simulation/run.ts";
import type { EndedCall, HandlerFault } from "../simulation/run_watch.ts";

const limits = {
  ...{ attributeCountLimit: 128, attributeValueLengthLimit: 4_096 },
  ...{ eventCountLimit: 128, linkCountLimit: 128 },
};

/** What happens to a part, a store or a point by itself. */
const worldFaults = new Set(["crash", "pause", "cut", "store-crash", "store-full", "stall"]);

/** Gathers what a run tells, and makes spans of it. */
export class RunSpans {
  /** By virtual time, in milliseconds. */
  readonly #told: { readonly atMs: number; readonly what: LogEntry | EndedCall | HandlerFault }[] =
    [];

  /** What the run has to be given. */
  get input(): Pick<RunInput, "onEntry" | "onWatched"> {
    return {
      onEntry: (what) => {
        if (isOfInterest(what)) this.#told.push({ atMs: what.atUs / 1_000, what });
      },
      onWatched: (what) => {
        this.#told.push({ atMs: what.type === "call" ? what.startMs : what.atMs, what });
      },
    };
  }

  /**
   * Makes the spans, one after the other.
   *
   * @param epochMs what the virtual time 0 is, in milliseconds since the epoch
   */
  make(result: RunResult, epochMs: number, onSpan: (span: ReadableSpan) => void): void {
    const { seed, plant, hash, verdict, virtualMs } = result;
    const provider = new RecordingTracerProvider({
      resource: resourceFromAttributes({
        ...{ "service.name": "simulate", "service.namespace": "orrery" },
        ...{ "service.instance.id": hash.slice(0, 16), "simulator.hash": hash },
        ...{ "simulator.seed": seed, "simulator.plant": plant, "simulator.verdict": verdict },
      }),
      limits,
      world: new VirtualWorld({ seed: Number.parseInt(hash.slice(0, 8), 16) | 0 }),
      onEnd: onSpan,
    }, { sampler: new AlwaysOnSampler(), parentBased: true });
    const tracer = provider.getTracer("orrery.simulator");
    const orders = new OrderSpans(tracer, epochMs);
    const telemetry = new LiveTelemetry({
      tracer,
      meter: createNoopMeter(),
      state: () => {
        throw new Error("Nobody measures a simulated run");
      },
    });
    this.#told.sort((a, b) => a.atMs - b.atMs);
    for (const { what } of this.#told) {
      const event = "type" in what ? fromWatched(what, orders) : fromEntry(what, orders);
      telemetry.take(event);
      if (event.type === "effect" && event.consumer === "confirmation") {
        orders.confirm(event.messageId, event.atMs);
      }
    }
    orders.endAll(epochMs + virtualMs);
  }
}

/** One span for each order, from when it is asked for until it is confirmed: all others are below it. */
class OrderSpans {
  readonly epochMs: number;
  readonly #tracer: Tracer;
  readonly #orders = new Map<string, { readonly span: Span; isOver: boolean }>();

  constructor(tracer: Tracer, epochMs: number) {
    this.#tracer = tracer;
    this.epochMs = epochMs;
  }

  /** The `traceparent` of a message, or of what it carries as its trace; none of what is no message. */
  traceOf(text: string, atMs: number): string | undefined {
    const [, number] = /^(?:t-o|o|r)(\d+)$/.exec(text) ?? [];
    if (number === undefined) return undefined;
    const { traceId, spanId } = this.#orderOf(number, atMs).span.spanContext();
    return `00-${traceId}-${spanId}-01`;
  }

  confirm(messageId: string, atMs: number): void {
    const order = this.#orderOf(messageId.slice(1), atMs);
    if (order.isOver) return;
    order.isOver = true;
    order.span.end(millisToHrTime(atMs));
  }

  /** What is not confirmed by then never is. */
  endAll(atMs: number): void {
    for (const { span, isOver } of this.#orders.values()) {
      if (isOver) continue;
      span.setAttribute("error.type", "not-confirmed");
      span.setStatus({ code: SpanStatusCode.ERROR, message: "It is never confirmed" });
      span.end(millisToHrTime(atMs));
    }
  }

  #orderOf(number: string, atMs: number) {
    let order = this.#orders.get(number);
    if (order === undefined) {
      const span = this.#tracer.startSpan("order", {
        root: true,
        startTime: millisToHrTime(atMs),
        attributes: { "simulator.part": "frontend", "simulator.subject": `o${number}` },
      }, ROOT_CONTEXT);
      order = { span, isOver: false };
      this.#orders.set(number, order);
    }
    return order;
  }
}

function isOfInterest({ kind }: LogEntry): boolean {
  return kind === "deliver" || kind === "effect" || worldFaults.has(kind);
}

function fromEntry(entry: LogEntry, orders: OrderSpans): LiveEvent {
  const { kind, part, subject, detail } = entry;
  const atMs = orders.epochMs + entry.atUs / 1_000;
  const trace = orders.traceOf(subject, atMs);
  if (worldFaults.has(kind)) {
    return { type: "fault", part, kind, point: undefined, subject, trace, atMs, detail };
  }
  const common = { part, messageId: subject, trace: trace!, atMs };
  if (kind === "effect") return { type: "effect", consumer: detail, ...common };
  const [, topic, attempt] = /^(\S+) attempt (\d+)$/.exec(detail)!;
  return { type: "delivered", topic: topic!, attempt: Number(attempt), ...common };
}

function fromWatched(what: EndedCall | HandlerFault, orders: OrderSpans): LiveEvent {
  const { epochMs } = orders;
  const { part, subject } = what;
  if (what.type === "handler-fault") {
    const { kind, detail } = what;
    const atMs = epochMs + what.atMs;
    const trace = orders.traceOf(subject, atMs);
    return { type: "fault", part, kind, point: undefined, subject, trace, atMs, detail };
  }
  const { point, faults, error } = what;
  const [startMs, endMs] = [epochMs + what.startMs, epochMs + what.endMs];
  return {
    ...{ type: "call", part, point, subject, startMs, endMs, decision: 0, error },
    trace: orders.traceOf(what.trace ?? subject, startMs),
    faults: faults.map(({ kind, atMs }) => ({ kind, atMs: epochMs + atMs, detail: "" })),
  };
}
