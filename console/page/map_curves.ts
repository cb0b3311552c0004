/**
 * The lines between the map's nodes: each a curve that bends to its right, which keeps there and back
 * apart, from the edge of one node to the edge of the other.
 *
 * @module
 */

/** A place on the drawing. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A quadratic curve. */
export interface Curve {
  readonly from: Point;
  /** What it bends towards. */
  readonly control: Point;
  readonly to: Point;
}

/** The curve between two nodes that are so large. */
export function curveBetween(
  from: Point,
  to: Point,
  { fromRadius, toRadius }: { fromRadius: number; toRadius: number },
): Curve {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy) || 1;
  const bend = Math.min(28, length / 7);
  const control = {
    x: (from.x + to.x) / 2 - dy / length * bend,
    y: (from.y + to.y) / 2 + dx / length * bend,
  };
  return { from: towards(from, control, fromRadius), control, to: towards(to, control, toRadius) };
}

function towards(from: Point, to: Point, distance: number): Point {
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  const share = Math.min(0.45, distance / length);
  return { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share };
}

/** The place at a share of the way, from 0 to 1. */
export function pointOn({ from, control, to }: Curve, share: number): Point {
  const [a, b, c] = [(1 - share) ** 2, 2 * share * (1 - share), share ** 2];
  return { x: a * from.x + b * control.x + c * to.x, y: a * from.y + b * control.y + c * to.y };
}

/** The direction half way, in degrees. */
export function headingOf({ from, to }: Curve): number {
  return Math.atan2(to.y - from.y, to.x - from.x) * 180 / Math.PI;
}

/** As SVG writes it. */
export function pathOf({ from, control, to }: Curve): string {
  const text = ({ x, y }: Point) => `${x.toFixed(1)},${y.toFixed(1)}`;
  return `M${text(from)}Q${text(control)} ${text(to)}`;
}
