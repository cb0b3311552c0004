/**
 * Smaller values by fast-check, which shrinks integers well: delta debugging knows only to drop. In a
 * module of its own, as a page need not load it.
 *
 * @module
 */
import { check, integer, property, tuple } from "fast-check";
import type { ValueShrinker } from "./shrink.ts";

/** Shrinks by fast-check; for {@linkcode ShrinkOptions.shrinkValues}. */
export const shrinkValues: ValueShrinker = (values, isStillFailing) => {
  const smaller = tuple(...values.map((max) => integer({ min: 1, max })));
  // The one run is the failure itself; all that follows is shrinking.
  check(property(smaller, (candidate) => !isStillFailing(candidate)), {
    numRuns: 1,
    seed: 1,
    examples: [[[...values]]],
  });
};
