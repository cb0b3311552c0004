/**
 * Faults at the eight points: a link that refuses, times out, loses answers, delays, repeats, brings
 * out of order, lets its end crash, or is out for a while.
 *
 * @module
 */
import { Dooms } from "../topology/dooms.ts";
import { errorWord, type FaultPoint, type Link, LinkError } from "../topology/ports.ts";
import { leaf, type LeafKind, type Step } from "../topology/step.ts";
import { type Decisions, type Draw, logUniform } from "./decisions.ts";
import { type EventLoop, forever, newProcess, type Process } from "./event_loop.ts";
import { FaultChances } from "./fault_chances.ts";
import { type Flight, Flights } from "./flights.ts";
import {
  type FaultKind,
  faultKinds,
  type FaultKnobs,
  type FaultKnobsAtPoints,
  faultPoints,
  type FaultRates,
  isBusPoint,
} from "./options.ts";
import { type Outage, type OutageMode, Outages } from "./outages.ts";
import type { EndedCall } from "./run_watch.ts";

/** Options of {@linkcode FaultyLinks}. */
export interface FaultyLinksOptions {
  readonly rates: FaultRates;
  /** @default all of it is drawn */
  readonly knobs?: FaultKnobsAtPoints | undefined;
  /** The longest that a delay or an outage lasts, in milliseconds. */
  readonly faultMaxMs: number;
  /** After it, whoever calls gives up, in milliseconds. */
  readonly timeoutMs: number;
  /** How long the next call is under way, in milliseconds. */
  readonly linkMs: (process: Process) => number;
  /** Whether {@linkcode FaultyLinks.flights} are kept. */
  readonly isObserved: boolean;
  /** Notified of each call that has ended, if calls are observed. @default nobody is */
  readonly onCallEnd?: (call: EndedCall) => void;
  readonly crash: (process: Process) => void;
  /** Who crashes when a call of this process at that point does. @default the caller */
  readonly victimOf: (point: FaultPoint, caller: Process, subject: string) => Process;
  /** Notified of each call before it is made. */
  readonly onCall: (point: FaultPoint, subject: string) => void;
  /** Notified of each call that meets an outage. */
  readonly onOutage: (point: FaultPoint, outage: Outage) => void;
  /** Notified of each fault. */
  readonly onFault: (kind: FaultKind, point: FaultPoint, subject: string, process: Process) => void;
}

/** An outage by the way that is cut. */
const modes = { both: 1, there: 2, back: 3 } as const;

/** Which way is affected, as it stands in a record; what is usual is 0. */
const ways = { there: 0, back: 1, both: 2 } as const;

/** Made once: an error's stack would cost more than the call. */
const refused = new LinkError("refused", "It cannot be reached");
const timedOut = new LinkError("timeout", "No answer in time");

const faultNames = ["", ...faultPoints.map((point) => `fault-${point}`)];

/** All links of a run. */
export class FaultyLinks {
  readonly #loop: EventLoop;
  readonly #decisions: Decisions;
  readonly #options: FaultyLinksOptions;
  readonly #chances: Record<FaultPoint, FaultChances>;
  readonly #outages: Outages;
  readonly #reorderMs = new Map<Process, number>();
  /** How long who is about to crash is down, at least. */
  readonly #minDownMs = new Map<Process, number>();
  readonly #flights: Flights | undefined;
  readonly #dooms = new Dooms<Process>();
  readonly #network = newProcess("network");
  #isHealed = false;

  constructor(loop: EventLoop, decisions: Decisions, options: FaultyLinksOptions) {
    this.#loop = loop;
    this.#decisions = decisions;
    this.#options = options;
    this.#flights = options.isObserved ? new Flights(loop, options.onCallEnd) : undefined;
    this.#outages = new Outages(loop);
    // Each point has its own, also where nothing is likely: they remember what has hit by hand or by a record.
    const { rates, knobs } = options;
    this.#chances = Object.fromEntries(
      faultPoints.map((point) => [point, new FaultChances(rates[point] ?? {}, knobs?.[point])]),
    ) as Record<FaultPoint, FaultChances>;
  }

  /** The link as a process sees it. */
  connect(process: Process): Link {
    const flights = this.#flights;
    if (flights !== undefined) {
      return {
        call: (point, subject, perform, trace) =>
          this.#observed(flights, process, point, subject, perform, trace),
      };
    }
    return { call: (point, subject, perform) => this.#call(process, point, subject, perform) };
  }

  /** From now on, calls at that point fail so. */
  setRates(
    point: FaultPoint,
    rates: Readonly<Partial<Record<FaultKind, number>>>,
    knobs?: Readonly<Partial<Record<FaultKind, FaultKnobs>>>,
  ): void {
    this.#chances[point] = new FaultChances(rates, knobs);
  }

  /** Calls that are under way; none unless they are observed. */
  flights(): readonly Flight[] {
    return this.#flights?.underWay() ?? [];
  }

  /** Calls of a process that has crashed end where they are. */
  abandon(process: Process): void {
    this.#flights?.abandon(process);
  }

  /** Cuts a point, or all that a process calls, for so long; a longer cut that is there stays. */
  cut(target: FaultPoint | Process, mode: OutageMode, durationMs: number): void {
    if (!this.#isHealed) this.#outages.cut(target, mode, durationMs);
  }

  /** What is out now, by point, or by the process that reaches nothing. */
  outages(): readonly (readonly [FaultPoint | Process, Outage])[] {
    return this.#outages.all();
  }

  /** From now on no call fails by itself. */
  heal(): void {
    this.#isHealed = true;
    this.#outages.clear();
  }

  /** What the bus has to put off, for it to be overtaken. */
  takeReorderMs(process: Process): number {
    const delayMs = this.#reorderMs.get(process) ?? 0;
    if (delayMs > 0) this.#reorderMs.delete(process);
    return delayMs;
  }

  /** How long a process that crashes is down, at least. */
  takeMinDownMs(process: Process): number {
    const minDownMs = this.#minDownMs.get(process) ?? 0;
    this.#minDownMs.delete(process);
    return minDownMs;
  }

  *#observed<T>(
    flights: Flights,
    process: Process,
    point: FaultPoint,
    subject: string,
    perform: () => Step<T>,
    trace: string | undefined,
  ): Step<T> {
    const flight = flights.depart({ process, point, subject, trace, isLate: false });
    try {
      const result = yield* this.#call(process, point, subject, perform, flight);
      flights.end(flight);
      return result;
    } catch (error) {
      flights.end(flight, errorWord(error));
      throw error;
    }
  }

  #call<T>(
    process: Process,
    point: FaultPoint,
    subject: string,
    perform: () => Step<T>,
    flight?: Flight,
  ): Step<T> {
    const call = { links: this, process, point, subject, perform, flight };
    return leaf<Call, unknown>(calling, call) as Step<T>;
  }

  /** A call is on its way. */
  request({ process, point, subject, flight }: Call, resume: () => void): void {
    this.#options.onCall(point, subject);
    const linkMs = this.#options.linkMs(process);
    this.#flights?.enter(flight, "request", linkMs);
    this.#loop.after(linkMs, resume, process);
  }

  /** A call has come to where it goes: gives what becomes of it there. */
  perform({ process, point, subject, perform, flight }: Call): Step<unknown> {
    this.#flights?.enter(flight, "work");
    const outage = this.#outages.of(point) ?? this.#outages.of(process);
    if (outage !== undefined) {
      this.#options.onOutage(point, outage);
      this.#flights?.hit(flight, "outage");
      return this.#duringOutage(process, outage, perform, flight);
    }
    const kind = this.#choose(point, subject);
    if (kind === undefined) return perform();
    this.#options.onFault(kind, point, subject, process);
    this.#flights?.hit(flight, kind);
    return this.#fail(kind, process, point, subject, perform, flight);
  }

  /** Asked at each call, also where nothing can be drawn: a record or somebody at a page may say otherwise. */
  #choose(point: FaultPoint, subject: string): FaultKind | undefined {
    if (this.#isHealed) return undefined;
    const chances = this.#chances[point];
    const { nowMs } = this.#loop;
    const index = this.#decisions.decide(faultNames[point]!, subject, chances.chooserAt(nowMs));
    if (index === 0) return undefined;
    const kind = faultKinds[index - 1]!;
    chances.hit(kind, nowMs);
    return kind;
  }

  #knobs(point: FaultPoint, kind: FaultKind): FaultKnobs {
    return this.#chances[point].knobsOf(kind);
  }

  *#fail<T>(
    kind: FaultKind,
    process: Process,
    point: FaultPoint,
    subject: string,
    perform: () => Step<T>,
    flight: Flight | undefined,
  ): Step<T> {
    switch (kind) {
      case "refuse":
        throw refused;
      case "time-out":
        if (this.#way(kind, point, subject) === ways.back) yield* perform();
        return yield* this.#timeOut(process, flight);
      case "lose-answer":
        yield* perform();
        return yield* this.#timeOut(process, flight);
      case "delay":
        return yield* this.#delay(process, point, subject, perform, flight);
      case "duplicate": {
        const lateMs = this.#duration(kind, point, subject);
        this.#performLate(process, point, subject, lateMs, perform);
        return yield* perform();
      }
      case "reorder": {
        const longestMs = this.#options.timeoutMs / 2;
        const delayMs = Math.min(longestMs, this.#duration(kind, point, subject));
        if (isBusPoint(point)) this.#reorderMs.set(process, delayMs);
        else {
          this.#flights?.enter(flight, "delayed", delayMs);
          yield* this.#loop.sleep(delayMs, process);
        }
        return yield* perform();
      }
      case "crash-before":
      case "crash-after":
        return yield* this.#crashAt(kind, process, point, subject, perform);
      case "outage": {
        const mode = this.#outageMode(point, subject);
        const outage = this.#outages.cut(point, mode, this.#duration(kind, point, subject));
        return yield* this.#duringOutage(process, outage, perform, flight);
      }
    }
  }

  *#crashAt<T>(
    kind: "crash-before" | "crash-after",
    process: Process,
    point: FaultPoint,
    subject: string,
    perform: () => Step<T>,
  ): Step<T> {
    const { crash, victimOf } = this.#options;
    const victim = victimOf(point, process, subject);
    const { minDurationMs } = this.#knobs(point, kind);
    if (minDurationMs !== undefined) this.#minDownMs.set(victim, minDurationMs);
    if (!isBusPoint(point)) {
      // Where there is a transaction, it is its commit that the crash comes before or after. A crash that was drawn
      // comes: where this call has nothing to commit, at the next commit of its process.
      this.#dooms.doom(victim, kind === "crash-before" ? "before-commit" : "after-commit");
      return yield* perform();
    }
    if (kind === "crash-before") crash(victim);
    if (!process.isLive) return yield* forever();
    const result = yield* perform();
    if (kind === "crash-after") crash(victim);
    // Once all is healed, nobody crashes any more.
    return process.isLive ? result : yield* forever();
  }

  /** On the way there, on the way back, or half of it on each. */
  *#delay<T>(
    process: Process,
    point: FaultPoint,
    subject: string,
    perform: () => Step<T>,
    flight: Flight | undefined,
  ): Step<T> {
    const { timeoutMs } = this.#options;
    const delayMs = this.#duration("delay", point, subject);
    const way = this.#way("delay", point, subject);
    const thereMs = way === ways.back ? 0 : way === ways.both ? delayMs / 2 : delayMs;
    if (thereMs >= timeoutMs) {
      this.#performLate(process, point, subject, thereMs, perform);
      return yield* this.#timeOut(process, flight);
    }
    yield* this.#hold(process, thereMs, flight);
    const result = yield* perform();
    if (delayMs >= timeoutMs) {
      yield* this.#hold(process, timeoutMs - thereMs, flight);
      throw timedOut;
    }
    yield* this.#hold(process, delayMs - thereMs, flight);
    return result;
  }

  *#hold(process: Process, delayMs: number, flight: Flight | undefined): Step<void> {
    if (delayMs <= 0) return;
    this.#flights?.enter(flight, "delayed", delayMs);
    yield* this.#loop.sleep(delayMs, process);
  }

  /** Which way is affected, of {@linkcode ways}. */
  #way(kind: "time-out" | "delay", point: FaultPoint, subject: string): number {
    const { direction = "there" } = this.#knobs(point, kind);
    return this.#decisions.decide(`${kind}-way`, `${point}/${subject}`, () => ways[direction]);
  }

  #outageMode(point: FaultPoint, subject: string): OutageMode {
    const { direction } = this.#knobs(point, "outage");
    const choose = (draw: Draw) =>
      direction === undefined ? 1 + Math.floor(draw() * 3) : modes[direction];
    return this.#decisions.decide("outage-mode", `${point}/${subject}`, choose, 1) as OutageMode;
  }

  *#duringOutage<T>(
    process: Process,
    { mode }: Outage,
    perform: () => Step<T>,
    flight: Flight | undefined,
  ): Step<T> {
    if (mode === 1) throw refused;
    if (mode === 3) yield* perform();
    return yield* this.#timeOut(process, flight);
  }

  *#timeOut(process: Process, flight: Flight | undefined): Step<never> {
    this.#flights?.enter(flight, "silence", this.#options.timeoutMs);
    yield* this.#loop.sleep(this.#options.timeoutMs, process);
    throw timedOut;
  }

  /** At the other end, by then whoever called may be gone: its failures are nobody's. */
  #performLate(
    process: Process,
    point: FaultPoint,
    subject: string,
    delayMs: number,
    perform: () => Step<unknown>,
  ): void {
    // What the network has it delivers, whatever becomes of the sender. A write into a store belongs to
    // the sender's own session, which dies with it.
    const carrier = isBusPoint(point) ? this.#network : process;
    const late = this.#lateStep(process, carrier, point, subject, delayMs, perform);
    this.#loop.spawn(carrier, late, () => {});
  }

  *#lateStep(
    process: Process,
    carrier: Process,
    point: FaultPoint,
    subject: string,
    delayMs: number,
    perform: () => Step<unknown>,
  ): Step<void> {
    const flight = this.#flights?.depart({
      ...{ process, point, subject, trace: undefined, isLate: true },
    });
    this.#flights?.enter(flight, "delayed", delayMs);
    try {
      yield* this.#loop.sleep(delayMs, carrier);
      this.#flights?.enter(flight, "work");
      yield* perform();
    } finally {
      if (flight !== undefined) this.#flights!.drop(flight);
    }
  }

  /** How long an outage lasts, and how late the others are. */
  #duration(
    what: "delay" | "duplicate" | "reorder" | "outage",
    point: FaultPoint,
    subject: string,
  ): number {
    const { faultMaxMs } = this.#options;
    const { minDurationMs, delayMs } = this.#knobs(point, what);
    const setMs = what === "outage" ? minDurationMs : delayMs;
    const minMs = what === "outage" ? 10 : 0.1;
    const choose = (draw: Draw) =>
      setMs ?? Math.round(10 * logUniform(draw, minMs, faultMaxMs)) / 10;
    return this.#decisions.decide(`${what}-ms`, `${point}/${subject}`, choose, 50);
  }
}

interface Call {
  readonly links: FaultyLinks;
  readonly process: Process;
  readonly point: FaultPoint;
  readonly subject: string;
  readonly perform: () => Step<unknown>;
  readonly flight: Flight | undefined;
}

const calling: LeafKind<Call, unknown> = {
  begin: (call, resume) => call.links.request(call, resume as () => void),
  finish: () => undefined,
  rest: (call) => call.links.perform(call),
};
