/**
 * Making room in a series without shortening it: the older, the further apart its points may stand.
 *
 * @module
 */
import type { Point } from "./metric_store.ts";

/** Points stand at most a fortieth of their age apart: 360 of one a second reach back for more than an hour. */
const stepsInAge = 40;
/** A series with room for fewer is not thinned: its oldest point goes. */
export const minThinned = 32;

/**
 * The points that stay, in their order; the newest always does. Points are totals, so that what a
 * point that goes has counted is in the next one; one that knows its own interval takes over that of
 * what went before it.
 *
 * @example
 * ```ts
 * const kept = thinPoints([...series.points]); // fewer, over the same time
 * ```
 */
export function thinPoints(points: readonly Point[]): Point[] {
  const newest = points.at(-1);
  if (newest === undefined) return [];
  const stay = points.map(() => true);
  let afterMs = newest.timeMs;
  for (let i = points.length - 2; i > 0; i--) {
    const { timeMs } = points[i]!;
    const wantedMs = (newest.timeMs - timeMs) / stepsInAge;
    // It goes if the one before it is near enough to the one after it.
    const stepMs = afterMs - points[i - 1]!.timeMs;
    if (stepMs <= wantedMs) stay[i] = false;
    else afterMs = timeMs;
  }
  const kept: Point[] = [];
  let went: Point | undefined;
  points.forEach((point, i) => {
    if (!stay[i]) {
      went ??= point;
      return;
    }
    kept.push(went === undefined ? point : withIntervalOf(point, went));
    went = undefined;
  });
  return kept;
}

function withIntervalOf(point: Point, first: Point): Point {
  if (point.fromMs === undefined) return point;
  const { fromMs: _, ...rest } = point;
  return first.fromMs === undefined ? rest : { ...rest, fromMs: first.fromMs };
}
