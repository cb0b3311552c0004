/**
 * Which service calls which, counted over the spans held.
 *
 * @module
 */
import type { DependencyEdge } from "../page_api/jaeger_api.ts";
import { statusError, type Trace } from "../stores/trace_store.ts";

/**
 * Edges between different services, most calls first.
 *
 * @example
 * ```ts
 * const [busiest] = dependencies(store.traces.newestFirst());
 * // { parent: "orb-client", child: "orb-server", callCount: 120, errorCount: 2 }
 * ```
 */
export function dependencies(traces: Iterable<Trace>): DependencyEdge[] {
  const edges = new Map<string, DependencyEdge>();
  for (const trace of traces) {
    const serviceOf = new Map(trace.spans.map((span) => [span.spanId, span.source.service]));
    for (const span of trace.spans) {
      const parent = serviceOf.get(span.parentSpanId);
      const child = span.source.service;
      if (parent === undefined || parent === child) continue;
      const key = JSON.stringify([parent, child]);
      let edge = edges.get(key);
      if (edge === undefined) edges.set(key, edge = { parent, child, callCount: 0, errorCount: 0 });
      edge.callCount++;
      if (span.status === statusError) edge.errorCount++;
    }
  }
  return [...edges.values()].sort((a, b) => b.callCount - a.callCount);
}
