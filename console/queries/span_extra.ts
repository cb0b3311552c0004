/**
 * What OTLP says of a span and Jaeger's JSON has no place for: its links in both directions, its
 * scope's attributes and schema, its flags, what its sender dropped.
 *
 * @module
 */
import type { LinkEnd, SpanExtra } from "../page_api/api.ts";
import { plainAttributes } from "../intake/values.ts";
import type { StoredLink, StoredSpan, Trace } from "../stores/trace_store.ts";

/** Links into one span that are listed; a batch may be linked from thousands. */
const maxLinkedFrom = 100;

/**
 * Finds it.
 *
 * @param traces all that are held: a link may come from any
 *
 * @example
 * ```ts
 * const extra = spanExtra(span, store.traces.newestFirst(), (id) => store.traces.get(id));
 * ```
 */
export function spanExtra(
  span: StoredSpan,
  traces: Iterable<Trace>,
  traceOf: (traceId: string) => Trace | undefined,
): SpanExtra {
  const { scope, traceState, flags, dropped } = span;
  return {
    scope: {
      name: scope.name,
      version: scope.version,
      attributes: plainAttributes(scope.attributes ?? []),
      schemaUrl: scope.schemaUrl ?? "",
    },
    traceState,
    flags,
    dropped: dropped ?? { attributes: 0, events: 0, links: 0 },
    links: span.links.map((link) => {
      const target = traceOf(link.traceId)?.spans.find(({ spanId }) => spanId === link.spanId);
      return linkEnd(link.traceId, link.spanId, link, target);
    }),
    linkedFrom: linkedFrom(span, traces),
  };
}

function linkedFrom({ traceId, spanId }: StoredSpan, traces: Iterable<Trace>): LinkEnd[] {
  const found: LinkEnd[] = [];
  for (const { spans } of traces) {
    for (const one of spans) {
      for (const link of one.links) {
        if (link.spanId !== spanId || link.traceId !== traceId) continue;
        found.push(linkEnd(one.traceId, one.spanId, link, one));
        if (found.length === maxLinkedFrom) return found;
      }
    }
  }
  return found;
}

function linkEnd(
  traceId: string,
  spanId: string,
  { attributes = [], traceState = "" }: StoredLink,
  span: StoredSpan | undefined,
): LinkEnd {
  return {
    traceId,
    spanId,
    traceState,
    attributes: plainAttributes(attributes),
    ...(span !== undefined && { name: span.name, service: span.source.service }),
  };
}
