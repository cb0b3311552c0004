/**
 * Paths that are rarely come to, by name: what a "sometimes" check is of.
 *
 * @module
 */

/** Rare events that a sweep must reach, or say that it has not. */
export const rareEvents = [
  "lock-wait",
  "deadlock",
  "rolled-back",
  "fenced",
  "claim-taken",
  "lease-over",
  "lease-taken",
  "duplicate",
  "forgotten-dup",
  "redelivered",
  "full",
  "parked",
  "redriven",
  "purged",
  "pause",
  "late-id",
  "store-crash",
  "store-full",
  "stall",
  "cut",
  "outage-refuse",
  "outage-time-out",
  "outage-lose-answer",
  "poison@processor",
  "poison@lambda",
  "slow@processor",
  "slow@lambda",
] as const;
