/**
 * For tests: asking for no more than a status.
 *
 * @module
 */

/**
 * The status of an answer whose body is of no interest, and let go.
 *
 * @example
 * ```ts
 * assert.equal(await statusOf(fetch(`${url}/readyz`)), 503);
 * ```
 */
export async function statusOf(answer: Response | Promise<Response>): Promise<number> {
  const { status, body } = await answer;
  await body?.cancel();
  return status;
}
