/**
 * Draws the path of the trace that is followed: an arc for each call from sprite to sprite, the ones
 * to come faint, and what is under way now as a dot on its arc.
 *
 * @module
 */
import type { StageColors } from "./stage_colors.ts";
import type { TracePath, TraceStep } from "./trace_path.ts";

/** A place on the canvas. */
export type Point = readonly [x: number, y: number];

/** What is drawn of a trace. */
export interface ShownTrace {
  readonly path: TracePath;
  /** How far it has been played, in its own milliseconds. */
  readonly atMs: number;
  /** The step that is shown. */
  readonly step: number;
}

/** A point of the gentle arc from one place to another, `t` from 0 to 1. */
export function arcPoint([x1, y1]: Point, [x2, y2]: Point, t: number): Point {
  const bend = 0.12;
  const [mx, my] = [(x1 + x2) / 2 + (y1 - y2) * bend, (y1 + y2) / 2 + (x2 - x1) * bend];
  return [
    (1 - t) ** 2 * x1 + 2 * (1 - t) * t * mx + t * t * x2,
    (1 - t) ** 2 * y1 + 2 * (1 - t) * t * my + t * t * y2,
  ];
}

/** Draws it; `placeOf` says where a sprite is, if it is still there. */
export function drawTrace(
  context: CanvasRenderingContext2D,
  colors: StageColors,
  { path, atMs, step }: ShownTrace,
  { placeOf, still }: { placeOf: (sprite: number) => Point | undefined; still: boolean },
): void {
  context.lineCap = "round";
  for (const [index, one] of path.steps.entries()) {
    const ends = endsOf(one, placeOf);
    if (ends === undefined) continue;
    context.strokeStyle = one.event.fault ? colors.error : colors.accent;
    context.globalAlpha = index <= step ? 1 : 0.3;
    context.lineWidth = index === step ? 3 : 1.5;
    drawArc(context, ends);
  }
  context.globalAlpha = 1;
  const next = path.steps[step + 1];
  const ends = next && endsOf(next, placeOf);
  if (still || next === undefined || ends === undefined) return;
  const began = path.steps[step]!.atMs;
  const way = next.atMs === began ? 1 : (atMs - began) / (next.atMs - began);
  const [x, y] = arcPoint(...ends, Math.min(1, Math.max(0, way)));
  context.fillStyle = next.event.fault ? colors.error : colors.accent;
  context.beginPath();
  context.arc(x, y, 5, 0, 2 * Math.PI);
  context.fill();
}

function endsOf(
  { from, to }: TraceStep,
  placeOf: (sprite: number) => Point | undefined,
): [Point, Point] | undefined {
  if (from === undefined || from === to) return undefined;
  const [begin, end] = [placeOf(from), placeOf(to)];
  return begin && end && [begin, end];
}

/** With a head at its end, so that its direction needs no movement. */
function drawArc(context: CanvasRenderingContext2D, [begin, end]: [Point, Point]): void {
  context.beginPath();
  context.moveTo(...begin);
  for (let t = 0.1; t < 1.05; t += 0.1) context.lineTo(...arcPoint(begin, end, Math.min(1, t)));
  const [nearX, nearY] = arcPoint(begin, end, 0.9);
  const angle = Math.atan2(end[1] - nearY, end[0] - nearX);
  for (const side of [-0.5, 0.5]) {
    context.moveTo(...end);
    context.lineTo(end[0] - 10 * Math.cos(angle + side), end[1] - 10 * Math.sin(angle + side));
  }
  context.stroke();
}
