/**
 * Faults at the eight points: a link that refuses, times out, loses answers, delays, repeats, brings
 * out of order, lets its end crash, or is out for a while.
 *
 * @module
 */
import { type FaultPoint, type Link, LinkError } from "../topology/ports.ts";
import type { Step } from "../topology/step.ts";
import { type Decisions, type Draw, logUniform } from "./decisions.ts";
import type { EventLoop, Process } from "./event_loop.ts";
import { type FaultKind, faultKinds, type FaultRates } from "./options.ts";
import { forever } from "./simulated_store.ts";

/** Options of {@linkcode FaultyLinks}. */
export interface FaultyLinksOptions {
  readonly rates: FaultRates;
  /** The longest that a delay or an outage lasts, in milliseconds. */
  readonly faultMaxMs: number;
  /** After it, whoever calls gives up, in milliseconds. */
  readonly timeoutMs: number;
  /** How long the next call is under way, in milliseconds. */
  readonly linkMs: (process: Process) => number;
  readonly crash: (process: Process) => void;
  /** Who crashes when a call of this process at that point does. @default the caller */
  readonly victimOf: (point: FaultPoint, caller: Process, subject: string) => Process;
  /** Notified of each call before it is made. */
  readonly onCall: (point: FaultPoint, subject: string) => void;
  /** Notified of each fault. */
  readonly onFault: (kind: FaultKind, point: FaultPoint, subject: string, process: Process) => void;
}

/** What an outage does: 1 refuses, 2 lets calls time out, 3 lets them through and loses the answers. */
type OutageMode = 1 | 2 | 3;

interface Outage {
  untilMs: number;
  mode: OutageMode;
}

interface Chances {
  readonly total: number;
  readonly kinds: readonly (readonly [upTo: number, kind: number])[];
}

/** All links of a run. */
export class FaultyLinks {
  readonly #loop: EventLoop;
  readonly #decisions: Decisions;
  readonly #options: FaultyLinksOptions;
  readonly #chances = new Map<FaultPoint, Chances>();
  readonly #outages = new Map<FaultPoint, Outage>();
  readonly #reorderMs = new Map<Process, number>();
  #isHealed = false;

  constructor(loop: EventLoop, decisions: Decisions, options: FaultyLinksOptions) {
    this.#loop = loop;
    this.#decisions = decisions;
    this.#options = options;
    for (const [point, rates] of Object.entries(options.rates)) {
      this.#chances.set(Number(point) as FaultPoint, chancesOf(rates));
    }
  }

  /** The link as a process sees it. */
  connect(process: Process): Link {
    return { call: (point, subject, perform) => this.#call(process, point, subject, perform) };
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

  *#call<T>(
    process: Process,
    point: FaultPoint,
    subject: string,
    perform: () => Step<T>,
  ): Step<T> {
    this.#options.onCall(point, subject);
    yield this.#loop.pause(this.#options.linkMs(process), process);
    const outage = this.#outages.get(point);
    if (outage !== undefined && outage.untilMs > this.#loop.nowMs) {
      return yield* this.#duringOutage(process, outage, perform);
    }
    const kind = this.#choose(point, subject);
    if (kind === undefined) return yield* perform();
    this.#options.onFault(kind, point, subject, process);
    return yield* this.#fail(kind, process, point, subject, perform);
  }

  #choose(point: FaultPoint, subject: string): FaultKind | undefined {
    const chances = this.#chances.get(point);
    if (this.#isHealed || chances === undefined || chances.total === 0) return undefined;
    const index = this.#decisions.decide(`fault-${point}`, subject, (draw) => {
      const value = draw();
      if (value >= chances.total) return 0;
      return chances.kinds.find(([upTo]) => value < upTo)![1];
    });
    return index === 0 ? undefined : faultKinds[index - 1];
  }

  *#fail<T>(
    kind: FaultKind,
    process: Process,
    point: FaultPoint,
    subject: string,
    perform: () => Step<T>,
  ): Step<T> {
    const { timeoutMs, crash, victimOf } = this.#options;
    switch (kind) {
      case "refuse":
        throw new LinkError("refused", `Point ${point} refuses`);
      case "time-out":
        return yield* this.#timeOut(process);
      case "lose-answer":
        yield* perform();
        return yield* this.#timeOut(process);
      case "delay": {
        const delayMs = this.#duration("delay", point, subject);
        if (delayMs < timeoutMs) {
          yield* this.#loop.sleep(delayMs, process);
          return yield* perform();
        }
        this.#performLate(process, delayMs, perform);
        return yield* this.#timeOut(process);
      }
      case "duplicate":
        this.#performLate(process, this.#duration("duplicate", point, subject), perform);
        return yield* perform();
      case "reorder": {
        const delayMs = Math.min(timeoutMs / 2, this.#duration("reorder", point, subject));
        if (isBus(point)) this.#reorderMs.set(process, delayMs);
        else yield* this.#loop.sleep(delayMs, process);
        return yield* perform();
      }
      case "crash-before":
      case "crash-after": {
        const victim = victimOf(point, process, subject);
        // Where there is a transaction, it is its commit that the crash comes before or after.
        if (!isBus(point)) victim.doom = kind === "crash-before" ? "before-commit" : "after-commit";
        else if (kind === "crash-before") crash(victim);
        if (!process.isLive) return yield* forever();
        const result = yield* perform();
        if (isBus(point) && kind === "crash-after") crash(victim);
        // Once all is healed, nobody crashes any more.
        return process.isLive ? result : yield* forever();
      }
      case "outage": {
        const untilMs = this.#loop.nowMs + this.#duration("outage", point, subject);
        const mode = this.#decisions.decide(
          "outage-mode",
          `${point}/${subject}`,
          (draw) => 1 + Math.floor(draw() * 3),
          1,
        ) as OutageMode;
        const outage = { untilMs, mode };
        this.#outages.set(point, outage);
        return yield* this.#duringOutage(process, outage, perform);
      }
    }
  }

  *#duringOutage<T>(process: Process, { mode }: Outage, perform: () => Step<T>): Step<T> {
    if (mode === 1) throw new LinkError("refused", "It cannot be reached");
    if (mode === 3) yield* perform();
    return yield* this.#timeOut(process);
  }

  *#timeOut(process: Process): Step<never> {
    yield* this.#loop.sleep(this.#options.timeoutMs, process);
    throw new LinkError("timeout", "No answer in time");
  }

  /** At the other end, by then whoever called may be gone: its failures are nobody's. */
  #performLate(process: Process, delayMs: number, perform: () => Step<unknown>): void {
    const late = this.#lateStep(process, delayMs, perform);
    this.#loop.spawn(process, late, () => {});
  }

  *#lateStep(process: Process, delayMs: number, perform: () => Step<unknown>): Step<void> {
    yield* this.#loop.sleep(delayMs, process);
    yield* perform();
  }

  #duration(what: string, point: FaultPoint, subject: string): number {
    const { faultMaxMs } = this.#options;
    const minMs = what === "outage" ? 10 : 0.1;
    const choose = (draw: Draw) => Math.round(10 * logUniform(draw, minMs, faultMaxMs)) / 10;
    return this.#decisions.decide(`${what}-ms`, `${point}/${subject}`, choose, 50);
  }
}

function isBus(point: FaultPoint): boolean {
  return point === 2 || point === 3 || point === 6 || point === 7;
}

function chancesOf(rates: Readonly<Partial<Record<FaultKind, number>>>): Chances {
  const kinds: [number, number][] = [];
  let total = 0;
  for (const [index, kind] of faultKinds.entries()) {
    const rate = rates[kind] ?? 0;
    if (rate <= 0) continue;
    total += rate;
    kinds.push([total, index + 1]);
  }
  return { total, kinds };
}
