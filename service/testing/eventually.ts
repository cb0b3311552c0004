/**
 * For tests: awaiting a condition, not a time.
 *
 * @module
 */

/**
 * Asks again and again, 10 ms after each answer, until there is one.
 *
 * @param what names it in the error
 * @param poll gives `undefined` as long as it is not there; what it throws ends the waiting
 * @param timeoutMs the longest wait, in milliseconds
 * @throws {Error} it was not there within that time
 *
 * @example
 * ```ts
 * const port = await eventually("its port", () => program.lines[0]?.match(/port (\d+)/)?.[1]);
 * ```
 */
export async function eventually<T>(
  what: string,
  poll: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 60_000,
): Promise<T> {
  const giveUp = AbortSignal.timeout(timeoutMs);
  while (!giveUp.aborted) {
    const answer = await poll();
    if (answer !== undefined) return answer;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`${what} was not seen within ${timeoutMs} ms`);
}
