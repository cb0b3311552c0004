/**
 * Whether what waits costs too many calls of the bus: of each message, and of all that meet an outage.
 *
 * @module
 */
import type { FaultPoint } from "../topology/ports.ts";
import type { Outage } from "./outages.ts";

/** Options of {@linkcode Amplification}. */
export interface AmplificationOptions {
  readonly orders: number;
  /** Keys that messages have: of each, one is tried at a time. */
  readonly keys: number;
  /** Calls of the bus that a message may cost for each second that it has to wait. */
  readonly callsPerSecond: number;
}

/** Calls that a message may cost beside those: copies, and attempts before back-offs have grown. */
const freeCalls = 15;

interface Calls {
  readonly sinceMs: number;
  count: number;
}

/** Counts the calls of one run. */
export class Amplification {
  readonly #options: AmplificationOptions;
  readonly #calls = new Map<string, Calls>();

  constructor(options: AmplificationOptions) {
    this.#options = options;
  }

  /** A part calls over a link; gives in words what is too much, if it is. */
  called(point: FaultPoint, subject: string, nowMs: number): string | undefined {
    if (!isPublication(point)) return undefined;
    const calls = this.#calls.get(subject);
    if (calls === undefined) {
      this.#calls.set(subject, { sinceMs: nowMs, count: 1 });
      return undefined;
    }
    calls.count++;
    const seconds = (nowMs - calls.sinceMs) / 1_000;
    const most = freeCalls + this.#options.callsPerSecond * seconds;
    if (calls.count <= most) return undefined;
    return `${subject}: ${calls.count} calls of the bus in ${seconds.toFixed(1)} s`;
  }

  /** A part calls what is out: of each key some, and some for each second that the outage lasts. */
  metOutage(point: FaultPoint, outage: Outage, nowMs: number): string | undefined {
    outage.calls++;
    if (!isPublication(point)) return undefined;
    const { keys, orders, callsPerSecond } = this.#options;
    const seconds = (nowMs - outage.sinceMs) / 1_000;
    const most = orders + keys * (freeCalls + callsPerSecond * seconds);
    if (outage.calls <= most) return undefined;
    return `point ${point}: ${outage.calls} calls in ${seconds.toFixed(1)} s of an outage`;
  }
}

function isPublication(point: FaultPoint): boolean {
  return point === 2 || point === 6;
}
