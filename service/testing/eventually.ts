/**
 * For tests: awaiting a condition, not a time.
 *
 * @module
 */

/**
 * Looks again and again until there is something to see.
 *
 * @param what names it in the error
 * @param look gives `undefined` as long as it is not there; what it throws ends the waiting
 * @throws {Error} it was not there within `timeoutMs`, 60 s unless given
 */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 60_000,
): Promise<T> {
  const giveUp = AbortSignal.timeout(timeoutMs);
  while (!giveUp.aborted) {
    const seen = await look();
    if (seen !== undefined) return seen;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what} was not seen within ${timeoutMs} ms`);
}
