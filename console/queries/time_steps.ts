/**
 * Steps of equal length for figures over time.
 *
 * @module
 */

/** Lengths of steps that people can read off an axis, in seconds. */
const niceStepsS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600] as const;

/** Steps in the time that is looked at, at most. */
const maxSteps = 120;

/** Steps on whole multiples of their length, so that they stay where they are when time goes on. */
export interface TimeSteps {
  stepMs: number;
  /** Ends of the steps that are over, milliseconds since the epoch, ascending. */
  endsMs: readonly number[];
}

/**
 * The shortest length that makes at most 120 steps of a time.
 *
 * @param leastMs no step is shorter than this
 *
 * @example
 * ```ts
 * stepFor(900_000); // 10_000
 * ```
 */
export function stepFor(lengthMs: number, leastMs = 0): number {
  const wantedS = Math.max(lengthMs / maxSteps, leastMs) / 1000;
  return (niceStepsS.find((step) => step >= wantedS) ?? Math.ceil(wantedS / 3_600) * 3_600) * 1000;
}

/** Steps of a length whose ends lie within a time. What is not over is not among them: it would look like a fall. */
export function stepsOf(stepMs: number, fromMs: number, toMs: number): TimeSteps {
  const endsMs: number[] = [];
  for (let endMs = Math.ceil(fromMs / stepMs) * stepMs; endMs <= toMs; endMs += stepMs) {
    endsMs.push(endMs);
  }
  return { stepMs, endsMs };
}
