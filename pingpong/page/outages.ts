/**
 * Times without any answer: a ping that is lost costs itself, an outage everything. Told apart from
 * loss, as nearly nothing is sent while there is no connection, and so nearly nothing is lost.
 *
 * @module
 */

/** A time without any answer, milliseconds since the epoch. */
export interface Outage {
  readonly fromMs: number;
  readonly toMs: number;
}

/** So long without an answer is an outage: no single ping may take longer. */
export const silentAfterMs = 2_500;

/** Outages kept with their times; all are counted. */
const maxKept = 100;

/**
 * Notices outages, from the last answer before to the first one after.
 *
 * @example
 * ```ts
 * const outages = new Outages();
 * outages.answered(1_000);
 * outages.look(9_000, { resting: false });
 * outages.figures(9_000); // { count: 1, totalMs: 8_000, current: { fromMs: 1_000, toMs: 9_000 } }
 * ```
 */
export class Outages {
  #count = 0;
  #endedMs = 0;
  #kept: Outage[] = [];
  /** The last moment at which all was well; undefined before the first answer. */
  #goodMs: number | undefined;
  /** Since when there is one. */
  #fromMs: number | undefined;

  /** An answer has come, in whichever mode. */
  answered(atMs: number): void {
    if (this.#fromMs !== undefined) {
      this.#endedMs += atMs - this.#fromMs;
      this.#kept.push({ fromMs: this.#fromMs, toMs: atMs });
      if (this.#kept.length > maxKept) this.#kept.shift();
      this.#fromMs = undefined;
    }
    this.#goodMs = atMs;
  }

  /** The connection is known to be gone. */
  lost(): void {
    if (this.#fromMs === undefined && this.#goodMs !== undefined) this.#begin(this.#goodMs);
  }

  /**
   * To be called now and then.
   *
   * @param resting nothing is sent, as the page is paused or hidden: silence says nothing
   */
  look(atMs: number, { resting }: { resting: boolean }): void {
    if (this.#fromMs !== undefined || this.#goodMs === undefined) return;
    if (resting) this.#goodMs = atMs;
    else if (atMs - this.#goodMs > silentAfterMs) this.#begin(this.#goodMs);
  }

  #begin(fromMs: number): void {
    this.#fromMs = fromMs;
    this.#count++;
  }

  /** How many there were, how long in sum, and the one that is not over. */
  figures(nowMs: number): { count: number; totalMs: number; current: Outage | undefined } {
    const current = this.#fromMs === undefined
      ? undefined
      : { fromMs: this.#fromMs, toMs: Math.max(nowMs, this.#fromMs) };
    const totalMs = this.#endedMs + (current === undefined ? 0 : current.toMs - current.fromMs);
    return { count: this.#count, totalMs, current };
  }

  /** The latest of them, the oldest first, with the one that is not over. */
  since(fromMs: number, nowMs: number): Outage[] {
    const { current } = this.figures(nowMs);
    return [...this.#kept, ...current === undefined ? [] : [current]]
      .filter(({ toMs }) => toMs >= fromMs);
  }
}
