/**
 * What happens in the live topology, as its parts tell it, each event by itself: everything that is
 * shown, counted, traced and recorded is made of these. They are plain JSON, as a part may run in a
 * program of its own.
 *
 * @module
 */
import type { FaultPoint, Value } from "../topology/ports.ts";
import type { LiveProcess } from "./live_process.ts";

/** A fault that has hit a call. */
export interface FaultHit {
  /** Its kind, such as `refuse`. */
  readonly kind: string;
  readonly atMs: number;
  /** What else is to be said of it, such as how long it lasts. */
  readonly detail: string;
}

/** Something that has happened. Times are in milliseconds since the epoch. */
export type LiveEvent =
  /** A call over a link has ended, or its caller crashes with it. */
  | {
    readonly type: "call";
    readonly part: string;
    readonly point: FaultPoint;
    readonly subject: string;
    /** The `traceparent` of the message it was about. */
    readonly trace: string | undefined;
    readonly startMs: number;
    readonly endMs: number;
    readonly faults: readonly FaultHit[];
    /** The index of the fault's kind in `faultKinds`, counted from 1, for the record; 0 is none. */
    readonly decision: number;
    /** Why it has failed, such as `timeout`. */
    readonly error: string | undefined;
  }
  /** A fault has hit. */
  | {
    readonly type: "fault";
    readonly part: string;
    readonly kind: string;
    /** Of the eight, where it is one of theirs. */
    readonly point: FaultPoint | undefined;
    readonly subject: string;
    readonly trace: string | undefined;
    readonly atMs: number;
    readonly detail: string;
  }
  /** What a part says of itself: it decides nothing. */
  | {
    readonly type: "note";
    readonly part: string;
    readonly event: string;
    readonly subject: string;
    readonly detail: string;
    readonly atMs: number;
  }
  /** An effect is committed. */
  | {
    readonly type: "effect";
    readonly part: string;
    readonly messageId: string;
    readonly consumer: string;
    readonly trace: string;
    readonly atMs: number;
  }
  /** An order is committed. */
  | {
    readonly type: "placed";
    readonly part: string;
    readonly orderId: string;
    readonly key: string;
    readonly trace: string;
    readonly atMs: number;
  }
  /** The bus has given a message out. */
  | {
    readonly type: "delivered";
    readonly part: string;
    readonly topic: string;
    readonly messageId: string;
    readonly trace: string;
    readonly attempt: number;
    readonly atMs: number;
  }
  /** A choice, for the record. */
  | { readonly type: "decision"; readonly name: string; readonly value: number };

/** Takes events. */
export type LiveSink = (event: LiveEvent) => void;

/** What a new row tells. */
export function insertedEvent(
  table: string,
  row: Readonly<Record<string, Value>>,
  { name: part }: LiveProcess,
  atMs: number,
): LiveEvent {
  const common = { part, trace: row["trace"] as string, atMs };
  if (table === "orders") {
    const [orderId, key] = [row["orderId"] as string, row["key"] as string];
    return { type: "placed", orderId, key, ...common };
  }
  const [messageId, consumer] = [row["messageId"] as string, row["consumer"] as string];
  return { type: "effect", messageId, consumer, ...common };
}
