/**
 * Clocks of different machines disagree: a callee may seem to begin before it was called. What does
 * not fit is marked, and by a switch put right as Jaeger does it (its clock skew adjuster): a span of
 * another process that does not lie within its parent is moved into the middle of it, with all
 * that is below it.
 *
 * @module
 */
import type { JaegerSpan, JaegerTrace } from "../page_api/jaeger_api.ts";

/** Below this it is how clocks tick, in microseconds. */
const toleranceUs = 1;

/**
 * By how many microseconds each span's process seems to be off; those that fit are not in it.
 *
 * @example
 * ```ts
 * const skews = clockSkews(trace);
 * const adjusted = skews.size > 0 ? withoutSkew(trace, skews) : trace;
 * ```
 */
export function clockSkews(trace: JaegerTrace): ReadonlyMap<string, number> {
  const byId = new Map(trace.spans.map((span) => [span.spanID, span]));
  const childrenOf = new Map<string, JaegerSpan[]>();
  const open: { span: JaegerSpan; parent: JaegerSpan | undefined; skewUs: number }[] = [];
  for (const span of trace.spans) {
    const parent = parentIdOf(span);
    if (parent === undefined || !byId.has(parent)) {
      open.push({ span, parent: undefined, skewUs: 0 });
      continue;
    }
    const siblings = childrenOf.get(parent);
    if (siblings) siblings.push(span);
    else childrenOf.set(parent, [span]);
  }
  const skews = new Map<string, number>();
  const seen = new Set<string>();
  while (open.length > 0) {
    const { span, parent, skewUs: inherited } = open.pop()!;
    if (seen.has(span.spanID)) continue;
    seen.add(span.spanID);
    let skewUs = inherited;
    if (parent !== undefined && parent.processID !== span.processID) {
      const parentStartUs = parent.startTime + (skews.get(parent.spanID) ?? 0);
      skewUs = skewOf(span, parentStartUs, parent.duration);
    }
    if (Math.abs(skewUs) > toleranceUs) skews.set(span.spanID, skewUs);
    for (const child of childrenOf.get(span.spanID) ?? []) {
      open.push({ span: child, parent: span, skewUs });
    }
  }
  return skews;
}

function skewOf(child: JaegerSpan, parentStartUs: number, parentDurationUs: number): number {
  // It lasted longer than its parent, which may have given up waiting: only its start can be judged.
  if (child.duration > parentDurationUs) return Math.max(0, parentStartUs - child.startTime);
  const endUs = child.startTime + child.duration;
  if (child.startTime >= parentStartUs && endUs <= parentStartUs + parentDurationUs) return 0;
  // The way there and the way back are taken to be equal.
  const latencyUs = Math.floor((parentDurationUs - child.duration) / 2);
  return parentStartUs + latencyUs - child.startTime;
}

/** The trace as it would be if all clocks agreed. */
export function withoutSkew(trace: JaegerTrace, skews: ReadonlyMap<string, number>): JaegerTrace {
  return {
    ...trace,
    spans: trace.spans.map((span) => {
      const skewUs = skews.get(span.spanID);
      if (skewUs === undefined) return span;
      return {
        ...span,
        startTime: span.startTime + skewUs,
        logs: span.logs.map((log) => ({ ...log, timestamp: log.timestamp + skewUs })),
      };
    }),
  };
}

function parentIdOf(span: JaegerSpan): string | undefined {
  return span.references.find((one) => one.refType === "CHILD_OF" && one.traceID === span.traceID)
    ?.spanID;
}
