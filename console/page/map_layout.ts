/**
 * Where the services stand on the map: fixed orbits, no forces. The ring is how deep a service is
 * called, the place on it follows its callers; the same services always stand the same way.
 *
 * @module
 */
import { formatNumber } from "../../service/page/format.ts";
import type { MapEdge, MapNode } from "../page_api/api.ts";

/** An edge's name in the address. */
export function edgeKey({ from, to }: Pick<MapEdge, "from" | "to">): string {
  return `${from}>${to}`;
}

/** Calls a second, in words. */
export function rateText(rate: number): string {
  return `${formatNumber(Number(rate.toPrecision(2)))}/s`;
}

/** A node and its place; the map is a square from -1 to 1. */
export interface PlacedNode {
  readonly node: MapNode;
  readonly x: number;
  readonly y: number;
  readonly ring: number;
}

/**
 * Places nodes.
 *
 * @example
 * ```ts
 * const { placed, rings } = placeNodes(answer.nodes, answer.edges);
 * ```
 */
export function placeNodes(
  nodes: readonly MapNode[],
  edges: readonly MapEdge[],
): { placed: ReadonlyMap<string, PlacedNode>; rings: readonly number[] } {
  const depths = depthsOf(nodes, edges);
  const byRing = Map.groupBy(nodes, ({ name }) => depths.get(name)!);
  const ringNumbers = [...byRing.keys()].sort((a, b) => a - b);
  // One alone stands in the middle.
  const centred = byRing.get(ringNumbers[0]!)?.length === 1;
  const radii = radiiOf(ringNumbers.map((number) => byRing.get(number)!.length), centred);
  const placed = new Map<string, PlacedNode>();
  const angles = new Map<string, number>();
  ringNumbers.forEach((number, i) => {
    const radius = radii[i]!;
    const ring = wantedAngles(byRing.get(number)!, edges, angles);
    const places = spreadOut(ring.map(({ wanted }) => wanted), radius);
    ring.forEach(({ node }, slot) => {
      const angle = places[slot]!;
      angles.set(node.name, normal(angle));
      placed.set(node.name, {
        node,
        ring: number,
        x: radius * Math.cos(angle),
        y: radius * Math.sin(angle),
      });
    });
  });
  return { placed, rings: radii.filter((radius) => radius > 0) };
}

/** The rings' radii, of at most 1: as far apart as each other, the innermost with room for its nodes. */
function radiiOf(counts: readonly number[], centred: boolean): number[] {
  if (centred) return counts.map((_, i) => i / Math.max(1, counts.length - 1));
  const inner = Math.min(1.8, Math.max(1, (counts[0] ?? 0) / 5));
  return counts.map((_, i) => (i + inner) / (counts.length - 1 + inner));
}

/**
 * The nodes of a ring as they come on it, each at the mean angle of its callers; those without any go
 * all the way round from the top, by name.
 */
function wantedAngles(
  nodes: readonly MapNode[],
  edges: readonly MapEdge[],
  angles: ReadonlyMap<string, number>,
): { node: MapNode; wanted: number }[] {
  const byName = nodes.toSorted((a, b) => a.name < b.name ? -1 : 1);
  const even = 2 * Math.PI / byName.length;
  return byName
    .map((node, slot) => ({
      node,
      wanted: callersAngle(node, edges, angles) ?? -Math.PI / 2 + slot * even,
    }))
    .sort((a, b) => a.wanted - b.wanted || (a.node.name < b.node.name ? -1 : 1));
}

/** Nodes of a ring stand so far apart where there is room, in radii of the whole. */
const minArc = 0.3;

/**
 * Angles as near to what is wanted as there is room for, in the same order round the circle: where
 * it is too narrow, neighbours stand as close as they may, about the middle of what they want (the
 * least squares of an isotonic regression, by pooling adjacent violators).
 *
 * @param wanted in ascending order
 */
function spreadOut(wanted: readonly number[], radius: number): number[] {
  const count = wanted.length;
  const gap = Math.min(2 * Math.PI / count, minArc / Math.max(radius, minArc / 2));
  // The circle is cut open where it is emptiest.
  const before = (i: number) =>
    wanted[i]! - (i === 0 ? wanted[count - 1]! - 2 * Math.PI : wanted[i - 1]!);
  const first = wanted.reduce((best, _, i) => before(i) > before(best) ? i : best, 0);
  const line = wanted.map((_, i) => {
    const at = (first + i) % count;
    return wanted[at]! + (at < first ? 2 * Math.PI : 0);
  });
  const pools: { sum: number; size: number }[] = [];
  line.forEach((angle, i) => {
    let pool = { sum: angle - i * gap, size: 1 };
    while (pools.length > 0 && pools.at(-1)!.sum / pools.at(-1)!.size > pool.sum / pool.size) {
      const last = pools.pop()!;
      pool = { sum: last.sum + pool.sum, size: last.size + pool.size };
    }
    pools.push(pool);
  });
  const fitted = pools.flatMap(({ sum, size }) => Array.from({ length: size }, () => sum / size));
  const placed = fitted.map((start, i) => start + i * gap);
  // Round the cut there must be room, too; if there is none, all share the circle.
  const isTooLong = placed[count - 1]! - placed[0]! > 2 * Math.PI - gap + 1e-9;
  const middle = (placed[0]! + placed[count - 1]!) / 2;
  const all = isTooLong
    ? placed.map((_, i) => middle + (i - (count - 1) / 2) * 2 * Math.PI / count)
    : placed;
  return wanted.map((_, i) => all[(i - first + count) % count]!);
}

/** The fewest calls from a service that nobody calls; in a circle from its busiest. */
function depthsOf(
  nodes: readonly MapNode[],
  edges: readonly MapEdge[],
): ReadonlyMap<string, number> {
  const edgesFrom = Map.groupBy(edges, ({ from }) => from);
  const called = new Set(edges.map(({ to }) => to));
  const depths = new Map<string, number>();
  const spread = (start: string) => {
    const queue = [start];
    depths.set(start, 0);
    for (const name of queue) {
      for (const { to: callee } of edgesFrom.get(name) ?? []) {
        if (depths.has(callee) && depths.get(callee)! <= depths.get(name)! + 1) continue;
        depths.set(callee, depths.get(name)! + 1);
        queue.push(callee);
      }
    }
  };
  for (const { name } of nodes) if (!called.has(name)) spread(name);
  for (const { name } of nodes.toSorted((a, b) => b.calls - a.calls)) {
    if (!depths.has(name)) spread(name);
  }
  return depths;
}

function callersAngle(
  { name }: MapNode,
  edges: readonly MapEdge[],
  angles: ReadonlyMap<string, number>,
): number | undefined {
  let [x, y] = [0, 0];
  for (const { from, to } of edges) {
    const angle = to === name ? angles.get(from) : undefined;
    if (angle === undefined) continue;
    x += Math.cos(angle);
    y += Math.sin(angle);
  }
  return x === 0 && y === 0 ? undefined : normal(Math.atan2(y, x));
}

function normal(angle: number): number {
  return Math.atan2(Math.sin(angle), Math.cos(angle));
}
