/**
 * Waiting for a change of a word that two threads share.
 *
 * A notification alone says nothing: who changed a word may be held up before it notifies, while the
 * other has seen the change, gone on, and waits for the next one. Then it is woken by the one before,
 * and would take its own question for the answer.
 *
 * @module
 */

/** Blocks while the word is `value`. */
export function waitWhile(
  words: Int32Array<SharedArrayBuffer>,
  index: number,
  value: number,
): void {
  while (Atomics.load(words, index) === value) Atomics.wait(words, index, value);
}

/** Resolves once the word is no longer `value`. */
export async function waitWhileAsync(
  words: Int32Array<SharedArrayBuffer>,
  index: number,
  value: number,
): Promise<void> {
  while (Atomics.load(words, index) === value) {
    await Atomics.waitAsync(words, index, value).value;
  }
}
