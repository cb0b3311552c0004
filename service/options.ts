/**
 * Options whose values are out of range are refused, in the words of Deno's standard library.
 *
 * @module
 */

/**
 * Refuses numbers that are not whole or not above 0.
 *
 * @param action what cannot be done, as in "Cannot retry as …"
 * @param values the options by their names; one that is absent is fine
 * @throws {RangeError} one of them is out of range
 *
 * @example
 * ```ts
 * checkPositiveIntegers("retry", { maxAttempts: -1 });
 * // RangeError: Cannot retry as 'maxAttempts' must be a positive integer: current value is -1
 * ```
 */
export function checkPositiveIntegers(
  action: string,
  values: Readonly<Record<string, number | undefined>>,
): void {
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined || (Number.isSafeInteger(value) && value > 0)) continue;
    throw new RangeError(
      `Cannot ${action} as '${name}' must be a positive integer: current value is ${value}`,
    );
  }
}
