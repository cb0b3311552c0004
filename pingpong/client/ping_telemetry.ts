/**
 * The client's spans and metrics.
 *
 * @module
 */
import {
  type Context,
  type Counter,
  type Histogram,
  type Meter,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import type { World } from "../../service/world/world.ts";
import type { Mode } from "../protocol/session_terms.ts";
import type { Link } from "./link.ts";

/** Options of {@linkcode PingTelemetry}. */
export interface PingTelemetryOptions {
  /** Makes spans. */
  tracer: Tracer;
  /** Makes instruments. */
  meter: Meter;
  /** Pings a second that get a span and carry its context, from 0. */
  tracedPerSecond: number;
  /** Whose time it is. */
  world: Pick<World, "monotonicMs">;
}

/** Records what happens during a run. */
export class PingTelemetry {
  readonly #options: PingTelemetryOptions;
  readonly #rtt: Histogram;
  readonly #pings: Counter;
  readonly #reconnects: Counter;
  readonly #outages: Histogram;
  readonly #failures: Counter;
  #second = 0;
  #tracedInSecond = 0;

  constructor(options: PingTelemetryOptions) {
    this.#options = options;
    const { meter } = options;
    this.#rtt = meter.createHistogram("pingpong.client.rtt", {
      description: "Round-trip times of pings, by mode.",
      unit: "s",
      advice: {
        // Loopback to satellite, by about a factor of two and a half.
        explicitBucketBoundaries: [
          ...[0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01],
          ...[0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
        ],
      },
    });
    this.#pings = meter.createCounter("pingpong.client.pings", {
      description: "Pings by what became of them: answered, recovered or lost.",
      unit: "{ping}",
    });
    this.#reconnects = meter.createCounter("pingpong.client.reconnects", {
      description: "Links that ended before the run did.",
      unit: "{reconnect}",
    });
    this.#outages = meter.createHistogram("pingpong.client.outage.duration", {
      description: "Time from the end of a link to the next one.",
      unit: "s",
      advice: { explicitBucketBoundaries: [0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120] },
    });
    this.#failures = meter.createCounter("pingpong.client.connect.failures", {
      description: "Attempts to connect that failed.",
      unit: "{attempt}",
    });
  }

  /** A span for all attempts to connect until one succeeds, and the context that has it. */
  startConnecting(): { span: Span; context: Context } {
    const span = this.#options.tracer.startSpan("pingpong connect", { kind: SpanKind.CLIENT });
    return { span, context: trace.setSpan(ROOT_CONTEXT, span) };
  }

  /** There is a link; `outageMs` is `undefined` for the first one. */
  connected(span: Span, link: Link, outageMs: number | undefined): void {
    if (outageMs !== undefined) this.#outages.record(outageMs / 1_000, { mode: link.mode });
    span.setAttributes({ "pingpong.mode": link.mode, "server.address": link.remote });
  }

  /** An attempt has failed. */
  attemptFailed(span: Span, reason: string, isLast: boolean): void {
    span.addEvent("attempt failed", { reason });
    this.#failures.add(1);
    if (isLast) span.setStatus({ code: SpanStatusCode.ERROR, message: reason });
  }

  /** A link has ended before the run did. */
  disconnected(mode: Mode, reason: string): void {
    this.#reconnects.add(1, { mode, reason });
  }

  /** A span for a ping, for as many a second as may have one. */
  startPing(seq: number, link: Link): Span | undefined {
    if (!this.#mayTrace()) return undefined;
    return this.#options.tracer.startSpan("ping", {
      kind: SpanKind.CLIENT,
      attributes: {
        "pingpong.mode": link.mode,
        "pingpong.seq": seq,
        "server.address": link.remote,
      },
    });
  }

  /** A ping was answered; `rttMs` is `undefined` for one that was sent again. */
  answered(span: Span | undefined, mode: Mode, rttMs: number | undefined): void {
    if (rttMs !== undefined) this.#rtt.record(rttMs / 1_000, { mode });
    this.#pings.add(1, { mode, result: rttMs === undefined ? "recovered" : "answered" });
    span?.end();
  }

  /** A ping was given up. */
  lost(span: Span | undefined): void {
    this.#pings.add(1, { result: "lost" });
    span?.setStatus({ code: SpanStatusCode.ERROR, message: "no answer" });
    span?.end();
  }

  #mayTrace(): boolean {
    const second = Math.floor(this.#options.world.monotonicMs() / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#tracedInSecond = 0;
    }
    return this.#tracedInSecond++ < this.#options.tracedPerSecond;
  }
}
