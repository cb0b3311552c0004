/**
 * What a trace had to wait for: from its end back to its beginning, always along the child that
 * ended last. Making anything else quicker would not have made the trace quicker.
 *
 * @module
 */
import type { TraceTree } from "./waterfall.ts";
import type { TreeSpan } from "./waterfall.ts";

/** A part of a span, in milliseconds from the beginning of the trace. */
export interface Section {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * The sections of each span that are on the path, latest first; spans that are not on it are absent.
 * Of several roots the one that ended last is followed.
 */
export function criticalPath(tree: TraceTree): ReadonlyMap<string, readonly Section[]> {
  const path = new Map<string, Section[]>();
  const root = tree.roots.toSorted((a, b) => endOf(b) - endOf(a))[0];
  if (root === undefined) return path;
  const open: { span: TreeSpan; untilMs: number }[] = [{ span: root, untilMs: endOf(root) }];
  const add = (span: TreeSpan, fromMs: number, toMs: number) => {
    if (toMs <= fromMs) return;
    const sections = path.get(span.id) ?? [];
    sections.push({ fromMs, toMs });
    path.set(span.id, sections);
  };
  while (open.length > 0) {
    const { span, untilMs } = open.pop()!;
    let reachedMs = untilMs;
    for (const child of span.children.toSorted((a, b) => endOf(b) - endOf(a))) {
      // What went on after its parent had ended was not waited for.
      const childEndMs = Math.min(endOf(child), untilMs);
      const outside = childEndMs <= span.startMs || childEndMs > reachedMs;
      if (outside || child.startMs >= childEndMs) continue;
      add(span, childEndMs, reachedMs);
      open.push({ span: child, untilMs: childEndMs });
      reachedMs = Math.max(child.startMs, span.startMs);
    }
    add(span, span.startMs, reachedMs);
  }
  return path;
}

function endOf(span: TreeSpan): number {
  return span.startMs + span.durationMs;
}
