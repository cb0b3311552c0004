/**
 * Makes spans: the OpenTelemetry API's tracer and provider over {@linkcode RecordedSpan}.
 *
 * @module
 */
import {
  type Context,
  context,
  INVALID_SPAN_CONTEXT,
  isSpanContextValid,
  type Span,
  type SpanContext,
  SpanKind,
  type SpanOptions,
  trace,
  TraceFlags,
  type Tracer,
  type TracerOptions,
  type TracerProvider,
} from "@opentelemetry/api";
import { type InstrumentationScope, isTracingSuppressed } from "@opentelemetry/core";
import { type Sampler, SamplingDecision } from "@opentelemetry/sdk-trace";
import { randomSpanId, randomTraceId } from "./ids.ts";
import { PreciseClock } from "./precise_clock.ts";
import { RecordedSpan, type SpanHome } from "./recorded_span.ts";

/** Which spans are recorded. */
export interface Sampling {
  /** Decides on spans without a parent; on all spans unless `parentBased`. */
  sampler: Sampler;
  /** True when a span with a parent is recorded as its parent is, here or in another program. */
  parentBased: boolean;
}

/** Makes tracers, one a scope. */
export class RecordingTracerProvider implements TracerProvider {
  readonly #home: SpanHome;
  readonly #sampling: Sampling;
  readonly #tracers = new Map<string, Tracer>();

  constructor(home: Omit<SpanHome, "clock">, sampling: Sampling) {
    this.#home = { ...home, clock: new PreciseClock(home.world) };
    this.#sampling = sampling;
  }

  getTracer(name: string, version?: string, { schemaUrl }: TracerOptions = {}): Tracer {
    const key = JSON.stringify([name, version, schemaUrl]);
    let tracer = this.#tracers.get(key);
    if (tracer === undefined) {
      const scope = { name, ...(version && { version }), ...(schemaUrl && { schemaUrl }) };
      tracer = new RecordingTracer(this.#home, this.#sampling, scope);
      this.#tracers.set(key, tracer);
    }
    return tracer;
  }
}

class RecordingTracer implements Tracer {
  readonly #home: SpanHome;
  readonly #sampling: Sampling;
  readonly #scope: InstrumentationScope;

  constructor(home: SpanHome, sampling: Sampling, scope: InstrumentationScope) {
    this.#home = home;
    this.#sampling = sampling;
    this.#scope = scope;
  }

  startSpan(name: string, options: SpanOptions = {}, parentContext = context.active()): Span {
    if (isTracingSuppressed(parentContext)) return trace.wrapSpanContext(INVALID_SPAN_CONTEXT);
    const parent = options.root ? undefined : validContext(trace.getSpan(parentContext));
    const { world } = this.#home;
    const traceId = parent?.traceId ?? randomTraceId(world);
    const kind = options.kind ?? SpanKind.INTERNAL;
    const sampled = this.#isSampled(name, kind, traceId, options, parent, parentContext);
    const spanContext: SpanContext = {
      traceId,
      spanId: randomSpanId(world),
      traceFlags: sampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
      ...(parent?.traceState && { traceState: parent.traceState }),
    };
    if (!sampled) return trace.wrapSpanContext(spanContext);
    return new RecordedSpan(this.#home, {
      name,
      kind,
      spanContext,
      parentSpanContext: parent,
      scope: this.#scope,
      attributes: options.attributes,
      links: options.links,
      startTime: options.startTime,
    });
  }

  #isSampled(
    name: string,
    kind: SpanKind,
    traceId: string,
    options: SpanOptions,
    parent: SpanContext | undefined,
    parentContext: Context,
  ): boolean {
    const { parentBased, sampler } = this.#sampling;
    if (parentBased && parent) return (parent.traceFlags & TraceFlags.SAMPLED) !== 0;
    const { decision } = sampler.shouldSample(
      options.root ? trace.deleteSpan(parentContext) : parentContext,
      traceId,
      name,
      kind,
      options.attributes ?? {},
      options.links ?? [],
    );
    return decision === SamplingDecision.RECORD_AND_SAMPLED;
  }

  startActiveSpan<F extends (span: Span) => unknown>(name: string, fn: F): ReturnType<F>;
  startActiveSpan<F extends (span: Span) => unknown>(
    name: string,
    options: SpanOptions,
    fn: F,
  ): ReturnType<F>;
  startActiveSpan<F extends (span: Span) => unknown>(
    name: string,
    options: SpanOptions,
    parentContext: Context,
    fn: F,
  ): ReturnType<F>;
  startActiveSpan<F extends (span: Span) => unknown>(
    name: string,
    ...rest: [F] | [SpanOptions, F] | [SpanOptions, Context, F]
  ): ReturnType<F> {
    const fn = rest.at(-1) as F;
    const options = rest.length > 1 ? rest[0] as SpanOptions : {};
    const parentContext = rest.length > 2 ? rest[1] as Context : context.active();
    const span = this.startSpan(name, options, parentContext);
    return context.with(
      trace.setSpan(parentContext, span),
      fn as (span: Span) => ReturnType<F>,
      undefined,
      span,
    );
  }
}

/** The ids of a parent, unless they are no ids; those of our own spans need no check. */
function validContext(parent: Span | undefined): SpanContext | undefined {
  const spanContext = parent?.spanContext();
  if (spanContext === undefined) return undefined;
  return parent instanceof RecordedSpan || isSpanContextValid(spanContext)
    ? spanContext
    : undefined;
}
