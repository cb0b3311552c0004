/**
 * What is out for a while: points, and processes that reach nothing.
 *
 * @module
 */
import type { FaultPoint } from "../topology/ports.ts";
import type { EventLoop, Process } from "./event_loop.ts";

/** What an outage does: 1 refuses, 2 lets calls time out, 3 lets them through and loses the answers. */
export type OutageMode = 1 | 2 | 3;

/** The same, in words: both ways are cut; the way there; the way back. */
export const outageEffects = { 1: "refuse", 2: "time-out", 3: "lose-answer" } as const;

/** A point that is out. */
export interface Outage {
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly mode: OutageMode;
  /** Calls that have met it. */
  calls: number;
}

/** The outages of a run. */
export class Outages {
  readonly #loop: EventLoop;
  readonly #ofTargets = new Map<FaultPoint | Process, Outage>();

  constructor(loop: EventLoop) {
    this.#loop = loop;
  }

  /** What is out there now. */
  of(target: FaultPoint | Process): Outage | undefined {
    const outage = this.#ofTargets.get(target);
    return outage !== undefined && outage.untilMs > this.#loop.nowMs ? outage : undefined;
  }

  /** All that are now, by what is out. */
  all(): readonly (readonly [FaultPoint | Process, Outage])[] {
    return [...this.#ofTargets].filter(([, { untilMs }]) => untilMs > this.#loop.nowMs);
  }

  /** Something is out for so long; a longer outage that is there stays. Gives the one that is there. */
  cut(target: FaultPoint | Process, mode: OutageMode, durationMs: number): Outage {
    const { nowMs } = this.#loop;
    const untilMs = nowMs + durationMs;
    const before = this.#ofTargets.get(target);
    if (before !== undefined && before.untilMs >= untilMs) return before;
    const outage = { untilMs, mode, sinceMs: nowMs, calls: 0 };
    this.#ofTargets.set(target, outage);
    return outage;
  }

  /** Nothing is out any more. */
  clear(): void {
    this.#ofTargets.clear();
  }
}
