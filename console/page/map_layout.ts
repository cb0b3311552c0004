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
  const steps = Math.max(1, ringNumbers.length - (centred ? 1 : 0));
  const placed = new Map<string, PlacedNode>();
  const angles = new Map<string, number>();
  const rings: number[] = [];
  ringNumbers.forEach((number, i) => {
    const radius = centred ? i / steps : (i + 1) / steps;
    if (radius > 0) rings.push(radius);
    const wanted = (node: MapNode) => callersAngle(node, edges, angles);
    const ring = byRing.get(number)!.toSorted((a, b) =>
      (wanted(a) ?? 0) - (wanted(b) ?? 0) || (a.name < b.name ? -1 : 1)
    );
    const turn = (wanted(ring[0]!) ?? -Math.PI / 2) + (i > 0 && ring.length > 1 ? 0.4 : 0);
    ring.forEach((node, slot) => {
      const angle = turn + 2 * Math.PI * slot / ring.length;
      angles.set(node.name, normal(angle));
      placed.set(node.name, {
        node,
        ring: number,
        x: radius * Math.cos(angle),
        y: radius * Math.sin(angle),
      });
    });
  });
  return { placed, rings };
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
