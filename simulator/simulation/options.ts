/**
 * What a run is set to: drawn from its seed (swarm testing), unless it is given.
 *
 * @module
 */
import type { FaultPoint } from "../topology/ports.ts";
import type { Ordering, Pattern } from "../topology/settings.ts";
import { type Draw, logUniform, seededDraw } from "./decisions.ts";
import type { StoreProfile } from "./simulated_store.ts";

/** How a call over a link can fail, at each of the eight points. */
export const faultKinds = [
  "refuse",
  "time-out",
  "lose-answer",
  "delay",
  "duplicate",
  "reorder",
  "crash-before",
  "crash-after",
  "outage",
] as const;

/** One of {@linkcode faultKinds}. */
export type FaultKind = typeof faultKinds[number];

/** The eight points of the contract. */
export const faultPoints: readonly FaultPoint[] = [1, 2, 3, 4, 5, 6, 7, 8];

/** Probabilities by point and kind; what is absent never happens. */
export type FaultRates = Readonly<
  Partial<Record<FaultPoint, Readonly<Partial<Record<FaultKind, number>>>>>
>;

/** Which way is affected: what is asked, its answer, or both. */
export const faultDirections = ["both", "there", "back"] as const;

/** How a kind of fault is at a point, beside how likely it is. All durations in milliseconds. */
export interface FaultKnobs {
  /**
   * Once it has hit, every call at the point is hit for so long; who crashes is down for at least so
   * long. @default a call at a time; outages and crashes last as drawn
   */
  readonly minDurationMs?: number;
  /** Of `delay`, `duplicate` and `reorder`: how late. @default as drawn */
  readonly delayMs?: number;
  /**
   * Of `time-out`, `delay` and `outage`: `there` does not arrive, of `back` the answer does not.
   * @default on the way there; of an outage as drawn
   */
  readonly direction?: typeof faultDirections[number];
}

/** Knobs by point and kind. */
export type FaultKnobsAtPoints = Readonly<
  Partial<Record<FaultPoint, Readonly<Partial<Record<FaultKind, FaultKnobs>>>>>
>;

/** Which of its knobs each kind of fault has. */
export const knobsOfKind: Readonly<Record<FaultKind, readonly (keyof FaultKnobs)[]>> = {
  "refuse": ["minDurationMs"],
  "time-out": ["minDurationMs", "direction"],
  "lose-answer": ["minDurationMs"],
  "delay": ["minDurationMs", "delayMs", "direction"],
  "duplicate": ["minDurationMs", "delayMs"],
  "reorder": ["minDurationMs", "delayMs"],
  "crash-before": ["minDurationMs"],
  "crash-after": ["minDurationMs"],
  "outage": ["minDurationMs", "direction"],
};

/** Everything a run is set to. All durations in milliseconds. */
export interface RunOptions {
  readonly pattern: Pattern;
  readonly ordering: Ordering;
  readonly profile: StoreProfile;
  readonly orders: number;
  readonly keys: number;
  /** Each order's key, the first one's first. @default one of the keys in turn */
  readonly orderKeys?: readonly string[];
  /** Instances of backend 1's side to its clients. */
  readonly apis: number;
  readonly relays: number;
  readonly lambdas: number;
  readonly processors: number;
  readonly shards: number;
  readonly batch: number;
  /** Orders arrive over this time. */
  readonly arrivalMs: number;
  /** So many orders arrive at once. */
  readonly burst: number;
  readonly leaseMs: number;
  readonly busLeaseMs: number;
  readonly pollMs: number;
  readonly backoffBaseMs: number;
  readonly backoffCapMs: number;
  readonly maxAttempts: number;
  readonly windowMs: number;
  /** After it, a call over a link has timed out. */
  readonly timeoutMs: number;
  readonly linkMs: number;
  readonly statementMs: number;
  readonly commitMs: number;
  readonly workMs: number;
  /** Messages that the bus takes in before it is full. */
  readonly capacity: number;
  readonly faults: FaultRates;
  /** How faults are, beside how likely. @default all of it is drawn */
  readonly faultKnobs?: FaultKnobsAtPoints;
  /** The longest that a fault lasts. */
  readonly faultMaxMs: number;
  /** Crashes of parts beside those of {@linkcode RunOptions.faults}. */
  readonly crashes: number;
  /** Times at which a part is starved. */
  readonly pauses: number;
  /** Times at which a part gets a little time now and then, and none in between. */
  readonly starvations: number;
  /** Times at which several points and parts are cut, to heal in another order. */
  readonly swizzles: number;
  /** Crashes of a store. */
  readonly storeCrashes: number;
  /** Times at which a store takes nothing in. */
  readonly storeFulls: number;
  /** Times at which somebody locks rows by hand. */
  readonly sessions: number;
  /** For so long nothing arrives, in the middle. */
  readonly idleMs: number;
  /** The most that a part's clock is off. */
  readonly skewMs: number;
  /** How many of the messages their handler fails at, until somebody mends it. */
  readonly poison: number;
  /** How many of the messages take their handler longer than the lease. */
  readonly slow: number;
  /** How many of the messages their lambda fails at, until somebody mends it. */
  readonly lambdaPoison: number;
  /** How many of the messages take their lambda longer than the lease of the bus. */
  readonly lambdaSlow: number;
  /** How many commits stall, so that others, which have begun later, come before them; of `mvcc` only. */
  readonly stalls: number;
}

/** No trouble beside the faults of calls. */
export const noTrouble = {
  ...{ crashes: 0, pauses: 0, starvations: 0, swizzles: 0, storeCrashes: 0, storeFulls: 0 },
  ...{ sessions: 0, idleMs: 0, skewMs: 0, poison: 0, slow: 0, lambdaPoison: 0, lambdaSlow: 0 },
  stalls: 0,
} as const satisfies Partial<RunOptions>;

/** Options of {@linkcode drawOptions}. */
export interface DrawOptions {
  readonly seed: number;
  /** What is not drawn. @default everything is drawn */
  readonly given?: Partial<RunOptions>;
  /** Whether each kind of fault and of other trouble is absent in half of the seeds, or in none. @default true */
  readonly isSwarm?: boolean;
}

/**
 * Draws what a run is set to. Each kind of fault is absent in half of the seeds, as what is left out
 * finds more than what is put in (Groce, swarm testing, 2012).
 */
export function drawOptions({ seed, given = {}, isSwarm = true }: DrawOptions): RunOptions {
  const draw = seededDraw(seed, "options");
  const isHere = (draw: Draw) => draw() >= 0.5 || !isSwarm;
  const windowMs = Math.round(logUniform(draw, 1_000, 8_000));
  const ordering = pick(draw, ["queue", "sequence"] as const);
  const drawn: RunOptions = {
    pattern: "outbox",
    ordering,
    profile: pick(draw, ["one-writer", "mvcc"] as const),
    orders: 40,
    keys: pick(draw, [1, 2, 4, 8]),
    apis: pick(draw, [1, 2, 3]),
    relays: pick(draw, [1, 2, 3]),
    lambdas: pick(draw, [1, 2, 3]),
    processors: pick(draw, [1, 2, 3]),
    shards: pick(draw, [1, 2]),
    batch: pick(draw, [2, 4, 16]),
    burst: pick(draw, [1, 4, 20]),
    arrivalMs: Math.round(logUniform(draw, 500, 8_000)),
    leaseMs: Math.round(logUniform(draw, 300, 2_000)),
    busLeaseMs: Math.round(logUniform(draw, 300, 2_000)),
    pollMs: Math.round(logUniform(draw, 100, 1_500)),
    backoffBaseMs: Math.round(logUniform(draw, 20, 200)),
    backoffCapMs: Math.round(logUniform(draw, 200, 1_000)),
    maxAttempts: pick(draw, [2, 3, 5]),
    windowMs,
    timeoutMs: Math.round(logUniform(draw, 100, 600)),
    linkMs: round3(logUniform(draw, 0.2, 5)),
    statementMs: round3(logUniform(draw, 0.1, 0.8)),
    commitMs: round3(logUniform(draw, 0.2, 20)),
    workMs: round3(logUniform(draw, 0.5, 5)),
    capacity: draw() < 0.5 ? pick(draw, [4, 16]) : 100_000,
    faults: drawFaults(seededDraw(seed, "faults"), isHere),
    faultMaxMs: 2 * windowMs,
    crashes: isHere(draw) ? 1 + Math.floor(draw() * 5) : 0,
    pauses: isHere(draw) ? 1 + Math.floor(draw() * 4) : 0,
    starvations: isHere(draw) ? 1 + Math.floor(draw() * 2) : 0,
    swizzles: isHere(draw) ? 1 + Math.floor(draw() * 2) : 0,
    storeCrashes: isHere(draw) ? 1 + Math.floor(draw() * 2) : 0,
    storeFulls: isHere(draw) ? 1 + Math.floor(draw() * 2) : 0,
    sessions: isHere(draw) ? 1 + Math.floor(draw() * 4) : 0,
    idleMs: isHere(draw) ? Math.round(logUniform(draw, 100, 2 * windowMs)) : 0,
    skewMs: isHere(draw) ? Math.round(logUniform(draw, 10, 10_000)) : 0,
    poison: isHere(draw) ? round3(logUniform(draw, 0.01, 0.2)) : 0,
    slow: isHere(draw) ? round3(logUniform(draw, 0.01, 0.2)) : 0,
    lambdaPoison: isHere(draw) ? round3(logUniform(draw, 0.01, 0.1)) : 0,
    lambdaSlow: isHere(draw) ? round3(logUniform(draw, 0.01, 0.1)) : 0,
    stalls: isHere(draw) ? round3(logUniform(draw, 0.02, 0.3)) : 0,
  };
  const options = { ...drawn, ...given };
  return options.ordering === "queue"
    ? { ...options, faults: withoutReorder(options.faults) }
    : options;
}

/**
 * How long everything may take after the last fault. It is the sum of what each of the two stages may
 * wait for once, of the work, as if all of it were done by one after the other, and of the times at
 * which a bus of little room is full:
 *
 * - A lease that a dead owner holds, that of whoever takes over and dies, one for each of relay and
 *   processor; a lambda that outlasts its lease of the bus, at most by as long again, and then the lease
 *   of what it has got beside; the back-offs that relay, lambda and processor have come to; a poll of
 *   relay and processor, as wake-ups are hints.
 * - Orders × what one costs: three effects, each with its share of claims, marks and calls, as if no
 *   batch ever held two. How long something takes varies up to half as much again.
 * - When all is full, a relay has to try again for each `capacity` messages. It waits for its first
 *   back-off, and then at most as long again as the bus had needed to get room, as each back-off is twice
 *   the one before: that is work, and counts twice.
 * - What a lambda fails at is given out `maxAttempts` times, a back-off apart, before it is parked; where
 *   queues keep the order, or are full, others wait for it.
 *
 * @param poisoned messages that lambdas fail at
 */
export function recoveryMsOf(options: RunOptions, poisoned = 0): number {
  const { leaseMs, busLeaseMs, backoffCapMs, backoffBaseMs, pollMs } = options;
  const { workMs, statementMs, commitMs, linkMs, orders, capacity, maxAttempts } = options;
  const waitsMs = 4 * leaseMs + 3 * busLeaseMs + 3 * backoffCapMs + 2 * pollMs;
  const effectMs = 1.5 * (workMs + 12 * statementMs + 4 * commitMs + 4 * linkMs);
  const timesFull = Math.ceil(orders / capacity) - 1;
  const fullMs = timesFull * (backoffBaseMs + capacity * effectMs);
  const poisonMs = poisoned * maxAttempts * backoffCapMs;
  return 2 * (waitsMs + fullMs) + 3 * effectMs * orders + poisonMs;
}

/**
 * Calls that a message may cost for each second that it has to wait: once back-offs have come to their cap,
 * one after each, which by its variance is at least half of the cap. Until then, and where relays take over
 * from each other, there are more; that is 5 at most.
 */
export function callsPerSecondOf({ backoffCapMs }: RunOptions): number {
  return Math.max(5, 1_000 / (0.5 * backoffCapMs));
}

function drawFaults(draw: Draw, isHere: (draw: Draw) => boolean): FaultRates {
  const absent = new Set(faultKinds.filter(() => !isHere(draw)));
  const rates: Partial<Record<FaultPoint, Partial<Record<FaultKind, number>>>> = {};
  for (const point of faultPoints) {
    const here: Partial<Record<FaultKind, number>> = {};
    for (const kind of faultKinds) {
      const rate = round3(logUniform(draw, 0.002, isLong(kind) ? 0.02 : 0.2));
      const isAtPoint = draw() < 0.7;
      if (isAtPoint && !absent.has(kind)) here[kind] = rate;
    }
    rates[point] = here;
  }
  return rates;
}

function isLong(kind: FaultKind): boolean {
  return kind === "outage" || isCrash(kind);
}

/** Whether a kind makes a part crash. */
export function isCrash(kind: FaultKind): boolean {
  return kind === "crash-before" || kind === "crash-after";
}

function withoutReorder(rates: FaultRates): FaultRates {
  return Object.fromEntries(
    faultPoints.map((point) => [point, allowedRates("queue", point, rates[point] ?? {})]),
  );
}

/** Queues that keep the order do not reorder: that is what they promise. */
export function allowedRates(
  ordering: Ordering,
  point: FaultPoint,
  rates: Readonly<Partial<Record<FaultKind, number>>>,
): Readonly<Partial<Record<FaultKind, number>>> {
  const { reorder: _, ...others } = rates;
  return ordering === "queue" && isBusPoint(point) ? others : rates;
}

/** Whether calls at that point go to the bus; the others end in a store. */
export function isBusPoint(point: FaultPoint): boolean {
  return point === 2 || point === 3 || point === 6 || point === 7;
}

function pick<T>(draw: Draw, from: readonly T[]): T {
  return from[Math.floor(draw() * from.length)]!;
}

function round3(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
