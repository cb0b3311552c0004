import assert from "node:assert/strict";
import { checkPositiveIntegers } from "./options.ts";

Deno.test("checkPositiveIntegers() refuses what is no whole number above 0, by its name", () => {
  checkPositiveIntegers("retry", { maxAttempts: 1, maxWaiting: undefined });
  for (const value of [0, -1, 1.5, NaN, Infinity, 2 ** 53]) {
    assert.throws(
      () => checkPositiveIntegers("retry", { maxAttempts: value }),
      new RangeError(
        `Cannot retry as 'maxAttempts' must be a positive integer: current value is ${value}`,
      ),
    );
  }
});
