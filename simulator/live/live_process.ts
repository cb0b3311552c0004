/**
 * What a part runs as: it is killed as a whole, and what it waited for never comes. In one program
 * with the others it is a mark that is looked at before each resumption; as a program of its own it
 * is that program.
 *
 * @module
 */
import { type Step, waitFor } from "../topology/step.ts";

/** A part's process. */
export interface LiveProcess {
  /** Such as `relay-1.0`. */
  readonly name: string;
  isLive: boolean;
  /** Counted up at each kill: what an earlier life has begun does not reach the next. */
  life: number;
  /** Whether it is to crash at its next commit, and on which side of it. */
  doom: "none" | "before-commit" | "after-commit";
  /** How much its clock is ahead, in milliseconds. */
  skewMs: number;
}

/** Makes a process that is alive. */
export function newLiveProcess(name: string): LiveProcess {
  return { name, isLive: true, life: 0, doom: "none", skewMs: 0 };
}

/** Where a killed process stays. */
export function forever(): Step<never> {
  return waitFor<never>(() => {});
}
