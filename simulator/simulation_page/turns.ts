/**
 * Work that is done one after the other.
 *
 * @module
 */

/**
 * Makes a function that begins each work once the one before has ended.
 *
 * @example
 * ```ts
 * const inTurn = turns();
 * await Promise.all([inTurn(first), inTurn(second)]); // second begins when first has ended
 * ```
 */
export function turns(): <Result>(work: () => Promise<Result>) => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work);
    // What has failed is told to whoever has asked, and keeps nobody else waiting.
    last = mine.catch(() => {});
    return mine;
  };
}
