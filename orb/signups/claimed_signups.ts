/**
 * Signups that a server has claimed and not begun: so many ahead that its workers need not wait for
 * the store.
 *
 * A claim costs a transaction, and its share of time is the same for one signup and for sixty. A
 * server that claims only for those who are idle decides no more than that number in two transactions,
 * while each of them takes in as many as devices send: on a slow disk the queue grows. One that claims
 * many has what others could do. So it claims as many ahead as it began from one claim's answer to the
 * next one's.
 *
 * @module
 */
import type { SignupRecord } from "./signup_record.ts";

/** The most that are claimed and not begun. */
export const maxClaimedAhead = 64;

interface Claimed {
  readonly record: SignupRecord;
  /** Before its lease began. */
  readonly claimedAtMs: number;
}

/** The signups, oldest first, and how many there should be. */
export class ClaimedSignups {
  #signups: Claimed[] = [];
  #ahead = 0;
  /** Since the last claim was answered. */
  #begun = 0;

  /** Signups that are claimed and not begun. */
  get size(): number {
    return this.#signups.length;
  }

  /** How many more to claim, for so many workers that are idle. */
  wanted(idle: number): number {
    return Math.min(maxClaimedAhead, idle + this.#ahead) - this.size;
  }

  /** Claims, and adds what it is given. @returns how many there were */
  async fill(
    claim: () => Promise<SignupRecord[]>,
    nowMs: () => number,
  ): Promise<number> {
    const claimedAtMs = nowMs();
    const records = await claim();
    // Who was left with nothing could have begun more: nobody knows how many.
    this.#ahead = this.size > 0 ? this.#begun : 2 * this.#begun;
    this.#begun = 0;
    this.#signups.push(...records.map((record) => ({ record, claimedAtMs })));
    return records.length;
  }

  /**
   * Takes the next one to begin.
   *
   * @param staleMs those that were claimed before that have no time left: they are given to `release`
   */
  begin(staleMs: number, release: (record: SignupRecord) => void): SignupRecord | undefined {
    for (let next = this.#signups.shift(); next !== undefined; next = this.#signups.shift()) {
      if (next.claimedAtMs >= staleMs) {
        this.#begun++;
        return next.record;
      }
      release(next.record);
    }
    return undefined;
  }

  /** Takes all. */
  takeAll(): SignupRecord[] {
    return this.#signups.splice(0).map(({ record }) => record);
  }
}
