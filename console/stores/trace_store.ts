/**
 * The ring buffer of traces. A trace is kept and forgotten as a whole, the one that came first
 * goes first; its summary is made when it is asked for, not when a span arrives.
 *
 * @module
 */
import type { TraceService, TraceSummary } from "../page_api/api.ts";
import { Ring } from "./ring.ts";
import type { Scope, Source } from "../intake/source.ts";
import type { StoredAttributes } from "../intake/values.ts";

/** OTLP's status code of a failed span. */
export const statusError = 2;

/** A span as it is kept. */
export interface StoredSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for a root. */
  readonly parentSpanId: string;
  readonly name: string;
  /** OTLP's number, 0 to 5. */
  readonly kind: number;
  /** Microseconds since the epoch, whole: what fits a number and what Jaeger shows. */
  readonly startUs: number;
  /** Nanoseconds, at least 0. */
  readonly durationNs: number;
  /** OTLP's number, 0 to 2. */
  readonly status: number;
  readonly statusMessage: string;
  readonly traceState: string;
  readonly attributes: StoredAttributes;
  readonly events: readonly StoredEvent[];
  readonly links: readonly StoredLink[];
  readonly source: Source;
  readonly scope: Scope;
  /** What was cut, left out or mended, in words. */
  readonly warnings: readonly string[];
  /** Estimated bytes it holds. */
  readonly bytes: number;
}

/** An event of a span. */
export interface StoredEvent {
  readonly name: string;
  /** Microseconds since the epoch. */
  readonly timeUs: number;
  readonly attributes: StoredAttributes;
}

/** A link of a span. */
export interface StoredLink {
  readonly traceId: string;
  readonly spanId: string;
}

/** A trace as it is kept. */
export interface Trace {
  readonly traceId: string;
  readonly spans: StoredSpan[];
  /** Span ids, once there are too many spans for a linear search. */
  ids: Set<string> | undefined;
  startUs: number;
  endUs: number;
  errors: number;
  bytes: number;
  /** The store's sequence number of its last change. */
  changedSeq: number;
  /** Its change has not been sent to the live streams yet. */
  announced: boolean;
  /** False once it has been forgotten. */
  held: boolean;
  summary: TraceSummary | undefined;
}

/** Limits of {@linkcode TraceStore}. */
export interface TraceStoreOptions {
  /** Spans held, at least 1; one more pushes out the oldest trace. */
  maxSpans: number;
  /** Traces held, at least 1; one more pushes out the oldest. */
  maxTraces: number;
  /** Spans held of one trace, at least 1; one more is refused. */
  maxSpansPerTrace: number;
  /** Estimated bytes held; a quarter of them is the most that one trace may take. */
  maxBytes: number;
  /** The next number in the console's order of changes. */
  nextSeq: () => number;
}

/** What became of a span: kept, known already, or refused because its trace is full. */
export type SpanOutcome = "kept" | "duplicate" | "trace_full";

const scanUpTo = 32;
const maxServicesInSummary = 32;
const traceBytes = 400;

/**
 * The ring buffer of traces.
 *
 * @example
 * ```ts
 * const traces = new TraceStore({ ...limits, maxBytes: 64e6, nextSeq: () => ++seq });
 * if (traces.add(span) === "trace_full") refused++;
 * const trace = traces.get(span.traceId);
 * ```
 */
export class TraceStore {
  readonly #options: TraceStoreOptions;
  #byId = new Map<string, Trace>();
  #inOrder = new Ring<Trace>();
  #changed: Trace[] = [];
  #spans = 0;
  #bytes = 0;
  /** Spans that had to make room. */
  evicted = 0;

  constructor(options: TraceStoreOptions) {
    this.#options = options;
  }

  /** Spans held. */
  get spans(): number {
    return this.#spans;
  }

  /** Traces held. */
  get traces(): number {
    return this.#inOrder.length;
  }

  /** Estimated bytes held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps a span; older traces make room for it. */
  add(span: StoredSpan): SpanOutcome {
    let trace = this.#byId.get(span.traceId);
    // One trace must not push out all others, nor grow without end because it is the only one.
    if ((trace?.bytes ?? traceBytes) + span.bytes > this.#options.maxBytes / 4) return "trace_full";
    if (trace === undefined) {
      trace = this.#newTrace(span);
    } else {
      if (hasSpan(trace, span.spanId)) return "duplicate";
      if (trace.spans.length >= this.#options.maxSpansPerTrace) return "trace_full";
    }
    trace.spans.push(span);
    trace.ids?.add(span.spanId);
    const endUs = span.startUs + span.durationNs / 1000;
    if (span.startUs < trace.startUs) trace.startUs = span.startUs;
    if (endUs > trace.endUs) trace.endUs = endUs;
    if (span.status === statusError) trace.errors++;
    trace.bytes += span.bytes;
    this.#bytes += span.bytes;
    this.#spans++;
    trace.changedSeq = this.#options.nextSeq();
    trace.summary = undefined;
    if (!trace.announced) {
      trace.announced = true;
      this.#changed.push(trace);
    }
    this.#evict(trace);
    return "kept";
  }

  /** A trace that is held. */
  get(traceId: string): Trace | undefined {
    return this.#byId.get(traceId);
  }

  /** All traces, the one whose first span came last first. */
  newestFirst(): Iterable<Trace> {
    return this.#inOrder.newestFirst();
  }

  /** Traces changed since the last call, in order of their first change. */
  takeChanged(): Trace[] {
    const changed = this.#changed;
    this.#changed = [];
    for (const trace of changed) trace.announced = false;
    return changed;
  }

  /** Forgets all traces. */
  clear(): void {
    for (const trace of this.#inOrder) trace.held = false;
    this.#byId.clear();
    this.#inOrder.clear();
    this.#changed = [];
    this.#spans = 0;
    this.#bytes = 0;
    this.evicted = 0;
  }

  #newTrace(first: StoredSpan): Trace {
    const trace: Trace = {
      traceId: first.traceId,
      spans: [],
      ids: undefined,
      startUs: Infinity,
      endUs: -Infinity,
      errors: 0,
      bytes: traceBytes,
      changedSeq: 0,
      announced: false,
      held: true,
      summary: undefined,
    };
    this.#byId.set(trace.traceId, trace);
    this.#inOrder.push(trace);
    this.#bytes += trace.bytes;
    return trace;
  }

  #evict(current: Trace): void {
    const { maxSpans, maxTraces, maxBytes } = this.#options;
    while (
      this.#spans > maxSpans || this.#inOrder.length > maxTraces || this.#bytes > maxBytes
    ) {
      const oldest = this.#inOrder.at(0);
      if (oldest === undefined || (oldest === current && this.#inOrder.length === 1)) return;
      this.#inOrder.shift();
      oldest.held = false;
      this.#byId.delete(oldest.traceId);
      this.#spans -= oldest.spans.length;
      this.#bytes -= oldest.bytes;
      this.evicted += oldest.spans.length;
    }
  }
}

function hasSpan(trace: Trace, spanId: string): boolean {
  if (trace.ids !== undefined) return trace.ids.has(spanId);
  if (trace.spans.length >= scanUpTo) {
    trace.ids = new Set(trace.spans.map((span) => span.spanId));
    return trace.ids.has(spanId);
  }
  for (const span of trace.spans) if (span.spanId === spanId) return true;
  return false;
}

/** The row of a trace in the list; made again only after a change. */
export function traceSummary(trace: Trace): TraceSummary {
  return trace.summary ??= summarize(trace);
}

function summarize(trace: Trace): TraceSummary {
  const ids = trace.ids ?? new Set(trace.spans.map((span) => span.spanId));
  let root: StoredSpan | undefined;
  let first = trace.spans[0]!;
  let parentsMissing = 0;
  for (const span of trace.spans) {
    if (span.startUs < first.startUs) first = span;
    if (span.parentSpanId === "") {
      if (root === undefined || span.startUs < root.startUs) root = span;
    } else if (!ids.has(span.parentSpanId)) parentsMissing++;
  }
  const shown = root ?? first;
  return {
    traceId: trace.traceId,
    rootName: shown.name,
    rootService: shown.source.service,
    services: servicesOf(trace),
    startMs: trace.startUs / 1000,
    durationMs: (trace.endUs - trace.startUs) / 1000,
    spanCount: trace.spans.length,
    errorCount: trace.errors,
    complete: root !== undefined && parentsMissing === 0,
  };
}

function servicesOf(trace: Trace): TraceService[] {
  const services = new Map<string, TraceService & { startUs: number }>();
  for (const span of trace.spans) {
    const name = span.source.service;
    let entry = services.get(name);
    if (entry === undefined) {
      if (services.size >= maxServicesInSummary) continue;
      services.set(name, entry = { name, spans: 0, errors: 0, startUs: Infinity });
    }
    entry.spans++;
    if (span.status === statusError) entry.errors++;
    if (span.startUs < entry.startUs) entry.startUs = span.startUs;
  }
  return [...services.values()]
    .sort((a, b) => a.startUs - b.startUs)
    .map(({ startUs: _, ...service }) => service);
}
