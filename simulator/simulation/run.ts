/**
 * One run: safety under faults, then healing and draining, then the verdict.
 *
 * @module
 */
import type { InvariantName } from "../topology/plants.ts";
import { withoutAmbient } from "./ambient_guard.ts";
import { type Decision, Decisions, seededDraw } from "./decisions.ts";
import type { Violation } from "./invariants.ts";
import { drawOptions, recoveryMsOf, type RunOptions } from "./options.ts";
import { SimulatedWorld } from "./simulated_world.ts";

/** What a run follows from. */
export interface RunInput {
  readonly seed: number;
  /** The bug that is planted. @default 0, none */
  readonly plant?: number;
  /** What is not drawn from the seed. @default everything is drawn */
  readonly given?: Partial<RunOptions>;
  /** Decides by this record instead of by drawing. @default draws from the seed */
  readonly replay?: readonly Decision[];
  /** From that time on, decides by drawing from another seed after all. @default never */
  readonly reroll?: { readonly atMs: number; readonly seed: number };
  /** Notified of the name of each choice, in a replay. @default nobody is */
  readonly onDecision?: (name: string) => void;
  /** Writes down what is decided. @default false */
  readonly record?: boolean;
  /** Whether how long things take varies, and parts have chance. @default true */
  readonly jitter?: boolean;
  /** Takes each line of the log. @default they are hashed only */
  readonly onLine?: (line: string) => void;
  /** Stops once that is broken. @default goes on to the end */
  readonly stopAt?: InvariantName;
}

/** How a run has ended. */
export interface RunResult {
  readonly seed: number;
  readonly plant: number;
  readonly options: RunOptions;
  /** `unknown`: it was stopped before everything could be judged. */
  readonly verdict: "true" | "false" | "unknown";
  readonly violations: readonly Violation[];
  readonly decisions: readonly Decision[];
  /** SHA-256 of the event log, in hex. */
  readonly hash: string;
  readonly events: number;
  readonly lines: number;
  readonly virtualMs: number;
  readonly reached: ReadonlyMap<string, number>;
}

/**
 * Runs a simulation.
 *
 * @example
 * ```ts
 * const { verdict, hash } = runSimulation({ seed: 7 });
 * ```
 */
export function runSimulation(input: RunInput): RunResult {
  const { seed, plant = 0, given = {}, record = false, replay, jitter = true, onLine } = input;
  const options = drawOptions({ seed, given });
  const { reroll } = input;
  const isOpen = () =>
    reroll !== undefined && world !== undefined && world.loop.nowMs >= reroll.atMs;
  const decisions = new Decisions({
    seed: reroll?.seed ?? seed,
    record,
    isOpen,
    ...(replay && { replay }),
    ...(input.onDecision && { onDecision: input.onDecision }),
  });
  let world: SimulatedWorld | undefined;
  return withoutAmbient(() => {
    const usual = jitter ? seededDraw(seed, "jitter") : () => 0.5;
    const other = seededDraw(reroll?.seed ?? seed, "jitter");
    const draw = reroll === undefined ? usual : () => isOpen() ? other() : usual();
    world = new SimulatedWorld({
      options,
      plant,
      decisions,
      jitter: jitter || reroll !== undefined ? draw : undefined,
      ...(onLine && { onLine }),
    });
    const isStopped = runPhases(world, options, input.stopAt);
    const { violations } = world.invariants;
    return {
      seed,
      plant,
      options,
      verdict: violations.length > 0 ? "false" : isStopped ? "unknown" : "true",
      violations,
      decisions: decisions.record,
      hash: world.loop.digest(),
      events: world.loop.count,
      lines: world.loop.lines,
      virtualMs: world.loop.nowMs,
      reached: world.reached,
    };
  });
}

/** Gives whether it was stopped before the end. */
function runPhases(
  world: SimulatedWorld,
  options: RunOptions,
  stopAt: InvariantName | undefined,
): boolean {
  const { loop, invariants } = world;
  const recoveryMs = recoveryMsOf(options);
  const isStopped = () =>
    stopAt !== undefined && invariants.violations.some(({ invariant }) => invariant === stopAt);
  const isDone = () => isStopped() || world.isAtRest();
  loop.runUntil(options.arrivalMs + options.faultMaxMs, isDone);
  if (isStopped()) return true;
  world.heal();
  loop.runUntil(loop.nowMs + recoveryMs, isDone);
  if (isStopped()) return true;
  invariants.judgeProgress();
  if (isStopped()) return true;
  world.mend();
  // Redriving is an event by itself: rest is judged after it.
  loop.runUntil(loop.nowMs + 100, isStopped);
  loop.runUntil(loop.nowMs + recoveryMs, isDone);
  if (isStopped()) return true;
  invariants.judgeEnd();
  return false;
}
