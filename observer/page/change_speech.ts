/**
 * What came and went in a store, for who hears the page: a sentence at most every ten seconds, and none
 * when nothing changed.
 *
 * @module
 */
import { formatCounted } from "../../service/page/format.ts";

/** The least time from one sentence to the next, in milliseconds. */
const pauseMs = 10_000;

/** Changes of one observation. */
export interface ObservedChanges {
  /** Which store. */
  readonly store: string;
  /** When it was observed, milliseconds since the epoch. */
  readonly atMs: number;
  readonly added: number;
  readonly removed: number;
}

/** Puts changes together until it is time to say them. */
export class ChangeSpeech {
  #last: { store: string; atMs: number } | undefined;
  #added = 0;
  #removed = 0;
  #saidMs = -Infinity;

  /**
   * Takes what is shown, which may be the same observation again.
   *
   * @returns what is to be said now, if anything is
   */
  take({ store, atMs, added, removed }: ObservedChanges): string | undefined {
    const isFirst = this.#last?.store !== store;
    if (!isFirst && this.#last!.atMs === atMs) return undefined;
    this.#last = { store, atMs };
    if (isFirst) {
      // A person has just come to it, and reads what it shows.
      [this.#added, this.#removed] = [0, 0];
      return undefined;
    }
    this.#added += added;
    this.#removed += removed;
    if (this.#added + this.#removed === 0 || atMs - this.#saidMs < pauseMs) return undefined;
    const sentence = [
      ...this.#added > 0 ? [`${formatCounted(this.#added, "image")} came`] : [],
      ...this.#removed > 0 ? [`${formatCounted(this.#removed, "image")} went`] : [],
    ].join(", ");
    [this.#added, this.#removed, this.#saidMs] = [0, 0, atMs];
    return sentence;
  }
}
