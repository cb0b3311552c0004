/**
 * Which records of one partition are done with, so that an offset is committed only when every
 * record before it is.
 *
 * @module
 */

/** Tracks one partition, for one assignment of it. */
export class OffsetTracker {
  /** Records under way or done behind one that is not, in the order of their offsets. */
  #open = new Map<number, boolean>();
  #next = -1;
  #done = -1;

  /** Takes note of a record; false if it was here before (a rebalance reads on from the last commit). */
  begin(offset: number): boolean {
    if (offset < this.#next) return false;
    this.#next = offset + 1;
    this.#open.set(offset, false);
    return true;
  }

  /** Says that the record is done with. */
  finish(offset: number): void {
    if (!this.#open.has(offset)) return;
    this.#open.set(offset, true);
    for (const [first, done] of this.#open) {
      if (!done) break;
      this.#open.delete(first);
      this.#done = first + 1;
    }
  }

  /** Offset of the first record that is not done with, once there was one; what may be committed. */
  get committable(): number | undefined {
    return this.#done < 0 ? undefined : this.#done;
  }
}
