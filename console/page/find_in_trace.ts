/**
 * Finding spans in a trace.
 *
 * @module
 */
import type { TraceTree, TreeSpan } from "./waterfall.ts";

const texts = new WeakMap<TreeSpan, string>();

/** All that a span says, in small letters; made once. */
function textOf(span: TreeSpan): string {
  let text = texts.get(span);
  if (text === undefined) {
    const values = [...span.tags, ...span.events.flatMap((event) => event.fields)]
      .map(({ key, value }) => `${key}=${value}`);
    const parts = [span.name, span.service, span.id, span.error ?? "", ...values];
    text = [...parts, ...span.events.map(({ name }) => name)].join("\n").toLowerCase();
    texts.set(span, text);
  }
  return text;
}

/**
 * Spans that have all words in their name, service, attributes (`key=value`) or events, in the order
 * of the waterfall.
 *
 * @example
 * ```ts
 * findSpans(tree, "http.route=/cart 503");
 * ```
 */
export function findSpans(tree: TraceTree, text: string): TreeSpan[] {
  const words = text.toLowerCase().split(/\s+/).filter((one) => one !== "");
  if (words.length === 0) return [];
  return inOrder(tree).filter((span) => words.every((word) => textOf(span).includes(word)));
}

/** Spans that failed, in the order of the waterfall. */
export function failedSpans(tree: TraceTree): TreeSpan[] {
  return inOrder(tree).filter((span) => span.error !== undefined);
}

/** All spans as the waterfall shows them: each before its children. */
export function inOrder(tree: TraceTree): TreeSpan[] {
  const order: TreeSpan[] = [];
  const stack = tree.roots.toReversed();
  while (stack.length > 0) {
    const span = stack.pop()!;
    order.push(span);
    stack.push(...span.children.toReversed());
  }
  return order;
}

/** The next one in a list, round its end; from the chosen one, else the first or last. */
export function nextOf(
  list: readonly TreeSpan[],
  order: readonly TreeSpan[],
  chosen: TreeSpan | undefined,
  step: 1 | -1,
): TreeSpan | undefined {
  if (list.length === 0) return undefined;
  if (chosen === undefined) return step === 1 ? list[0] : list.at(-1);
  const placeOf = new Map(order.map((span, place) => [span.id, place]));
  const at = placeOf.get(chosen.id) ?? -1;
  const after = list.filter((span) => (placeOf.get(span.id)! - at) * step > 0);
  return step === 1 ? after[0] ?? list[0] : after.at(-1) ?? list.at(-1);
}
