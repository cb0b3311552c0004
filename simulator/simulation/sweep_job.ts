/**
 * Some seeds, in this thread: what each worker of a sweep does, here and in a page.
 *
 * @module
 */
import type { Violation } from "./invariants.ts";
import { faultKinds, faultPoints, type RunOptions } from "./options.ts";
import { withoutAmbient } from "./ambient_guard.ts";
import { runSimulation } from "./run.ts";
import { rareEvents } from "./rare_events.ts";

/** A seed that fails. */
export interface Failure {
  readonly seed: number;
  readonly violations: readonly Violation[];
}

/** What a sweep, or a part of it, has found. */
export interface SweepResult {
  seeds: number;
  failures: Failure[];
  events: number;
  lines: number;
  virtualMs: number;
  /** How often each rare event was reached. */
  reached: Record<string, number>;
}

/** What a worker is asked for. */
export interface SweepJob {
  readonly seeds: readonly number[];
  readonly plant: number;
  readonly given: Partial<RunOptions>;
  readonly isSwarm?: boolean;
}

/** Runs the seeds of a job, in this thread. */
export function runJob(job: SweepJob): SweepResult {
  return withoutAmbient(() => runSeeds(job));
}

function runSeeds({ seeds, plant, given, isSwarm = true }: SweepJob): SweepResult {
  const result = emptyResult();
  for (const seed of seeds) {
    const run = runSimulation({ seed, plant, given, isSwarm, isHashed: false });
    if (run.verdict === "unknown") {
      throw new Error(`Seed ${seed} has not come to its end after ${run.events} events`);
    }
    result.seeds++;
    result.events += run.events;
    result.lines += run.lines;
    result.virtualMs += run.virtualMs;
    if (run.violations.length > 0) result.failures.push({ seed, violations: run.violations });
    for (const [event, count] of run.reached) {
      result.reached[event] = (result.reached[event] ?? 0) + count;
    }
  }
  return result;
}

/** Rare paths that no seed has come to: what a sweep has not tried. */
export function unreached({ reached }: SweepResult): string[] {
  const wanted: string[] = [...rareEvents];
  for (const point of faultPoints) wanted.push(...faultKinds.map((kind) => `${kind}@${point}`));
  return wanted.filter((event) => reached[event] === undefined);
}

/** What nothing has found yet. */
export function emptyResult(): SweepResult {
  return { seeds: 0, failures: [], events: 0, lines: 0, virtualMs: 0, reached: {} };
}

/** Adds what another part has found. */
export function merge(whole: SweepResult, part: SweepResult): void {
  whole.seeds += part.seeds;
  whole.events += part.events;
  whole.lines += part.lines;
  whole.virtualMs += part.virtualMs;
  whole.failures.push(...part.failures);
  for (const [event, count] of Object.entries(part.reached)) {
    whole.reached[event] = (whole.reached[event] ?? 0) + count;
  }
}
