/**
 * Signups that were offered to this server and not claimed yet, the oldest offer first.
 *
 * @module
 */

/** Holds offers. */
export class Offers {
  /** Those that nobody has taken. */
  readonly #waiting = new Map<string, PromiseWithResolvers<void>>();
  /** Those that are being claimed. */
  readonly #taken = new Map<string, PromiseWithResolvers<void>>();

  /** Holds one; the same again is one. @returns what resolves once it is settled */
  add(id: string): Promise<void> {
    const known = this.#waiting.get(id) ?? this.#taken.get(id);
    if (known !== undefined) return known.promise;
    const offer = Promise.withResolvers<void>();
    this.#waiting.set(id, offer);
    return offer.promise;
  }

  /** Gives up to `max` to somebody who claims them, and then says what came of it. */
  take(max: number): string[] {
    const ids = [...this.#waiting.keys()].slice(0, max);
    for (const id of ids) {
      this.#taken.set(id, this.#waiting.get(id)!);
      this.#waiting.delete(id);
    }
    return ids;
  }

  /** They were claimed, or not to be; with `isDone` false they wait again. */
  settle(ids: readonly string[], isDone: boolean): void {
    for (const id of ids) {
      const offer = this.#taken.get(id)!;
      this.#taken.delete(id);
      if (isDone) offer.resolve();
      else this.#waiting.set(id, offer);
    }
  }
}
