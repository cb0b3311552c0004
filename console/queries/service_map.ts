/**
 * The services as they call each other: from spans and their parents, from links, and through topics
 * where messages go by a bus (producer → topic → consumer), with rate, error share and p95.
 *
 * @module
 */
import type { MapAnswer, MapEdge, MapNode } from "../page_api/api.ts";
import { type StoredAttributes, valueText } from "../intake/values.ts";
import type { ListedProgram } from "../../service/program_list.ts";
import type { StoredSpan, Trace } from "../stores/trace_store.ts";
import { CallCounter } from "./call_counter.ts";
import { spanKinds } from "./jaeger.ts";
import { topicOf } from "./messaging_topic.ts";
import type { ServiceEntry } from "../intake/source.ts";

/** What the map is made from. */
export interface ServiceMapInput {
  traces: Iterable<Trace>;
  /** A trace by its id, for links into other ones. */
  traceOf: (traceId: string) => Trace | undefined;
  /** What is known of a service beyond its spans. */
  serviceOf: (name: string) => Pick<ServiceEntry, "lastSeenMs"> | undefined;
  /** Programs that run beside the console: on the map also when they have sent nothing. @default none */
  programs?: readonly ListedProgram[];
  /** The time that is looked at, milliseconds since the epoch. */
  fromMs: number;
  toMs: number;
}

/** Nodes and edges on a map; beyond it the busiest are shown. */
const maxNodes = 100;
const maxEdges = 400;
/** Durations kept of a service or an edge. */
const maxDurations = 1_024;

/** What is on the map, and its calls. */
interface CountedNode {
  readonly kind: MapNode["kind"];
  readonly namespace: string;
  readonly counter: CallCounter;
  /** The newest trace that it is in. */
  readonly lastTraceId: string | null;
}

/**
 * Makes the map.
 *
 * @example
 * ```ts
 * const map = serviceMap({ traces, traceOf, serviceOf, fromMs: nowMs - 300_000, toMs: nowMs });
 * ```
 */
export function serviceMap(input: ServiceMapInput): MapAnswer {
  const { fromMs, toMs, programs: listed = [] } = input;
  const counted = new CountedCalls(input.traceOf);
  let firstMs = toMs;
  for (const trace of input.traces) {
    if (trace.endUs < fromMs * 1000 || trace.startUs > toMs * 1000) continue;
    firstMs = Math.min(firstMs, trace.startUs / 1000);
    counted.add(trace);
  }
  for (const { name } of listed) counted.node(name, "service");
  const programs = new Map(listed.map((one) => [one.name, one]));
  const seconds = Math.max(1, (toMs - Math.max(fromMs, firstMs)) / 1000);
  // A program that has died must not be what there is no room for.
  const isDown = (name: string) => Number(programs.get(name)?.state === "down");
  const busiest = [...counted.nodes]
    .sort(([a, one], [b, other]) =>
      isDown(b) - isDown(a) || other.counter.calls - one.counter.calls
    )
    .slice(0, maxNodes);
  const shown = new Set(busiest.map(([name]) => name));
  return {
    nodes: busiest.map(([name, { kind, namespace, counter, lastTraceId }]): MapNode => ({
      name,
      kind,
      namespace,
      ...figures(counter, seconds),
      lastSeenMs: kind === "service" ? input.serviceOf(name)?.lastSeenMs ?? null : null,
      lastTraceId,
      ...(programs.has(name) && { program: programs.get(name)! }),
    })).sort((a, b) => a.name < b.name ? -1 : 1),
    edges: [...counted.edges.values()]
      .filter(({ from, to }) => shown.has(from) && shown.has(to))
      .sort((a, b) => b.counter.calls - a.counter.calls)
      .slice(0, maxEdges)
      .map(({ from, to, counter }): MapEdge => ({ from, to, ...figures(counter, seconds) })),
    seconds,
    nodesInAll: counted.nodes.size,
  };
}

/** The calls of traces, the newest first, by who is called and by who calls whom. */
class CountedCalls {
  readonly nodes = new Map<string, CountedNode>();
  readonly edges = new Map<string, { from: string; to: string; counter: CallCounter }>();
  readonly #traceOf: ServiceMapInput["traceOf"];

  constructor(traceOf: ServiceMapInput["traceOf"]) {
    this.#traceOf = traceOf;
  }

  add(trace: Trace): void {
    const byId = spansById(trace);
    for (const span of trace.spans) {
      const { service, attributes } = span.source;
      const own = this.node(service, "service", attributes, trace.traceId);
      const parent = byId.get(span.parentSpanId);
      if (isEntrance(span, parent)) own.counter.add(span);
      if (!this.#addMessage(span, trace)) this.#addCalls(span, parent);
    }
  }

  node(
    name: string,
    kind: MapNode["kind"],
    attributes: StoredAttributes = [],
    lastTraceId: string | null = null,
  ): CountedNode {
    let found = this.nodes.get(name);
    if (found === undefined) {
      const namespace = textOf(attributes, "service.namespace");
      found = { kind, namespace, counter: new CallCounter(maxDurations), lastTraceId };
      this.nodes.set(name, found);
    }
    return found;
  }

  /** Whether the span is that of a message, which goes by its topic. */
  #addMessage(span: StoredSpan, trace: Trace): boolean {
    const kind = spanKinds[span.kind];
    const topic = kind === "producer" || kind === "consumer" ? topicOf(span.attributes) : "";
    if (topic === "") return false;
    const name = `topic ${topic}`;
    this.node(name, "topic", [], trace.traceId).counter.add(span);
    const { service } = span.source;
    if (kind === "producer") this.#edge(service, name, span);
    else this.#edge(name, service, span);
    return true;
  }

  #addCalls(span: StoredSpan, parent: StoredSpan | undefined): void {
    const { service } = span.source;
    if (parent !== undefined && parent.source.service !== service) {
      this.#edge(parent.source.service, service, span);
    }
    for (const link of span.links) {
      const linked = this.#traceOf(link.traceId)?.spans
        .find(({ spanId }) => spanId === link.spanId)?.source.service;
      if (linked !== undefined && linked !== service) this.#edge(linked, service, span);
    }
  }

  #edge(from: string, to: string, span: StoredSpan): void {
    const key = `${from}\0${to}`;
    let found = this.edges.get(key);
    if (found === undefined) {
      this.edges.set(key, found = { from, to, counter: new CallCounter(maxDurations) });
    }
    found.counter.add(span);
  }
}

/** The spans of a trace by their ids: under B3 the callee's half is the one that others are below of. */
export function spansById(trace: Trace): Map<string, StoredSpan> {
  const byId = new Map<string, StoredSpan>();
  for (const span of trace.spans) {
    if (!byId.has(span.spanId) || spanKinds[span.kind] === "server") byId.set(span.spanId, span);
  }
  return byId;
}

/** Whether a service begins to work with this span: it is called, gets a message, or begins by itself. */
export function isEntrance(span: StoredSpan, parent: StoredSpan | undefined): boolean {
  const kind = spanKinds[span.kind];
  return parent === undefined || parent.source.service !== span.source.service ||
    kind === "server" || kind === "consumer";
}

function figures({ calls, errors, p95Ms }: CallCounter, seconds: number) {
  return { calls, errors, rate: calls / seconds, p95Ms };
}

function textOf(attributes: StoredAttributes, key: string): string {
  for (let i = 0; i < attributes.length; i += 2) {
    if (attributes[i] === key) return valueText(attributes[i + 1]!);
  }
  return "";
}
