/**
 * What a run tells of itself beside its log, for telemetry: the log has what has happened, and not
 * how long a call has taken or what has become of it.
 *
 * @module
 */
import type { FaultPoint } from "../topology/ports.ts";

/** A fault that has hit a call. */
export interface CallFault {
  /** Its kind, such as `refuse`. */
  readonly kind: string;
  readonly atMs: number;
}

/** A call over a link that has ended, or whose caller has crashed with it. Times are virtual. */
export interface EndedCall {
  readonly type: "call";
  /** Who has called, such as `relay-1.0`. */
  readonly part: string;
  readonly point: FaultPoint;
  /** The message that it is about, or the topic that it asks for messages. */
  readonly subject: string;
  /** What the message carries as its trace, where the call is about one. */
  readonly trace: string | undefined;
  readonly startMs: number;
  readonly endMs: number;
  readonly faults: readonly CallFault[];
  /** Why it has failed, such as `timeout`, or `crashed`. */
  readonly error: string | undefined;
}

/** A fault that is no call's: a handler that fails at a message, or takes long for it. */
export interface HandlerFault {
  readonly type: "handler-fault";
  readonly kind: "poison" | "slow-consumer";
  readonly part: string;
  readonly subject: string;
  readonly atMs: number;
  readonly detail: string;
}

/** Takes what a run tells. */
export type RunWatch = (event: EndedCall | HandlerFault) => void;
