/**
 * What happens during a run of pings, and how it ends.
 *
 * @module
 */
import type { Mode } from "../protocol/session_terms.ts";
import type { LinkEnd } from "./link.ts";
import type { PingStatistics } from "./statistics.ts";

/** What happens during a run, in the order it happens. */
export type PingEvent =
  /** A ping was answered. `rttMs` is from its first sending. */
  | {
    kind: "pong";
    seq: number;
    bytes: number;
    rttMs: number;
    data: string;
    /** Sent again, or delivered from the mailbox: its time is not that of a round trip. */
    recovered: boolean;
    mode: Mode;
  }
  /** A ping was given up. */
  | { kind: "lost"; seq: number }
  /** An answer to no ping of this run: one that an earlier run of this client had missed. */
  | { kind: "stale" }
  /** There is a link. */
  | { kind: "connected"; remote: string; mode: Mode; outageMs: number; waiting: number }
  /** An attempt has failed; the next one comes after `delayMs`, `undefined` if there is none. */
  | { kind: "attempt-failed"; reason: string; delayMs: number | undefined }
  /** The link has ended; the next attempt comes after `delayMs`. */
  | { kind: "disconnected"; end: LinkEnd; unanswered: number; delayMs: number | undefined };

/** How a run ended. */
export interface PingRun {
  /** What came of the pings. */
  statistics: PingStatistics;
  /** How long it took, in milliseconds. */
  elapsedMs: number;
  /** Links that were had; 0 when no server was ever reached. */
  connections: number;
  /** Why it could not go on; `undefined` when it ended as asked. */
  error?: Error;
}
