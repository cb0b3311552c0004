/**
 * What a part runs as: it is killed as a whole, and what it waited for never comes. In one program
 * with the others it is a mark that is looked at before each resumption; as a program of its own it
 * is that program.
 *
 * @module
 */
import type { World } from "../../service/world/world.ts";
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
  /** What takes back that for which it waits; called when it is killed. */
  readonly waits: Set<() => void>;
}

/** Makes a process that is alive. */
export function newLiveProcess(name: string): LiveProcess {
  return { name, isLive: true, life: 0, doom: "none", skewMs: 0, waits: new Set() };
}

/** Ends what a process waits for: it is killed. */
export function takeBackWaits({ waits }: LiveProcess): void {
  for (const takeBack of waits) takeBack();
  waits.clear();
}

/**
 * Waits until `start` resumes, or for ever when the process is killed: then what `start` has returned
 * is called, so that nothing is left of its waiting.
 *
 * @example
 * ```ts
 * yield* waitAs<void>(process, (resume) => {
 *   const timer = world.setTimeout(() => resume(), 1_000);
 *   return () => world.clearTimeout(timer);
 * });
 * ```
 */
export function waitAs<T>(
  process: LiveProcess,
  start: (resume: (value: T) => void, fail: (error: unknown) => void) => () => void,
): Step<T> {
  return waitFor<T>((resume, fail) => {
    const takeBack = start((value) => {
      process.waits.delete(takeBack);
      resume(value);
    }, (error) => {
      process.waits.delete(takeBack);
      fail(error);
    });
    process.waits.add(takeBack);
  });
}

/** Waits for a time, of which nothing is left when the process is killed. */
export function sleepAs(
  process: LiveProcess,
  delayMs: number,
  world: Pick<World, "setTimeout" | "clearTimeout">,
): Step<void> {
  return waitAs<void>(process, (resume) => {
    const timer = world.setTimeout(() => resume(), delayMs);
    return () => world.clearTimeout(timer);
  });
}

/** Where a killed process stays. */
export function forever(): Step<never> {
  return waitFor<never>(() => {});
}
