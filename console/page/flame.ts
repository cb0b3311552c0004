/**
 * Spans by what they are instead of when they were: those of one name under one caller are one frame,
 * as wide as all their time. Of one trace, or of many of one operation; and two of them side by side.
 *
 * @module
 */
import type { TreeSpan } from "./waterfall.ts";

/** Spans of one name and service with the same names above them. */
export interface Frame {
  readonly service: string;
  readonly name: string;
  /** How many spans. */
  readonly count: number;
  /** Their durations together. */
  readonly totalMs: number;
  /** Of that, time in which no child was at work. */
  readonly selfMs: number;
  readonly errors: number;
  /** The widest first. */
  readonly children: readonly Frame[];
}

interface Growing {
  service: string;
  name: string;
  count: number;
  totalMs: number;
  selfMs: number;
  errors: number;
  children: Growing[];
}

/** Deeper than this is left out: nobody reads it, and a chain of thousands would have no end. */
const maxDepth = 200;

/**
 * Makes frames of spans and all that is below them.
 *
 * @example
 * ```ts
 * const [root] = framesOf(traceTree(trace).roots);
 * ```
 */
export function framesOf(spans: readonly TreeSpan[]): readonly Frame[] {
  const top: Growing[] = [];
  let level: { span: TreeSpan; into: Growing[] }[] = spans.map((span) => ({ span, into: top }));
  for (let depth = 0; depth < maxDepth && level.length > 0; depth++) {
    const next: typeof level = [];
    const known = new Map<Growing[], Map<string, Growing>>();
    for (const { span, into } of level) {
      let siblings = known.get(into);
      if (siblings === undefined) known.set(into, siblings = new Map());
      const key = `${span.service}\0${span.name}`;
      let frame = siblings.get(key);
      if (frame === undefined) {
        const { service, name } = span;
        frame = { service, name, count: 0, totalMs: 0, selfMs: 0, errors: 0, children: [] };
        siblings.set(key, frame);
        into.push(frame);
      }
      frame.count++;
      frame.totalMs += span.durationMs;
      frame.selfMs += span.selfMs;
      if (span.error !== undefined) frame.errors++;
      for (const child of span.children) next.push({ span: child, into: frame.children });
    }
    for (const into of known.keys()) into.sort((a, b) => b.totalMs - a.totalMs);
    level = next;
  }
  return top;
}

/** A frame and where it is drawn: `left` and `width` are shares of the picture. */
export interface PlacedFrame {
  readonly frame: Frame;
  readonly left: number;
  readonly width: number;
  readonly depth: number;
  /** Places among siblings from the top, as `0.2.1`. */
  readonly path: string;
}

/** What is narrower is a hair: it is counted, and drawn once it is zoomed into. */
const minWidth = 0.001;

/**
 * Places frames under each other. Children that worked at the same time may have more time than
 * their parent; they share its width then.
 */
export function placeFrames(
  frames: readonly Frame[],
): { placed: readonly PlacedFrame[]; depth: number; hidden: number } {
  const placed: PlacedFrame[] = [];
  let hidden = 0;
  let depth = 0;
  const place = (
    siblings: readonly Frame[],
    at: { left: number; width: number; totalMs: number; depth: number; path: string },
  ) => {
    const sumMs = siblings.reduce((sum, one) => sum + one.totalMs, 0);
    const scale = at.width / Math.max(sumMs, at.totalMs, Number.MIN_VALUE);
    let { left } = at;
    siblings.forEach((frame, i) => {
      const width = frame.totalMs * scale;
      if (width < minWidth) {
        hidden++;
        return;
      }
      const path = at.path === "" ? String(i) : `${at.path}.${i}`;
      placed.push({ frame, left, width, depth: at.depth, path });
      depth = Math.max(depth, at.depth + 1);
      place(frame.children, {
        left,
        width,
        totalMs: frame.totalMs,
        depth: at.depth + 1,
        path,
      });
      left += width;
    });
  };
  place(frames, { left: 0, width: 1, totalMs: 0, depth: 0, path: "" });
  return { placed, depth, hidden };
}

/** The frame at a path, as `0.2.1`; undefined if there is none. */
export function frameAt(frames: readonly Frame[], path: string): Frame | undefined {
  let siblings = frames;
  let found: Frame | undefined;
  for (const part of path.split(".")) {
    found = siblings[Number(part)];
    if (found === undefined) return undefined;
    siblings = found.children;
  }
  return found;
}

/** Time by name, wherever it stands: the most own time first. */
export function hottest(frames: readonly Frame[]): Frame[] {
  const byName = new Map<string, Growing>();
  const stack = [...frames];
  for (let frame = stack.pop(); frame !== undefined; frame = stack.pop()) {
    const { service, name, count, totalMs, selfMs, errors, children } = frame;
    const key = `${service}\0${name}`;
    const known = byName.get(key);
    if (known === undefined) {
      byName.set(key, { service, name, count, totalMs, selfMs, errors, children: [] });
    } else {
      known.count += count;
      known.totalMs += totalMs;
      known.selfMs += selfMs;
      known.errors += errors;
    }
    stack.push(...children);
  }
  return [...byName.values()].sort((a, b) => b.selfMs - a.selfMs);
}

/** How a frame of the second trace is to its like of the first. */
export type Change = "same" | "new" | "gone" | "slower" | "faster";

/** A frame of one trace beside its like of the other. */
export interface ComparedFrame {
  readonly service: string;
  readonly name: string;
  readonly depth: number;
  readonly a: Frame | undefined;
  readonly b: Frame | undefined;
  readonly change: Change;
}

/**
 * Lays two traces side by side: what has the same names above it belongs together. Slower and faster
 * is a fifth and more, and at least a hundredth of the longer trace: less is chance.
 *
 * @example
 * ```ts
 * const rows = compareFrames(framesOf(a.roots), framesOf(b.roots));
 * const fresh = rows.filter(({ change }) => change === "new");
 * ```
 */
export function compareFrames(a: readonly Frame[], b: readonly Frame[]): ComparedFrame[] {
  const longestMs = Math.max(
    ...[a, b].map((one) => one.reduce((ms, { totalMs }) => ms + totalMs, 0)),
  );
  const rows: ComparedFrame[] = [];
  const walk = (left: readonly Frame[], right: readonly Frame[], depth: number) => {
    const keyOf = ({ service, name }: Frame) => `${service}\0${name}`;
    const others = new Map(right.map((one) => [keyOf(one), one]));
    for (const one of left) {
      const other = others.get(keyOf(one));
      others.delete(keyOf(one));
      add(one, other, depth);
    }
    for (const other of others.values()) add(undefined, other, depth);
  };
  const add = (one: Frame | undefined, other: Frame | undefined, depth: number) => {
    const { service, name } = (one ?? other)!;
    rows.push({ service, name, depth, a: one, b: other, change: changeOf(one, other, longestMs) });
    walk(one?.children ?? [], other?.children ?? [], depth + 1);
  };
  walk(a, b, 0);
  return rows;
}

function changeOf(a: Frame | undefined, b: Frame | undefined, longestMs: number): Change {
  if (a === undefined) return "new";
  if (b === undefined) return "gone";
  if (Math.abs(a.totalMs - b.totalMs) < longestMs / 100) return "same";
  if (b.totalMs > a.totalMs * 1.2) return "slower";
  return a.totalMs > b.totalMs * 1.2 ? "faster" : "same";
}
