/**
 * One run: safety under faults, then healing and draining, then the verdict.
 *
 * @module
 */
import type { InvariantName } from "../topology/plants.ts";
import { withoutAmbient } from "./ambient_guard.ts";
import { type Decision, Decisions, type Draw, seededDraw } from "./decisions.ts";
import type { LogEntry } from "./event_loop.ts";
import type { Intervention } from "./interventions.ts";
import type { Violation } from "./invariants.ts";
import { drawOptions, recoveryMsOf, type RunOptions } from "./options.ts";
import type { RunWatch } from "./run_watch.ts";
import { SimulatedWorld } from "./simulated_world.ts";

/** What a run follows from. */
export interface RunInput {
  readonly seed: number;
  /** The bug that is planted. @default 0, none */
  readonly plant?: number;
  /** What is not drawn from the seed. @default everything is drawn */
  readonly given?: Partial<RunOptions>;
  /** Whether each kind of trouble is absent in half of the seeds. @default true */
  readonly isSwarm?: boolean;
  /** Decides by this record instead of by drawing. @default draws from the seed */
  readonly replay?: readonly Decision[];
  /**
   * From that time on, decides by drawing after all: from another seed, or, where none is named, from
   * the run's own, with the variance that the run would have had. @default never
   */
  readonly reroll?: { readonly atMs: number; readonly seed?: number };
  /** Decides these so, whatever the record or the draw says. @default {} */
  readonly changes?: readonly Decision[];
  /** What is done to it by hand. @default nothing is */
  readonly interventions?: readonly Intervention[];
  /** Notified of each choice. @default nobody is */
  readonly onDecision?: (name: string, value: number, usual: number) => void;
  /** Writes down what is decided. @default false */
  readonly record?: boolean;
  /** Whether how long things take varies, and parts have chance. @default true */
  readonly jitter?: boolean;
  /** Takes each line of the log. @default they are hashed only */
  readonly onLine?: (line: string) => void;
  /** Takes each line of the log, taken apart. @default they are hashed only */
  readonly onEntry?: (entry: LogEntry) => void;
  /** Takes what the log does not have: calls with their ends, and faults of handlers. @default nobody does */
  readonly onWatched?: RunWatch;
  /** Notified after each event. @default nobody is */
  readonly onEvent?: (event: number, atUs: number) => void;
  /** Whether the log is hashed: where nobody asks for the hash, a run is faster without. @default true */
  readonly isHashed?: boolean;
  /** Keeps what is on its way, for a picture of the run. @default false */
  readonly isObserved?: boolean;
  /** Stops once that is broken. @default goes on to the end */
  readonly stopAt?: InvariantName;
  /** Stops after so many events, judged or not: an endless loop of no duration never ends. @default 20_000_000 */
  readonly maxEvents?: number;
}

/** How a run has ended. */
export interface RunResult {
  readonly seed: number;
  readonly plant: number;
  readonly options: RunOptions;
  /** `unknown`: it was stopped by {@linkcode RunInput.maxEvents} before everything could be judged. */
  readonly verdict: "true" | "false" | "unknown";
  readonly violations: readonly Violation[];
  readonly decisions: readonly Decision[];
  /** What was done to it by hand. */
  readonly interventions: readonly Intervention[];
  /** SHA-256 of the event log, in hex; empty if it was not hashed. */
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
  // Not before some have run: by then the kinds of objects are as general as they become.
  if (++runs === 25) halfway.push(...[1, 2, 3, 4].map(runHalfway));
  const execution = new Execution(input);
  execution.runToEnd();
  return execution.result();
}

let runs = 0;

/**
 * Runs that stay in their middle. The engine drops compiled code as soon as its collector has found no object any more of
 * a kind that the code was made for, and between two runs there is none of most kinds. (Measured: of 50 functions each
 * time, and a sweep took a quarter longer.)
 */
const halfway: Execution[] = [];

function runHalfway(seed: number): Execution {
  const run = new Execution({ seed, isHashed: false });
  run.runTo(1_500);
  return run;
}

/** Where a run is: under faults; healed; redriven, which is an event by itself; drained; at its end. */
export type Phase = "faults" | "healing" | "redriving" | "draining" | "over";

/** More than any run takes. */
const defaultMaxEvents = 20_000_000;

/** A run that goes on as far as it is told. */
export class Execution {
  readonly world: SimulatedWorld;
  readonly options: RunOptions;
  readonly #input: RunInput;
  readonly #decisions: Decisions;
  readonly #recoveryMs: number;
  #phase: Phase = "faults";
  #untilMs: number;
  #isNewPhase = true;

  constructor(input: RunInput) {
    const { seed, plant = 0, given = {}, isSwarm = true } = input;
    const { interventions = [], isObserved = false } = input;
    this.#input = input;
    this.options = drawOptions({ seed, given, isSwarm });
    const { arrivalMs, idleMs, faultMaxMs } = this.options;
    this.#untilMs = arrivalMs + idleMs + faultMaxMs;
    this.#decisions = this.#newDecisions();
    this.world = withoutAmbient(() =>
      new SimulatedWorld({
        options: this.options,
        plant,
        decisions: this.#decisions,
        jitterOf: this.#jitterOf(),
        interventions,
        isObserved: isObserved || input.onWatched !== undefined,
        ...(input.onWatched && { onWatched: input.onWatched }),
        isHashed: input.isHashed ?? true,
        ...(input.onLine && { onLine: input.onLine }),
        ...(input.onEntry && { onEntry: input.onEntry }),
      })
    );
    this.#recoveryMs = recoveryMsOf(this.options, this.world.poisonedAtLambdas);
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Runs until so many events have run, or to the end. */
  runTo(event: number): void {
    if (this.#phase === "over" || this.world.loop.count >= event) return;
    withoutAmbient(() => this.#runTo(event));
  }

  /** To its end, or as far as it may go. */
  runToEnd(): void {
    this.runTo(this.#input.maxEvents ?? defaultMaxEvents);
  }

  /** How it has ended, or what is known where it was stopped. It cannot go on after that. */
  result(): RunResult {
    const { world: { loop, invariants: { violations }, reached }, options } = this;
    const { seed, plant = 0, interventions = [], isHashed = true } = this.#input;
    return {
      seed,
      plant,
      options,
      verdict: violations.length > 0 ? "false" : this.#phase === "over" ? "true" : "unknown",
      violations,
      decisions: this.#decisions.record,
      interventions,
      hash: isHashed ? loop.digest() : "",
      events: loop.count,
      lines: loop.lines,
      virtualMs: loop.nowMs,
      reached,
    };
  }

  #runTo(event: number): void {
    const { loop } = this.world;
    const { onEvent } = this.#input;
    while (this.#phase !== "over" && loop.count < event) {
      if (this.#isBroken()) this.#phase = "over";
      else if (this.#phase !== "redriving" && this.#isDone()) this.#endPhase();
      else if (!loop.step(this.#untilMs)) {
        loop.advanceTo(this.#untilMs);
        this.#endPhase();
      }
      onEvent?.(loop.count, loop.nowUs);
    }
  }

  /** Whether waiting for longer would change nothing. */
  #isDone(): boolean {
    const { world } = this;
    if (!this.#isNewPhase && !world.takeChange()) return false;
    this.#isNewPhase = false;
    return world.isAtRest() || this.#phase !== "draining" && world.isStuck();
  }

  #isBroken(): boolean {
    const { stopAt } = this.#input;
    if (stopAt === undefined) return false;
    return this.world.invariants.violations.some(({ invariant }) => invariant === stopAt);
  }

  /** What comes between two phases counts as an event. */
  #endPhase(): void {
    const { loop, invariants } = this.world;
    loop.count++;
    this.#isNewPhase = true;
    switch (this.#phase) {
      case "faults":
        this.world.heal();
        this.#phase = "healing";
        this.#untilMs = loop.nowMs + this.#recoveryMs;
        break;
      case "healing":
        invariants.judgeProgress();
        if (this.#isBroken()) break;
        this.world.mend();
        this.#phase = "redriving";
        this.#untilMs = loop.nowMs + 100;
        break;
      case "redriving":
        this.#phase = "draining";
        this.#untilMs = loop.nowMs + this.#recoveryMs;
        break;
      case "draining":
        invariants.judgeEnd();
        this.#phase = "over";
    }
  }

  #newDecisions(): Decisions {
    const { seed, record = false, replay, changes = [], onDecision, reroll } = this.#input;
    return new Decisions({
      seed: reroll?.seed ?? seed,
      record,
      changes,
      isOpen: () => this.#isOpen(),
      ...(replay && { replay }),
      ...(onDecision && { onDecision }),
    });
  }

  /** Whether the future is drawn anew from now on. Nothing is, while the world is being made. */
  #isOpen(): boolean {
    const { reroll } = this.#input;
    return reroll !== undefined && this.world !== undefined &&
      this.world.loop.nowMs >= reroll.atMs;
  }

  #jitterOf(): ((part: string) => Draw) | undefined {
    const { seed, jitter = true, reroll } = this.#input;
    if (!jitter && reroll?.seed === undefined) return undefined;
    return (part) => {
      const usual = jitter ? seededDraw(seed, `jitter ${part}`) : () => 0.5;
      if (reroll?.seed === undefined) return usual;
      const other = seededDraw(reroll.seed, `jitter ${part}`);
      return () => this.#isOpen() ? other() : usual();
    };
  }
}
