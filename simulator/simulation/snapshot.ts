/**
 * A picture of a run at an instant: which parts are up, what is in each box, what is on its way.
 *
 * @module
 */
import type { FaultPoint, Row } from "../topology/ports.ts";
import { orderStage, resultStage, type Stage } from "../topology/settings.ts";
import type { Process } from "./event_loop.ts";
import { outageEffects } from "./outages.ts";
import type { Execution, Phase } from "./run.ts";
import type { SimulatedWorld } from "./simulated_world.ts";

/** A process. */
export interface PartState {
  /** Such as `relay-1.0`: the part, its backend, its instance. */
  readonly name: string;
  readonly state: "up" | "down" | "paused";
  /** How much its clock is ahead, in milliseconds. */
  readonly skewMs: number;
}

/** The boxes that messages lie in, along their way. */
export const boxNames = [
  "outbox-1",
  "orders",
  "inbox-2",
  "outbox-2",
  "results",
  "inbox-1",
] as const;

/** One of {@linkcode boxNames}; `orders` and `results` are topics of the bus. */
export type BoxName = typeof boxNames[number];

/** A message in a box. */
export interface BoxItem {
  /** Such as `o17`, or `r17` for the result of it. */
  readonly message: string;
  readonly key: string;
  /** Its place among the messages of its key. */
  readonly sequence: number;
  /** Whose effect it waits for; `undefined` but in an inbox. */
  readonly consumer: string | undefined;
  /**
   * - `pending`: nobody has it, or not before `untilMs`
   * - `claimed`: somebody works at it; in an inbox until `untilMs`, then another may
   * - `parked`: it has failed too often, and waits for an operator
   */
  readonly state: "pending" | "claimed" | "parked";
  /** Times that it has failed, or been given out. */
  readonly attempts: number;
  readonly untilMs: number | undefined;
}

/** What is on its way over a link. */
export interface FlightState {
  readonly point: FaultPoint;
  /** The message, or the topic that is asked for messages. */
  readonly subject: string;
  /** Who has called. */
  readonly part: string;
  /** See `Flight` of `flights.ts`. */
  readonly phase: "request" | "work" | "delayed" | "silence";
  readonly sinceMs: number;
  /** When the phase will be over: a position between the two times is a position on the link. */
  readonly untilMs: number | undefined;
}

/** Something that is out. */
export interface OutageState {
  /** A point, or the name of a part that reaches nothing. */
  readonly target: FaultPoint | string;
  readonly untilMs: number;
  /** What calls meet: refused at once; no answer, as they do not arrive; no answer, though they do. */
  readonly effect: "refuse" | "time-out" | "lose-answer";
}

/** Numbers of a run so far. */
export interface Counters {
  /** Orders that are stored. */
  readonly placed: number;
  /** Messages that the bus has accepted, copies too. */
  readonly sent: number;
  /** Effects that were had. */
  readonly applied: number;
  /** Calls, publications and deliveries that were not the first for what they were about. */
  readonly retried: number;
  /** Messages that were known already when they came. */
  readonly duplicatesDropped: number;
  /** Rows that wait for an operator. */
  readonly deadLettered: number;
  /** Effects that are to come and are carried by a box or the bus. */
  readonly inFlight: number;
  /** Effects that are to come and are nowhere. */
  readonly lost: number;
}

/** A picture of a run. */
export interface Snapshot {
  /** Events that have run. */
  readonly event: number;
  readonly atMs: number;
  readonly phase: Phase;
  readonly parts: readonly PartState[];
  readonly boxes: Readonly<Record<BoxName, readonly BoxItem[]>>;
  readonly flights: readonly FlightState[];
  readonly outages: readonly OutageState[];
  readonly counters: Counters;
}

/** Takes a picture; it can be sent to another thread. */
export function snapshotOf({ world, phase }: Execution): Snapshot {
  const { loop, links } = world;
  const boxes = boxesOf(world);
  return {
    event: loop.count,
    atMs: loop.nowMs,
    phase,
    parts: world.processes().map((process) => ({
      name: process.name,
      state: stateOf(process, loop.nowUs),
      skewMs: process.skewMs,
    })),
    boxes,
    flights: links.flights().map(({ point, subject, process, phase, sinceMs, untilMs }) => ({
      ...{ point, subject, part: process.name, phase, sinceMs, untilMs },
    })),
    outages: links.outages().map(([target, { untilMs, mode }]) => ({
      target: typeof target === "number" ? target : target.name,
      untilMs,
      effect: outageEffects[mode],
    })),
    counters: countersOf(world, boxes),
  };
}

function stateOf(process: Process, nowUs: number): PartState["state"] {
  if (!process.isLive) return "down";
  return process.pausedUntilUs > nowUs ? "paused" : "up";
}

function boxesOf(world: SimulatedWorld): Snapshot["boxes"] {
  const [first, second] = world.backends;
  const outbox = (store: typeof first) =>
    ["shard-0", "shard-1"].flatMap((queue) => store.find("outbox", queue).map(itemOf)).sort(
      byPlace,
    );
  const inbox = (store: typeof first) =>
    ["open", "parked"].flatMap((queue) => store.find("inbox", queue).map(itemOf));
  return {
    "outbox-1": outbox(first),
    "orders": topicOf(world, orderStage),
    "inbox-2": inbox(second),
    "outbox-2": outbox(second),
    "results": topicOf(world, resultStage),
    "inbox-1": inbox(first),
  };
}

function byPlace(a: BoxItem, b: BoxItem): number {
  return a.sequence - b.sequence || (a.message < b.message ? -1 : 1);
}

function topicOf(world: SimulatedWorld, { topic }: Stage): BoxItem[] {
  return world.bus.contents(topic).map((
    { message: { id, key, sequence }, attempt, state, untilMs },
  ) => ({
    ...{ message: id, key, sequence, consumer: undefined, attempts: attempt, untilMs },
    state: state === "given" ? "claimed" : "pending",
  }));
}

function itemOf(row: Row): BoxItem {
  const state = row["state"] as BoxItem["state"];
  const untilMs = (state === "claimed" ? row["untilMs"] : row["nextAtMs"]) as number | undefined;
  return {
    message: row["messageId"] as string,
    key: row["key"] as string,
    sequence: row["sequence"] as number,
    consumer: row["consumer"] as string | undefined,
    state,
    attempts: row["attempts"] as number,
    untilMs: untilMs === 0 || state === "parked" ? undefined : untilMs,
  };
}

function countersOf(world: SimulatedWorld, boxes: Snapshot["boxes"]): Counters {
  const { reached, invariants } = world;
  const count = (...events: string[]) =>
    events.reduce((sum, event) => sum + (reached.get(event) ?? 0), 0);
  const inboxes = [...boxes["inbox-1"], ...boxes["inbox-2"]];
  const carried = new Set(inboxes.map(({ message, consumer }) => `${consumer}/${message}`));
  const travelling = new Set(
    [...boxes["outbox-1"], ...boxes.orders, ...boxes["outbox-2"], ...boxes.results]
      .map(({ message }) => message),
  );
  // Patterns without an outbox have it in hand only.
  for (const { point, subject } of world.links.flights()) {
    if (point === 2 || point === 6) travelling.add(subject);
  }
  const missing = invariants.missing();
  const lost =
    missing.filter(({ consumer, id }) => !carried.has(`${consumer}/${id}`) && !travelling.has(id))
      .length;
  return {
    placed: invariants.placed,
    sent: count("publish"),
    applied: invariants.applied,
    retried: count("place-again", "not-sent", "not-taken-in", "redelivered"),
    duplicatesDropped: count("duplicate", "forgotten-dup"),
    deadLettered: inboxes.filter(({ state }) => state === "parked").length,
    inFlight: missing.length - lost,
    lost,
  };
}
