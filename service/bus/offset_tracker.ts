/**
 * Which records of one partition are done with, so that an offset is committed only when every
 * record before it is.
 *
 * @module
 */

/**
 * Tracks one partition, for one assignment of it. What it remembers is bounded by the records under
 * way, however many are done with behind one that is not.
 */
export class OffsetTracker {
  /** Records under way in the order of their offsets, each with the end of the record before it. */
  #open = new Map<number, number | undefined>();
  /** End of the last record that was begun. */
  #end: number | undefined;

  /** Takes note of a record; false if it was here before (a rebalance reads on from the last commit). */
  begin(offset: number): boolean {
    if (this.#end !== undefined && offset < this.#end) return false;
    this.#open.set(offset, this.#end);
    this.#end = offset + 1;
    return true;
  }

  /** Takes note that the record is done with. */
  finish(offset: number): void {
    this.#open.delete(offset);
  }

  /** Offset of the first record that is not done with, once there was one; what may be committed. */
  get committable(): number | undefined {
    for (const endOfLastDone of this.#open.values()) return endOfLastDone;
    return this.#end;
  }
}
