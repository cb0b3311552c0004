/**
 * What the places of a slider mean: rates, and values that are set in round steps.
 *
 * @module
 */

/** Places from 0 to `last`, each with its value. */
export interface SliderScale {
  readonly last: number;
  /** Where a value is; what lies between two places is at one of them. */
  placeOf(value: number): number;
  valueOf(place: number): number;
}

/** A rate from 0 to 1: 0, and then evenly on a logarithmic scale from 0.1 % to all. */
export const rateScale: SliderScale = {
  last: 100,
  placeOf: (rate) => rate <= 0 ? 0 : Math.max(1, Math.round(100 + 100 * Math.log10(rate) / 3)),
  valueOf: (place) => place <= 0 ? 0 : Number(Math.pow(10, (place - 100) * 3 / 100).toPrecision(3)),
};

/** Where a slider stands whose value is drawn from the seed. */
export const drawn = -1;

/** The same scale, with a first place for what is drawn from the seed. */
export function orDrawn({ last, placeOf, valueOf }: SliderScale): SliderScale {
  return {
    last: last + 1,
    placeOf: (value) => value === drawn ? 0 : placeOf(value) + 1,
    valueOf: (place) => place === 0 ? drawn : valueOf(place - 1),
  };
}

const second = 1_000;
const minute = 60 * second;
const longer = [1, 2, 3, 4, 5, 10, 20, 30].map((seconds) => seconds * second);
const longest = [1, 2, 5, 10, 30, 60].map((minutes) => minutes * minute);

/** Round durations from 10 ms to an hour, in milliseconds. */
export const durations: readonly number[] = [10, 20, 50, 100, 200, 500, ...longer, ...longest];

/**
 * A place for each of these values, which grow.
 *
 * @example
 * ```ts
 * steps([0, 100, 200]).placeOf(150); // 1
 * ```
 */
export function steps(values: readonly number[]): SliderScale {
  return {
    last: values.length - 1,
    placeOf: (value) => Math.max(0, values.findLastIndex((one) => one <= value)),
    valueOf: (place) => values[place]!,
  };
}
