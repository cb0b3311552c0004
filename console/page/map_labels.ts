/**
 * Where the map's words stand, so that they cover neither each other nor what they name: one word
 * after the other, the most important first, each at the best of a few places.
 *
 * @module
 */
import type { Point } from "./map_curves.ts";

/** A word that wants a place. */
export interface Word {
  readonly key: string;
  readonly text: string;
  /** In units of the drawing. */
  readonly fontSize: number;
  /** What it names. */
  readonly at: Point;
  /** How far from there it must stay. */
  readonly distance: number;
  /** Left out rather than put upon something; others are shown at the least bad place. */
  readonly optional: boolean;
}

/** Where it stands. */
export interface WordPlace extends Point {
  readonly anchor: "start" | "middle" | "end";
}

/** What there is besides words. */
export interface Obstacles {
  /** Half the width and the height of the drawing, which has its middle at 0, 0. */
  readonly half: Point;
  readonly nodes: readonly (Point & { radius: number })[];
  /** Places on lines. */
  readonly linePoints: readonly Point[];
}

interface Box {
  readonly x0: number;
  readonly y0: number;
  readonly x1: number;
  readonly y1: number;
}

/** How bad it is to lie upon something; a place is better by order than one after it by a little. */
const costs = { line: 1, node: 12, word: 20, outside: 40, order: 0.4 };
/** A letter is so wide on average, as a share of the font's size. */
const letterWidth = 0.56;

/**
 * Places words; optional ones for which there is no room are absent.
 *
 * @example
 * ```ts
 * const places = placeWords(words, { half: { x: 400, y: 336 }, nodes, linePoints });
 * ```
 */
export function placeWords(
  words: readonly Word[],
  obstacles: Obstacles,
): ReadonlyMap<string, WordPlace> {
  const places = new Map<string, WordPlace>();
  const taken: Box[] = [];
  for (const word of words) {
    let best: { place: WordPlace; box: Box; cost: number } | undefined;
    candidatesOf(word).forEach((place, order) => {
      const box = boxOf(word, place);
      const cost = order * costs.order + costOf(box, word, taken, obstacles);
      if (best === undefined || cost < best.cost) best = { place, box, cost };
    });
    if (best === undefined || (word.optional && best.cost >= costs.node)) continue;
    places.set(word.key, best.place);
    taken.push(best.box);
  }
  return places;
}

/** Below, above, at the right, at the left, and between them. */
function candidatesOf({ at: { x, y }, distance, fontSize }: Word): WordPlace[] {
  const [below, above, middle] = [fontSize * 0.95, -fontSize * 0.35, fontSize * 0.35];
  const aside = distance * 0.7 + 2;
  return [
    { x, y: y + distance + below, anchor: "middle" },
    { x, y: y - distance + above, anchor: "middle" },
    { x: x + distance + 5, y: y + middle, anchor: "start" },
    { x: x - distance - 5, y: y + middle, anchor: "end" },
    { x: x + aside, y: y + aside + below, anchor: "start" },
    { x: x - aside, y: y + aside + below, anchor: "end" },
    { x: x + aside, y: y - aside + above, anchor: "start" },
    { x: x - aside, y: y - aside + above, anchor: "end" },
  ];
}

function boxOf({ text, fontSize }: Word, { x, y, anchor }: WordPlace): Box {
  const width = text.length * fontSize * letterWidth;
  const x0 = anchor === "start" ? x : anchor === "end" ? x - width : x - width / 2;
  return { x0, y0: y - fontSize, x1: x0 + width, y1: y + fontSize * 0.3 };
}

function costOf(box: Box, word: Word, taken: readonly Box[], obstacles: Obstacles): number {
  const { half, nodes, linePoints } = obstacles;
  let cost = 0;
  if (box.x0 < -half.x || box.x1 > half.x || box.y0 < -half.y || box.y1 > half.y) {
    cost += costs.outside;
  }
  for (const other of taken) {
    const apart = other.x0 > box.x1 || other.x1 < box.x0 || other.y0 > box.y1 || other.y1 < box.y0;
    if (!apart) cost += costs.word;
  }
  for (const { x, y, radius } of nodes) {
    const isOwn = x === word.at.x && y === word.at.y;
    if (!isOwn && distanceTo(box, x, y) < radius) cost += costs.node;
  }
  for (const { x, y } of linePoints) if (distanceTo(box, x, y) === 0) cost += costs.line;
  return cost;
}

function distanceTo({ x0, y0, x1, y1 }: Box, x: number, y: number): number {
  return Math.hypot(Math.max(x0 - x, 0, x - x1), Math.max(y0 - y, 0, y - y1));
}
