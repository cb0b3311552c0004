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
  /** False for a span that its sender reported before it ended. */
  readonly ended: boolean;
  /** OTLP's number, 0 to 2. */
  readonly status: number;
  readonly statusMessage: string;
  readonly traceState: string;
  /** OTLP's: W3C's flags, and whether its parent is in another program. */
  readonly flags: number;
  /** What its sender has left out; undefined if nothing. */
  readonly dropped: DroppedCounts | undefined;
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

/** How much of a span its sender has left out. */
export interface DroppedCounts {
  readonly attributes: number;
  readonly events: number;
  readonly links: number;
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
  /** @default none */
  readonly attributes?: StoredAttributes;
  /** @default none */
  readonly traceState?: string;
}

/** A trace as it is kept. */
export interface Trace {
  readonly traceId: string;
  readonly spans: StoredSpan[];
  /** Place of the first span with an id, once there are too many spans for a linear search. */
  ids: Map<string, number> | undefined;
  startUs: number;
  endUs: number;
  errors: number;
  /** Spans refused because it was full. */
  cut: number;
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

/** What became of a span: kept, put in the place of the same span sent before, or refused because its trace is full. */
export type SpanOutcome = "kept" | "replaced" | "trace_full";

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

  /** When the trace that came first of those held began, milliseconds since the epoch. */
  get oldestMs(): number | undefined {
    const startUs = this.#inOrder.at(0)?.startUs;
    return startUs === undefined ? undefined : startUs / 1000;
  }

  /** Estimated bytes held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps a span; older traces make room for it. */
  add(span: StoredSpan): SpanOutcome {
    let trace = this.#byId.get(span.traceId);
    // One trace must not push out all others, nor grow without end because it is the only one.
    if ((trace?.bytes ?? traceBytes) + span.bytes > this.#options.maxBytes / 4) {
      if (trace !== undefined) this.#cut(trace);
      return "trace_full";
    }
    if (trace === undefined) {
      trace = this.#newTrace(span);
    } else {
      const place = placeOf(trace, span);
      if (place >= 0) {
        this.#replace(trace, place, span);
        return "replaced";
      }
      if (trace.spans.length >= this.#options.maxSpansPerTrace) {
        this.#cut(trace);
        return "trace_full";
      }
    }
    if (trace.ids !== undefined && !trace.ids.has(span.spanId)) {
      trace.ids.set(span.spanId, trace.spans.length);
    }
    trace.spans.push(span);
    extend(trace, span);
    if (span.status === statusError) trace.errors++;
    trace.bytes += span.bytes;
    this.#bytes += span.bytes;
    this.#spans++;
    this.#changedNow(trace);
    this.#evict(trace);
    return "kept";
  }

  /** The later message about a span is the better one, unless it takes back that it has ended. */
  #replace(trace: Trace, place: number, span: StoredSpan): void {
    const before = trace.spans[place]!;
    if (before.ended && !span.ended) return;
    trace.spans[place] = span;
    if (before.startUs !== span.startUs || before.durationNs !== span.durationNs) {
      trace.startUs = Infinity;
      trace.endUs = -Infinity;
      for (const one of trace.spans) extend(trace, one);
    }
    if (before.status === statusError) trace.errors--;
    if (span.status === statusError) trace.errors++;
    trace.bytes += span.bytes - before.bytes;
    this.#bytes += span.bytes - before.bytes;
    this.#changedNow(trace);
    this.#evict(trace);
  }

  #cut(trace: Trace): void {
    trace.cut++;
    trace.summary = undefined;
  }

  #changedNow(trace: Trace): void {
    trace.changedSeq = this.#options.nextSeq();
    trace.summary = undefined;
    if (trace.announced) return;
    trace.announced = true;
    this.#changed.push(trace);
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
      cut: 0,
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

function extend(trace: Trace, span: StoredSpan): void {
  const endUs = span.startUs + span.durationNs / 1000;
  if (span.startUs < trace.startUs) trace.startUs = span.startUs;
  if (endUs > trace.endUs) trace.endUs = endUs;
}

/**
 * Where the same span is, -1 if it has not been seen. The id alone does not say: under B3 the
 * client's and the server's half of a call share it.
 */
function placeOf(trace: Trace, span: StoredSpan): number {
  const { spans } = trace;
  if (trace.ids === undefined && spans.length >= scanUpTo) {
    trace.ids = new Map();
    for (let i = spans.length - 1; i >= 0; i--) trace.ids.set(spans[i]!.spanId, i);
  }
  let place = 0;
  if (trace.ids !== undefined) {
    const first = trace.ids.get(span.spanId);
    if (first === undefined) return -1;
    place = first;
  }
  for (; place < spans.length; place++) if (isSame(spans[place]!, span)) return place;
  return -1;
}

function isSame(a: StoredSpan, b: StoredSpan): boolean {
  return a.spanId === b.spanId && a.kind === b.kind && a.source.service === b.source.service;
}

/** The row of a trace in the list; made again only after a change. */
export function traceSummary(trace: Trace): TraceSummary {
  return trace.summary ??= summarize(trace);
}

function summarize(trace: Trace): TraceSummary {
  const ids: { has(id: string): boolean } = trace.ids ??
    new Set(trace.spans.map((span) => span.spanId));
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
    complete: root !== undefined && parentsMissing === 0 && trace.cut === 0,
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
