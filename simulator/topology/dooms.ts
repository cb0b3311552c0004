/**
 * Crashes that processes are to have at their commits. Several faults may want one of the same process at once, as it
 * does several things beside each other: the first decides on which side of the next commit it is, and none takes
 * back another's.
 *
 * @module
 */

/** On which side of a commit. */
export type DoomSide = "before-commit" | "after-commit";

/** A process that can be doomed. */
export interface Doomed {
  /** Counted up at each crash: it ends all that was to come. */
  readonly life: number;
  /** Whether it is to crash at its next commit, and on which side of it. */
  doom: "none" | DoomSide;
}

interface Doom {
  readonly side: DoomSide;
  readonly life: number;
}

/** What faults want of processes. */
export class Dooms<P extends Doomed> {
  readonly #ofProcesses = new Map<P, readonly Doom[]>();

  /**
   * Dooms a process to crash at its next commit.
   *
   * @returns takes that back, and nothing else
   *
   * @example
   * ```ts
   * const takeBack = dooms.doom(process, "before-commit");
   * try {
   *   return yield* perform();
   * } finally {
   *   // There was nothing to commit.
   *   takeBack();
   * }
   * ```
   */
  doom(process: P, side: DoomSide): () => void {
    const doom = { side, life: process.life };
    this.#set(process, [...this.#pending(process), doom]);
    return () => this.#set(process, this.#pending(process).filter((one) => one !== doom));
  }

  #pending(process: P): readonly Doom[] {
    const all = this.#ofProcesses.get(process) ?? [];
    return all.filter(({ life }) => life === process.life);
  }

  #set(process: P, pending: readonly Doom[]): void {
    this.#ofProcesses.set(process, pending);
    process.doom = pending[0]?.side ?? "none";
  }
}
