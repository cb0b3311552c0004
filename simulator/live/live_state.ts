/**
 * The live topology as JSON: what `GET /api/live` answers, and what its stream sends.
 *
 * @module
 */
import type { FaultPoint } from "../topology/ports.ts";
import type { Pattern } from "../topology/settings.ts";
import type { Fault } from "./faults.ts";
import type { PartKind } from "./parts.ts";

/** A part, as it is now. */
export interface PartState {
  /** Such as `relay-1.0`. */
  readonly name: string;
  readonly kind: PartKind;
  readonly backend: 1 | 2;
  /** `killed`: until somebody starts it; `crashed`: it comes back by itself. */
  readonly state: "running" | "paused" | "killed" | "crashed";
  /** The process that it is in. */
  readonly pid: number | undefined;
  /** How often it has been started. */
  readonly starts: number;
}

/** An outbox, an inbox or a topic. */
export interface BoxState {
  /** `outbox-1`, `inbox-1`, `outbox-2`, `inbox-2`, `orders` or `results`. */
  readonly name: string;
  /** What is in it and not yet done with. */
  readonly depth: number;
  /** Of these, what its handler has given up on, until somebody redrives it. */
  readonly parked: number;
  /** How long the oldest has been in it, in milliseconds; a topic does not say. */
  readonly oldestMs: number | undefined;
}

/** What has happened since the beginning of the data. */
export interface LiveCounters {
  /** Orders that backend 1 has stored. */
  placed: number;
  /** Orders that every consumer of backend 2 has applied. */
  applied: number;
  /** Orders whose result has come back to backend 1. */
  confirmed: number;
  /** Placed, and not yet confirmed or lost. */
  inFlight: number;
  /** Placed, not confirmed, and in no box any more: nothing will move them on. */
  lost: number;
  /** Rows that are parked. */
  deadLettered: number;
  /** Attempts that have failed and are made again, since this start. */
  retried: number;
  /** Messages that were known already and dropped, since this start. */
  duplicatesDropped: number;
  /** Deliveries beyond a message's first, since this start. */
  redelivered: number;
  /** Faults that have hit since this start, by `2:refuse` or, without a point, `crash`. */
  faults: Record<string, number>;
}

/** Everything. */
export interface LiveState {
  readonly seed: number;
  readonly pattern: Pattern;
  readonly store: "sqlite" | "postgresql";
  readonly bus: "in_process" | "kafka";
  /** Whether each part is a program of its own. */
  readonly processes: boolean;
  readonly startedAtMs: number;
  readonly atMs: number;
  /** Orders a second that come by themselves. */
  readonly orderRate: number;
  /** The keys that orders can have. */
  readonly keys: readonly string[];
  /** Who hands messages to whom; the same all the time. */
  readonly topology: readonly {
    readonly from: string;
    readonly to: string;
    readonly point: FaultPoint | undefined;
  }[];
  readonly parts: readonly PartState[];
  readonly boxes: readonly BoxState[];
  readonly counters: LiveCounters;
  readonly faults: readonly Fault[];
}

/** One thing that has happened, small enough for a page to take hundreds of a second. */
export interface LiveStep {
  readonly atMs: number;
  /** Who: a part's name. */
  readonly part: string;
  /** `placed`, `call`, `fault`, `delivered`, `effect`, `kill`, `start`, or what the part notes. */
  readonly event: string;
  /** Which message or what it is about. */
  readonly subject: string;
  /** Of the eight. */
  readonly point?: FaultPoint | undefined;
  readonly detail?: string | undefined;
  /** The trace, 32 hexadecimal digits. */
  readonly trace?: string | undefined;
}

/** What the stream's event `steps` has as data. */
export interface LiveSteps {
  readonly steps: readonly LiveStep[];
  /** Steps that were too many for this message. */
  readonly leftOut: number;
}
