/**
 * The simulator for a page: a run that can be stepped, sought back and forth, looked into, and
 * forked. It is the one module that a page has to import; nothing behind it needs Deno or Node, so it
 * runs in a Web Worker, where it belongs: a run of 10,000 events takes some 50 ms.
 *
 * A run is deterministic, so it is run to its end when it is made, and its whole log is known; a
 * position in it is a number of events. Going back is running again up to there.
 *
 * ```ts
 * const run = createRun({ seed: 7, plant: 14 });
 * run.seek(run.eventAt(1_200));
 * run.snapshot().boxes["outbox-1"];
 * const other = run.fork({ changes: [["fault-2 o1", 0]] });
 * const apart = divergence(run, other);
 * ```
 *
 * @module
 */
import { causalPast, causesOf } from "./causality.ts";
import type { Decision } from "./decisions.ts";
import type { LogEntry } from "./event_loop.ts";
import type { Intervention } from "./interventions.ts";
import type { RunOptions } from "./options.ts";
import { orderStories, type OrderStory } from "./order_story.ts";
import { recordOf, type RunRecord } from "./record.ts";
import { Execution, type RunInput, type RunResult } from "./run.ts";
import { rareEvents } from "./rare_events.ts";
import { type Snapshot, snapshotOf } from "./snapshot.ts";

export type { Decision } from "./decisions.ts";
export type { LogEntry } from "./event_loop.ts";
export { explore, type Explored, type ExploreOptions } from "./explore.ts";
export type { Intervention } from "./interventions.ts";
export type { Violation } from "./invariants.ts";
export type { Change } from "./simulated_table.ts";
export {
  drawOptions,
  faultDirections,
  type FaultKind,
  faultKinds,
  type FaultKnobs,
  type FaultKnobsAtPoints,
  faultPoints,
  type FaultRates,
  isBusPoint,
  isCrash,
  knobsOfKind,
  type RunOptions,
} from "./options.ts";
export { checkOptions } from "./option_bounds.ts";
export type { OrderStory } from "./order_story.ts";
export { inputOf, parseRecord, type RunRecord } from "./record.ts";
export type { Phase, RunResult } from "./run.ts";
export { shrink, type Shrunk, type ValueShrinker } from "./shrink.ts";
export {
  type BoxItem,
  type BoxName,
  boxNames,
  type Counters,
  type FlightState,
  type OutageState,
  type PartState,
  type Snapshot,
} from "./snapshot.ts";
export { type Failure, runJob, type SweepJob, type SweepResult, unreached } from "./sweep_job.ts";
export { explain, type Explanation, type Instant } from "./why.ts";
export { invariantNames, plants } from "../topology/plants.ts";
export type { FaultPoint } from "../topology/ports.ts";

/** What a run of a page follows from. */
export type EngineInput = Pick<
  RunInput,
  "seed" | "plant" | "given" | "replay" | "reroll" | "changes" | "interventions" | "jitter"
>;

/** A choice, and where in the run it was made. */
export interface DecisionAt {
  readonly name: string;
  readonly value: number;
  /** The choice that is not worth a record. */
  readonly usual: number;
  readonly event: number;
  readonly atMs: number;
}

/** A rare path that a run has come to: a `sometimes` check that holds. */
export interface Mark {
  /** Such as `lease-taken`, or `outage@3` for a kind of fault at a point. */
  readonly name: string;
  /** In which event it has happened for the first time. */
  readonly event: number;
  readonly atMs: number;
}

/** How a fork differs from its run. */
export interface ForkOptions {
  /** Choices that are made otherwise, by their names. @default [] */
  readonly changes?: readonly Decision[];
  /** What is done by hand beside what was done already. @default [] */
  readonly interventions?: readonly Intervention[];
  /** Options that are other ones from the beginning on. @default {} */
  readonly given?: Partial<RunOptions>;
}

/** What one step goes to: the next event, the next line of the log, or the next that a message does. */
export type StepBy = "event" | "line" | "message";

/** So far apart are the executions that wait along a run, as long as that are not too many. */
const parkedEvents = 1_000;
const maxParked = 16;

/** Kinds of log entries in which a message moves, or is kept from it. */
const movements = new Set(["publish", "deliver", "acknowledge", "effect", "placed", "parked"]);

/**
 * Makes a run and runs it to its end; its position is the beginning.
 *
 * @example
 * ```ts
 * const run = createRun({ seed: 7, given: { orders: 12 } });
 * while (run.step("message")) draw(run.snapshot());
 * ```
 */
export function createRun(input: EngineInput): SimulatedRun {
  return new SimulatedRun(input);
}

/** A run, and a position in it. */
export class SimulatedRun {
  readonly input: EngineInput;
  readonly result: RunResult;
  /** The whole log. */
  readonly entries: readonly LogEntry[];
  /** Every choice, in the order in which they were made. */
  readonly decisions: readonly DecisionAt[];
  /** Rare paths that it has come to, by when. */
  readonly marks: readonly Mark[];
  readonly #timesUs: readonly number[];
  /** What the position is in. */
  #cursor: Execution;
  /** Others that wait along the run, by their place: so going back need not begin at the beginning. */
  readonly #parked = new Map<number, Execution>();
  #parking: { readonly place: number; readonly execution: Execution } | undefined;
  #causes: readonly (readonly number[])[] | undefined;

  constructor(input: EngineInput) {
    this.input = input;
    const entries: LogEntry[] = [];
    const decisions: DecisionAt[] = [];
    const timesUs = [0];
    const head: { execution?: Execution } = {};
    const whole = new Execution({
      ...input,
      record: true,
      isObserved: true,
      onEvent: (event, atUs) => timesUs[event] = atUs,
      onEntry: (entry) => entries.push(entry),
      onDecision: (name, value, usual) => {
        const loop = head.execution?.world.loop;
        decisions.push({ name, value, usual, event: loop?.count ?? 0, atMs: loop?.nowMs ?? 0 });
      },
    });
    head.execution = whole;
    whole.runToEnd();
    this.#timesUs = timesUs;
    this.result = whole.result();
    this.entries = entries;
    this.decisions = decisions;
    this.marks = [...whole.world.firstReached]
      .filter(([name]) => name.includes("@") || (rareEvents as readonly string[]).includes(name))
      .map(([name, event]) => ({ name, event, atMs: this.timeOf(event) }));
    this.#cursor = this.#beginning();
  }

  /** Events of the whole run. */
  get length(): number {
    return this.result.events;
  }

  /** The position: so many events have run. */
  get event(): number {
    return this.#cursor.world.loop.count;
  }

  /** Virtual time at the position, in milliseconds. */
  get atMs(): number {
    return this.#cursor.world.loop.nowMs;
  }

  /** When an event has run, in milliseconds. */
  timeOf(event: number): number {
    return (this.#timesUs[Math.min(Math.max(0, event), this.length)] ?? 0) / 1_000;
  }

  /** The last event that has run at that time, in milliseconds. */
  eventAt(atMs: number): number {
    const atUs = Math.round(atMs * 1_000);
    let [low, high] = [0, this.length];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#timesUs[middle]! <= atUs) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Goes to a position, forwards or backwards; beyond the end is the end. */
  seek(event: number): void {
    const target = Math.min(Math.max(0, Math.round(event)), this.length);
    const place = Math.max(0, ...[...this.#parked.keys()].filter((one) => one <= target));
    if (target < this.event || place > this.event) {
      this.#cursor = this.#parked.get(place) ?? this.#beginning();
      this.#parked.delete(place);
    }
    this.#cursor.runTo(target);
  }

  /**
   * Makes going anywhere in a long run quick, a little at each call: for when there is nothing else to
   * do. A seek uses up what it begins with. Gives whether there is more to be made.
   *
   * @example
   * ```ts
   * while (run.park()) await idle();
   * ```
   */
  park(): boolean {
    this.#parking ??= this.#nextToPark();
    if (this.#parking === undefined) return false;
    const { place, execution } = this.#parking;
    execution.runTo(Math.min(place, execution.world.loop.count + parkedEvents));
    if (execution.world.loop.count < place) return true;
    this.#parked.set(place, execution);
    this.#parking = this.#nextToPark();
    return this.#parking !== undefined;
  }

  /** Goes one step on, or back; gives whether there was one. */
  step(by: StepBy = "event", direction: 1 | -1 = 1): boolean {
    const target = by === "event" ? this.event + direction : this.#entryFrom(by, direction)?.event;
    if (target === undefined || target < 0 || target > this.length) return false;
    this.seek(target);
    return true;
  }

  /** What there is to see at the position; it can be sent to another thread. */
  snapshot(): Snapshot {
    return snapshotOf(this.#cursor);
  }

  /** What has become of each order up to the position, in words. */
  orders(): readonly OrderStory[] {
    return orderStories(this.entries, this.snapshot());
  }

  /** The place of the first entry that is later than an event. */
  entriesUntil(event: number): number {
    let [low, high] = [0, this.entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.entries[middle]!.event <= event) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The entries that have led to one, itself included, all by their place in {@linkcode SimulatedRun.entries}. */
  causalPast(place: number): readonly number[] {
    this.#causes ??= causesOf(this.entries);
    return causalPast(this.#causes, place);
  }

  /** Another run that differs in something; its position is where this one's is, or its end. */
  fork({ changes = [], interventions = [], given = {} }: ForkOptions): SimulatedRun {
    const names = new Set(changes.map(([name]) => name));
    const kept = (this.input.changes ?? []).filter(([name]) => !names.has(name));
    const atMs = Math.min(
      ...interventions.map((one) => one.kind === "rates" ? one.atMs : Infinity),
    );
    // A record has no faults that were not drawn when it was made: from there on they are.
    const isDrawn = this.input.replay !== undefined && atMs < (this.input.reroll?.atMs ?? Infinity);
    const other = new SimulatedRun({
      ...this.input,
      ...(isDrawn && { reroll: { atMs } }),
      changes: [...kept, ...changes],
      interventions: [...this.input.interventions ?? [], ...interventions],
      given: { ...this.input.given, ...given },
    });
    other.seek(this.event);
    return other;
  }

  /** What `replay`, `shrink` and `why` take. */
  record(): RunRecord {
    return recordOf(this.result, this.input.jitter ?? true);
  }

  #nextToPark() {
    const count = Math.min(maxParked, Math.floor(this.length / parkedEvents));
    for (let index = 1; index <= count; index++) {
      const place = Math.round(this.length * index / (count + 1));
      if (!this.#parked.has(place)) return { place, execution: this.#beginning() };
    }
    return undefined;
  }

  /** A world that is not asked for its log: that is known. */
  #beginning(): Execution {
    return new Execution({ ...this.input, isObserved: true, isHashed: false });
  }

  #entryFrom(by: "line" | "message", direction: 1 | -1): LogEntry | undefined {
    const isWanted = ({ kind }: LogEntry) =>
      by === "line" || movements.has(kind) || kind.startsWith("fault-");
    const here = this.event;
    if (direction === 1) {
      for (let place = this.entriesUntil(here); place < this.entries.length; place++) {
        if (isWanted(this.entries[place]!)) return this.entries[place];
      }
      return undefined;
    }
    for (let place = this.entriesUntil(here - 1) - 1; place >= 0; place--) {
      if (isWanted(this.entries[place]!)) return this.entries[place];
    }
    return undefined;
  }
}

/** Where two runs part: the place of the first entry that differs, and its event in each. */
export interface Divergence {
  readonly place: number;
  /** `undefined` where the run has ended. */
  readonly events: readonly [number | undefined, number | undefined];
}

/** Finds where two runs part; `undefined` if they do not. */
export function divergence(one: SimulatedRun, other: SimulatedRun): Divergence | undefined {
  const length = Math.max(one.entries.length, other.entries.length);
  for (let place = 0; place < length; place++) {
    const [a, b] = [one.entries[place], other.entries[place]];
    if (a !== undefined && b !== undefined && isAlike(a, b)) continue;
    return { place, events: [a?.event, b?.event] };
  }
  return undefined;
}

function isAlike(a: LogEntry, b: LogEntry): boolean {
  return a.atUs === b.atUs && a.kind === b.kind && a.part === b.part && a.subject === b.subject &&
    a.detail === b.detail;
}
