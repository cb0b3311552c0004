/**
 * Reading of a box no more than is needed: what waits in it may be thousands of rows, and a turn takes a
 * handful of them.
 *
 * What cannot be taken yet (its key waits, is parked, is with another instance) may fill whatever part
 * of the box is read. So now and then more is read, until enough is found or all has been looked at: no key
 * starves behind others. Each time it is read from the beginning, as rows of one statement are of one instant; of
 * a second one that goes on behind the first, a key's later row could be without an earlier one that has been
 * committed in between.
 *
 * @module
 */
import type { Clock, Row } from "./ports.ts";
import type { Settings } from "./settings.ts";
import type { Step } from "./step.ts";

/** How many rows are read at least, by what a turn takes: some of the oldest are with another instance, or wait. */
const fewestPerBatch = 4;

/** How much more is read where what was read was not enough. */
const growth = 4;

/** What is to be known of rows that have been read. */
export interface Judgement<T> {
  /** How many of them can be taken now. */
  readonly takeable: (found: T) => number;
  /** Whether no more are needed, although there are more. */
  readonly isEnough: (found: T) => boolean;
}

/** Reads the oldest rows of one box, turn after turn. */
export class OldestRows {
  readonly #clock: Clock;
  readonly #pollMs: number;
  /** How many rows are read where nothing is in the way. */
  readonly #fewest: number;
  /** How many have been found to be worth reading. */
  #limit: number;
  /** When it was tried last to read more. */
  #triedAtMs = -Infinity;

  constructor(clock: Clock, { batch, pollMs }: Pick<Settings, "batch" | "pollMs">) {
    this.#clock = clock;
    this.#pollMs = pollMs;
    this.#fewest = this.#limit = batch * fewestPerBatch;
  }

  /**
   * Reads as many rows as are needed. Whether more can be taken behind those that are read is tried once in a
   * poll's time; if so, as many are read until the next trial.
   *
   * @param read reads so many at most
   * @returns what was read, and the limit that it was read with
   *
   * @example
   * ```ts
   * const takeable = ({ rows, nowMs }: Snapshot) => rows.filter((row) => isDue(row, nowMs)).length;
   * const { found } = yield* box.read(
   *   (limit) => store.read("outbox", { queue }, { limit }),
   *   { takeable, isEnough: (found) => takeable(found) >= batch },
   * );
   * ```
   */
  *read<T extends { readonly rows: readonly Row[] }>(
    read: (limit: number) => Step<T>,
    { takeable, isEnough }: Judgement<T>,
  ): Step<{ readonly found: T; readonly limit: number }> {
    const nowMs = this.#clock.nowMs();
    // Set back, a clock must not put the next trial off.
    const isTrial = Math.abs(nowMs - this.#triedAtMs) >= this.#pollMs;
    let limit = isTrial ? this.#fewest : this.#limit;
    let best = { found: yield* read(limit), limit };
    const isLast = (found: T) => found.rows.length < limit || isEnough(found);
    if (!isTrial) return best;
    for (let { found } = best; !isLast(found);) {
      this.#triedAtMs = nowMs;
      limit *= growth;
      found = yield* read(limit);
      if (takeable(found) > takeable(best.found)) best = { found, limit };
    }
    this.#limit = best.limit;
    return best;
  }
}
