/**
 * Calls that are under way, for a picture of the run and for its spans.
 *
 * @module
 */
import type { FaultPoint } from "../topology/ports.ts";
import type { EventLoop, Process } from "./event_loop.ts";
import type { FaultKind } from "./options.ts";
import type { CallFault, EndedCall } from "./run_watch.ts";

/** A call that is under way. */
export interface Flight {
  /** Counted up from 1. */
  readonly call: number;
  readonly point: FaultPoint;
  /** The message that it is about, or the topic that it asks for messages. */
  readonly subject: string;
  readonly process: Process;
  readonly life: number;
  /** What the message carries as its trace, where it is about one. */
  readonly trace: string | undefined;
  readonly startMs: number;
  /** Those that have hit it. */
  readonly faults: CallFault[];
  /** Whether nobody waits for it: what comes late, or for the second time. */
  readonly isLate: boolean;
  /**
   * - `request`: it is on its way
   * - `work`: the other end works at it, or has nothing to give yet
   * - `delayed`: it is on its way for longer than it should
   * - `silence`: whoever calls waits in vain
   */
  phase: "request" | "work" | "delayed" | "silence";
  sinceMs: number;
  /** When the phase will be over; `undefined` if that is not known yet. */
  untilMs: number | undefined;
}

/** The calls of a run that are observed. */
export class Flights {
  readonly #loop: EventLoop;
  readonly #onEnd: ((call: EndedCall) => void) | undefined;
  readonly #all = new Set<Flight>();
  #calls = 0;

  /** @param onEnd notified of each call that has ended, but of those that nobody waits for */
  constructor(loop: EventLoop, onEnd: ((call: EndedCall) => void) | undefined) {
    this.#loop = loop;
    this.#onEnd = onEnd;
  }

  /** A call is made. */
  depart(
    call: Pick<Flight, "process" | "point" | "subject" | "trace" | "isLate">,
  ): Flight {
    const { nowMs } = this.#loop;
    const flight: Flight = {
      ...call,
      ...{ call: ++this.#calls, life: call.process.life, faults: [] },
      ...{ phase: "request", startMs: nowMs, sinceMs: nowMs, untilMs: undefined },
    };
    this.#all.add(flight);
    return flight;
  }

  /** Those that are under way. */
  underWay(): readonly Flight[] {
    // A crashed process has left its calls where they were.
    return [...this.#all].filter(({ process, life }) => process.isLive && process.life === life);
  }

  /** A call has come to its end, or has failed. */
  end(flight: Flight, error?: string): void {
    if (!this.#all.delete(flight)) return;
    const { process, point, subject, trace, startMs, faults } = flight;
    this.#onEnd?.({
      ...{ type: "call", part: process.name, point, subject, trace, startMs },
      ...{ endMs: this.#loop.nowMs, faults, error },
    });
  }

  /** A call that nobody waits for is over. */
  drop(flight: Flight): void {
    this.#all.delete(flight);
  }

  /** Calls of a process that has crashed end where they are. */
  abandon(process: Process): void {
    for (const flight of this.#all) {
      const isGone = flight.process === process && flight.life !== process.life;
      if (isGone && !flight.isLate) this.end(flight, "crashed");
    }
  }

  /** A fault hits a call. */
  hit(flight: Flight | undefined, kind: FaultKind): void {
    flight?.faults.push({ kind, atMs: this.#loop.nowMs });
  }

  /** A call enters a phase, which lasts so long where that is known. */
  enter(flight: Flight | undefined, phase: Flight["phase"], durationMs?: number): void {
    if (flight === undefined) return;
    flight.phase = phase;
    flight.sinceMs = this.#loop.nowMs;
    flight.untilMs = durationMs === undefined ? undefined : flight.sinceMs + durationMs;
  }
}
