/**
 * What the live topology is set to beside its flags; all durations in milliseconds.
 *
 * @module
 */
import type { Settings } from "../topology/settings.ts";

/** The parts' settings. A handler has twice the time of a call. */
export const usualSettings = {
  ordering: "sequence",
  plant: 0,
  leaseMs: 2_000,
  pollMs: 200,
  batch: 32,
  backoffBaseMs: 50,
  backoffCapMs: 2_000,
  maxAttempts: 5,
  windowMs: 600_000,
  shards: 2,
} as const satisfies Omit<Settings, "pattern">;

/** How long a part that has crashed is down at least, and one is held of whose pause no more was said. */
export const usualDownMs = 500;

/** How late something is, and how long an outage lasts, where a fault does not say, in milliseconds. */
export const usualFault = { delayMs: 200, outageMs: 5_000 } as const;

/** What a fault may be at most. */
export const faultLimits = {
  /** Any longer is no fault but an end. */
  maxDurationMs: 3_600_000,
  /** Messages that a topic is full at. */
  maxCapacity: 1_000_000,
} as const;

/** How long a caller waits for an answer, a lambda may have a message, and waits for some. */
export const timeouts = { callMs: 1_000, busLeaseMs: 3_000, receiveMs: 500 };
