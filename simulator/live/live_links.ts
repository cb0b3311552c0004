/**
 * Faults at the eight points, live: a link that refuses, times out, loses answers, delays, repeats,
 * brings out of order, lets its end crash, or is out for a while, as it is told while it runs.
 *
 * The kinds are those of `simulation/faulty_link.ts`. Chance comes from the seed, by point.
 *
 * @module
 */
import type { Log } from "../../service/log.ts";
import type { World } from "../../service/world/world.ts";
import { type Draw, seededDraw } from "../simulation/decisions.ts";
import { type FaultKind, faultKinds, isBusPoint, isCrash } from "../simulation/options.ts";
import { Dooms } from "../topology/dooms.ts";
import { errorWord, type FaultPoint, type Link, LinkError, StoreError } from "../topology/ports.ts";
import { drive, type Step } from "../topology/step.ts";
import { type Fault, isLinkFault, type LinkFault } from "./faults.ts";
import type { FaultHit, LiveSink } from "./live_event.ts";
import { usualFault } from "./live_settings.ts";
import { forever, type LiveProcess, sleepAs } from "./live_process.ts";

/** Options of {@linkcode LiveLinks}. */
export interface LiveLinksOptions {
  readonly seed: number;
  /** After it, whoever calls gives up, in milliseconds. */
  readonly timeoutMs: number;
  /** Kills a process, which is down for at least so long. */
  readonly crash: (process: LiveProcess, minDownMs: number) => void;
  /** Who crashes when a call of this process at that point does. @default the caller */
  readonly victimOf?: (point: FaultPoint, caller: LiveProcess, subject: string) => LiveProcess;
  /** Notified when a process is to crash at its next commit, or is not any more. @default nobody is */
  readonly onDoom?: (process: LiveProcess) => void;
  readonly emit: LiveSink;
  readonly world: World;
  readonly log: Log;
}

interface Call {
  readonly process: LiveProcess;
  readonly point: FaultPoint;
  readonly subject: string;
  readonly trace: string | undefined;
  readonly startMs: number;
  readonly faults: FaultHit[];
  decision: number;
}

/** All links of a program. */
export class LiveLinks {
  readonly #options: LiveLinksOptions;
  readonly #draws = new Map<FaultPoint, Draw>();
  #faults = new Map<FaultPoint, LinkFault[]>();
  /** What goes on at a point once it has hit. */
  readonly #lasting = new Map<FaultPoint, { fault: LinkFault; untilMs: number }>();
  readonly #reorderMs = new Map<LiveProcess, number>();
  /** How long a process that crashes at its commit is down, at least. */
  readonly #dooms = new Dooms<LiveProcess>();
  readonly #downMs = new Map<LiveProcess, number>();

  constructor(options: LiveLinksOptions) {
    this.#options = options;
  }

  /** From now on these, and no others: what went on ends. */
  set faults(faults: readonly Fault[]) {
    this.#faults = Map.groupBy(faults.filter(isLinkFault), ({ point }) => point as FaultPoint);
    this.#lasting.clear();
    this.#reorderMs.clear();
  }

  /** The link as a process sees it. */
  connect(process: LiveProcess): Link {
    return {
      call: (point, subject, perform, trace) => this.#call(process, point, subject, perform, trace),
    };
  }

  /** The next call of the bus by that process is to be overtaken. */
  reorder(process: LiveProcess, delayMs: number): void {
    this.#reorderMs.set(process, delayMs);
  }

  /** What the bus has to put off, for it to be overtaken. */
  takeReorderMs(process: LiveProcess): number {
    const delayMs = this.#reorderMs.get(process) ?? 0;
    if (delayMs > 0) this.#reorderMs.delete(process);
    return delayMs;
  }

  /** A process that was to crash at its commit does. */
  crashAtCommit(process: LiveProcess): void {
    this.#options.crash(process, this.#downMs.get(process) ?? 0);
  }

  *#call<T>(
    process: LiveProcess,
    point: FaultPoint,
    subject: string,
    perform: () => Step<T>,
    trace: string | undefined,
  ): Step<T> {
    const startMs = this.#options.world.nowMs();
    const call: Call = { process, point, subject, trace, startMs, faults: [], decision: 0 };
    try {
      const fault = this.#choose(point);
      const result = fault === undefined
        ? yield* perform()
        : yield* this.#fail(call, fault, perform);
      this.#ended(call);
      return result;
    } catch (error) {
      this.#ended(call, error);
      throw error;
    }
  }

  #ended({ process, faults, ...call }: Call, error?: unknown): void {
    this.#options.emit({
      type: "call",
      part: process.name,
      ...call,
      endMs: this.#options.world.nowMs(),
      faults,
      error: error === undefined ? undefined : errorWord(error),
    });
  }

  #choose(point: FaultPoint): LinkFault | undefined {
    const lasting = this.#lasting.get(point);
    if (lasting !== undefined) {
      if (lasting.untilMs > this.#options.world.monotonicMs()) return lasting.fault;
      this.#lasting.delete(point);
    }
    const faults = this.#faults.get(point);
    if (faults === undefined) return undefined;
    let value = this.#draw(point)();
    for (const fault of faults) {
      if (value < fault.probability) return this.#begin(fault);
      value -= fault.probability;
    }
    return undefined;
  }

  #begin(fault: LinkFault): LinkFault {
    const { kind, point, minDurationMs = kind === "outage" ? usualFault.outageMs : 0 } = fault;
    const untilMs = this.#options.world.monotonicMs() + minDurationMs;
    // What crashes is down for so long; whoever comes after it does not crash with it.
    const isLasting = minDurationMs > 0 && !isCrash(kind);
    if (isLasting) this.#lasting.set(point as FaultPoint, { fault, untilMs });
    return fault;
  }

  #draw(point: FaultPoint): Draw {
    let draw = this.#draws.get(point);
    if (draw === undefined) {
      draw = seededDraw(this.#options.seed, `live fault-${point}`);
      this.#draws.set(point, draw);
    }
    return draw;
  }

  #hit(call: Call, fault: LinkFault, as: FaultKind, detail = ""): void {
    const atMs = this.#options.world.nowMs();
    const { kind } = fault;
    call.decision = faultKinds.indexOf(as) + 1;
    call.faults.push({ kind, atMs, detail });
    const { process, point, subject, trace } = call;
    this.#options.emit({
      ...{ type: "fault", part: process.name, kind, point, subject, trace, atMs, detail },
    });
  }

  /** A choice of how long, which the record has beside the kind. */
  #duration(call: Call, what: string, durationMs: number): number {
    const name = `${what}-ms ${call.point}/${call.subject}`;
    this.#options.emit({ type: "decision", name, value: durationMs });
    return durationMs;
  }

  *#fail<T>(call: Call, fault: LinkFault, perform: () => Step<T>): Step<T> {
    const { kind, direction = "both", delayMs = usualFault.delayMs } = fault;
    switch (kind) {
      case "refuse":
        this.#hit(call, fault, "refuse");
        throw new LinkError("refused", `Point ${call.point} refuses`);
      case "time-out":
      case "lose-answer":
        return yield* this.#loseOn(
          call,
          fault,
          kind === "lose-answer" ? "back" : direction,
          perform,
        );
      case "outage":
        if (direction === "both") {
          this.#hit(call, fault, "refuse", "both ways");
          throw new LinkError("refused", `Point ${call.point} cannot be reached`);
        }
        return yield* this.#loseOn(call, fault, direction, perform);
      case "delay":
        this.#hit(call, fault, "delay", `${delayMs} ms, ${direction}`);
        this.#duration(call, "delay", delayMs);
        return yield* this.#delay(call, delayMs, direction, perform);
      case "duplicate":
        this.#hit(call, fault, "duplicate", `again after ${delayMs} ms`);
        this.#performLate(call, this.#duration(call, "duplicate", delayMs), perform);
        return yield* perform();
      case "reorder": {
        this.#hit(call, fault, "reorder", `${delayMs} ms`);
        this.#duration(call, "reorder", delayMs);
        if (isBusPoint(call.point)) this.#reorderMs.set(call.process, delayMs);
        else yield* this.#sleep(call, Math.min(this.#options.timeoutMs / 2, delayMs));
        return yield* perform();
      }
      case "crash-before":
      case "crash-after":
        this.#hit(call, fault, kind);
        return yield* this.#crash(call, fault, kind, perform);
    }
  }

  /** One way is lost: what is asked never arrives, or its answer does not. */
  *#loseOn<T>(
    call: Call,
    fault: LinkFault,
    direction: "both" | "there" | "back",
    perform: () => Step<T>,
  ): Step<T> {
    if (direction === "back") {
      this.#hit(call, fault, "lose-answer", "the answer is lost");
      yield* perform();
    } else this.#hit(call, fault, "time-out", "it never arrives");
    return yield* this.#timeOut(call);
  }

  *#delay<T>(
    call: Call,
    delayMs: number,
    direction: "both" | "there" | "back",
    perform: () => Step<T>,
  ): Step<T> {
    const { timeoutMs } = this.#options;
    const thereMs = direction === "back" ? 0 : direction === "there" ? delayMs : delayMs / 2;
    if (thereMs >= timeoutMs) {
      this.#performLate(call, thereMs, perform);
      return yield* this.#timeOut(call);
    }
    yield* this.#sleep(call, thereMs);
    const result = yield* perform();
    if (delayMs >= timeoutMs) {
      yield* this.#sleep(call, timeoutMs - thereMs);
      throw new LinkError("timeout", "No answer in time");
    }
    yield* this.#sleep(call, delayMs - thereMs);
    return result;
  }

  *#crash<T>(
    call: Call,
    { minDurationMs = 0 }: LinkFault,
    kind: "crash-before" | "crash-after",
    perform: () => Step<T>,
  ): Step<T> {
    const { victimOf, crash, onDoom } = this.#options;
    const victim = victimOf?.(call.point, call.process, call.subject) ?? call.process;
    if (!isBusPoint(call.point)) {
      // Where there is a transaction, it is its commit that the crash comes before or after.
      const side = kind === "crash-before" ? "before-commit" : "after-commit";
      const takeBack = this.#dooms.doom(victim, side);
      this.#downMs.set(victim, minDurationMs);
      onDoom?.(victim);
      try {
        return yield* perform();
      } finally {
        // There was nothing to commit.
        takeBack();
        onDoom?.(victim);
      }
    }
    if (kind === "crash-after") yield* perform();
    this.#ended(call, new LinkError("refused", "It crashes"));
    crash(victim, minDurationMs);
    return yield* forever();
  }

  *#timeOut(call: Call): Step<never> {
    yield* this.#sleep(call, this.#options.timeoutMs);
    throw new LinkError("timeout", "No answer in time");
  }

  #sleep({ process }: Call, delayMs: number): Step<void> {
    return sleepAs(process, delayMs, this.#options.world);
  }

  /** At the other end: whoever called may be gone by then, and its failures are nobody's. */
  #performLate({ process }: Call, delayMs: number, perform: () => Step<unknown>): void {
    const { world, log } = this.#options;
    const { life } = process;
    const late = function* (): Step<void> {
      yield* sleepAs(process, delayMs, world);
      yield* perform();
    };
    drive(late(), {
      isLive: () => process.isLive && process.life === life,
      done: () => {},
      failed: (error) => {
        if (!isOfTheWorld(error)) {
          log.error("A late call has failed", { part: process.name, error: String(error) });
        }
      },
    });
  }
}

function isOfTheWorld(error: unknown): boolean {
  return error instanceof LinkError || error instanceof StoreError;
}
