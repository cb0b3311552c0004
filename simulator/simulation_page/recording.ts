/**
 * A whole run, written down event by event, so that a page can show any instant of it without
 * running it again. Made in a worker by the same code that sweeps seeds on the command line.
 *
 * @module
 */
import type { Decision } from "../simulation/decisions.ts";
import type { EventLoop } from "../simulation/event_loop.ts";
import type { Violation } from "../simulation/invariants.ts";
import {
  drawOptions,
  type FaultKind,
  faultKinds,
  faultPoints,
  type FaultRates,
  type RunOptions,
} from "../simulation/options.ts";
import { type RunInput, type RunResult, runSimulation } from "../simulation/run.ts";
import type { Change } from "../simulation/simulated_store.ts";
import type { WorldWatcher } from "../simulation/simulated_world.ts";
import type { FaultPoint, Row } from "../topology/ports.ts";
import type { Pattern } from "../topology/settings.ts";

/** What a run follows from: small enough to be a link. */
export interface RunDefinition {
  readonly seed: number;
  /** The number of the planted bug; 0 is none. */
  readonly plant: number;
  /** What is not drawn from the seed. */
  readonly given: Partial<RunOptions>;
  /** Whether how long things take varies. */
  readonly jitter: boolean;
  /** The choices that are not the usual ones. @default drawn from the seed */
  readonly decisions?: readonly Decision[];
}

/** What a row of a store has become: no `after` is a removal, no `before` a new row. */
export interface RowChange {
  readonly store: 1 | 2;
  readonly table: string;
  readonly id: number;
  readonly before: Row | undefined;
  readonly after: Row | undefined;
}

/** One thing that happened. */
export interface RunEvent {
  /** Its place in the run, from 0. */
  readonly index: number;
  readonly atUs: number;
  /** The log's word for it, or `call` and `answer` for the two ends of a call over a link. */
  readonly kind: string;
  /** Such as `relay-1.0`. */
  readonly part: string;
  /** A message, a shard, a part, or nothing. */
  readonly subject: string;
  readonly detail: string;
  /** What a commit has changed. */
  readonly changes?: readonly RowChange[];
  /** The number of the call that a `call` begins and an `answer` ends. */
  readonly call?: number;
  readonly point?: FaultPoint;
}

/** A choice that can be made differently: whether a call fails. */
export interface Choice {
  /** As records name it, such as `fault-2 o17 #3`. */
  readonly name: string;
  readonly point: FaultPoint;
  readonly subject: string;
  readonly part: string;
  /** The event of the call. */
  readonly event: number;
}

/** A whole run. */
export interface Recording {
  /** With every decision: what replays this very run. */
  readonly definition: RunDefinition & { readonly decisions: readonly Decision[] };
  readonly options: RunOptions;
  readonly events: readonly RunEvent[];
  /** Choices by the number of their call. */
  readonly choices: ReadonlyMap<number, Choice>;
  /** Names of all parts, in the order of the topology. */
  readonly parts: readonly string[];
  readonly verdict: RunResult["verdict"];
  readonly violations: readonly Violation[];
  readonly hash: string;
  /** Events of the event loop, of which the log shows those that mean something. */
  readonly steps: number;
  readonly endUs: number;
}

/** Every kind at every point: in a replay it is the record alone that decides. */
const everyKind: FaultRates = Object.fromEntries(
  faultPoints.map((point) => [
    point,
    Object.fromEntries(faultKinds.map((kind) => [kind, 0.01])),
  ]),
);

/** Runs a definition and writes everything down. */
export function recordRun(definition: RunDefinition): Recording {
  const { seed, plant, given, jitter } = definition;
  const drawn = definition.decisions === undefined
    ? runSimulation({ seed, plant, given, jitter, record: true })
    : undefined;
  return replayAndWatch(definition, drawn?.decisions ?? definition.decisions!);
}

/**
 * A run whose past stays as it was, while from an instant on faults are drawn with other rates: what
 * flipping a switch does.
 */
export function changeRates(recording: Recording, atUs: number, faults: FaultRates): Recording {
  const { definition } = recording;
  const given = { ...definition.given, faults };
  const { decisions } = runSimulation({
    seed: definition.seed,
    plant: definition.plant,
    given,
    jitter: definition.jitter,
    replay: definition.decisions,
    reroll: { atMs: atUs / 1_000 },
    record: true,
  });
  return replayAndWatch({ ...definition, given }, decisions);
}

/** The same run with one choice made differently: what a fork does. */
export function forkRun(recording: Recording, change: readonly Decision[]): Recording {
  const { definition } = recording;
  const changed = new Set(change.map(([name]) => name));
  const decisions = [
    ...definition.decisions.filter(([name]) => !changed.has(name)),
    ...change.filter(([, value]) => value !== 0),
  ];
  return replayAndWatch(definition, decisions);
}

/** The same run, in which a part crashes at an instant, beside what crashes anyway. */
export function crashPart(recording: Recording, part: string, atUs: number): Recording {
  const { definition, options, parts } = recording;
  const crashes = options.crashes + 1;
  const place = crashable(parts).indexOf(part);
  if (place < 0) throw new RangeError(`'${part}' cannot crash`);
  return replayAndWatch({ ...definition, given: { ...definition.given, crashes } }, [
    ...definition.decisions,
    [`crash-who ${crashes}`, place],
    // At 0 there would be no crash.
    [`crash-at ${crashes}`, Math.max(0.001, atUs / 1_000)],
  ]);
}

/**
 * The same orders under the same decisions by another pattern. A part that the pattern does not have
 * crashes as the one that does its work.
 */
export function withPattern(recording: Recording, pattern: Pattern): Recording {
  const { definition, options, parts } = recording;
  const [before, after] = [crashable(parts), crashable(partsOf({ ...options, pattern }))];
  const decisions = definition.decisions.map(([name, value]): Decision => {
    if (!name.startsWith("crash-who ") && !name.startsWith("pause-who ")) return [name, value];
    const part = before[value]!;
    const stand = after.includes(part)
      ? part
      : part.startsWith("relay-1")
      ? "backend-1.0"
      : "processor-2.0";
    return [name, Math.max(0, after.indexOf(stand))];
  });
  return replayAndWatch({ ...definition, given: { ...definition.given, pattern } }, decisions);
}

/** How a fault is written into a record: its own choice, and how long it lasts. */
export function faultDecisions(
  choice: Choice,
  kind: FaultKind | "none",
  durationMs: number,
): Decision[] {
  if (kind === "none") return [[choice.name, 0]];
  const decisions: Decision[] = [[choice.name, faultKinds.indexOf(kind) + 1]];
  const isLong = kind === "delay" || kind === "duplicate" || kind === "reorder" ||
    kind === "outage";
  if (isLong) decisions.push([`${kind}-ms ${choice.point}/${choice.subject}`, durationMs]);
  return decisions;
}

function replayAndWatch(
  definition: RunDefinition,
  replay: readonly Decision[],
): Recording {
  const { seed, plant, given, jitter } = definition;
  const writer = new RecordingWriter();
  const input: RunInput = {
    seed,
    plant,
    given: { ...given, faults: everyKind },
    jitter,
    replay,
    onDecision: (name) => writer.decided(name),
    watch: (loop) => {
      writer.loop = loop;
      return writer;
    },
  };
  const result = runSimulation(input);
  // What was asked for, in place of what a replay needs.
  const options = drawOptions({ seed, given });
  return {
    definition: { ...definition, decisions: result.decisions },
    options,
    events: writer.events,
    choices: writer.choices,
    parts: partsOf(options),
    verdict: result.verdict,
    violations: result.violations,
    hash: result.hash,
    steps: result.events,
    endUs: Math.round(result.virtualMs * 1_000),
  };
}

/** Names of all parts in the order in which a world makes them, which records count by. */
export function partsOf(options: RunOptions): string[] {
  const { apis, relays, lambdas, processors, pattern } = options;
  const many = (count: number, name: string) =>
    Array.from({ length: count }, (_, index) => `${name}.${index}`);
  const stage = (from: 1 | 2, to: 1 | 2) => [
    ...many(pattern === "outbox" ? relays : 0, `relay-${from}`),
    ...many(lambdas, `lambda-${to}`),
    ...many(processors, `processor-${to}`),
    ...many(1, `janitor-${from}`),
  ];
  return ["frontend", ...many(apis, "backend-1"), ...stage(1, 2), ...stage(2, 1)];
}

function crashable(parts: readonly string[]): string[] {
  return parts.filter((part) => part !== "frontend");
}

class RecordingWriter implements WorldWatcher {
  readonly events: RunEvent[] = [];
  readonly choices = new Map<number, Choice>();
  loop: () => EventLoop = () => {
    throw new Error("The run has not begun");
  };
  /** Where each call that is under way has begun. */
  readonly #begun = new Map<number, RunEvent>();
  #deciding = 0;

  logged(kind: string, part: string, subject: string, detail: string): void {
    this.#add({ kind, part, subject, detail });
  }

  committed(store: string, changes: readonly Change[], part: string): void {
    const last = this.events.at(-1)!;
    if (last.kind !== "commit" || last.part !== part) throw new Error("A commit was not logged");
    const number = store === "store-1" ? 1 : 2;
    this.events[last.index] = {
      ...last,
      changes: changes.map(({ table, id, before, after }): RowChange => ({
        store: number,
        table,
        id,
        before,
        after,
      })),
    };
  }

  called(call: number, point: FaultPoint, subject: string, part: string): void {
    this.#begun.set(call, this.#add({ kind: "call", part, subject, detail: "", call, point }));
  }

  decides(call: number): void {
    this.#deciding = call;
  }

  /** The name of a choice; those about calls follow {@linkcode RecordingWriter.decides}. */
  decided(name: string): void {
    if (!name.startsWith("fault-") || this.#deciding === 0) return;
    const { point, subject, part, index } = this.#begun.get(this.#deciding)!;
    const choice = { name, point: point!, subject, part, event: index };
    this.choices.set(this.#deciding, choice);
    this.#deciding = 0;
  }

  answered(call: number, outcome: "done" | "failed"): void {
    const { point, subject, part } = this.#begun.get(call)!;
    this.#begun.delete(call);
    this.#add({ kind: "answer", part, subject, detail: outcome, call, point: point! });
  }

  #add(event: Omit<RunEvent, "index" | "atUs">): RunEvent {
    const whole = { index: this.events.length, atUs: this.loop().nowUs, ...event };
    this.events.push(whole);
    return whole;
  }
}
