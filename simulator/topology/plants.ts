/**
 * Bugs that can be planted into the parts, each seen in a real outbox or inbox, and the invariant
 * that has to notice it. The numbers are wire: `--plant N`.
 *
 * @module
 */

/** The names of what is judged; `invariants.ts` of the simulation says how. */
export const invariantNames = [
  "no-lost-effect",
  "exactly-once-effect",
  "no-ghost-message",
  "order-per-key",
  "boxes-bounded-and-drained",
  "deduplication-window",
  "conservation",
  "deleted-only-if-acknowledged",
  "one-owner",
  "amplification",
  "progress",
  "connected-trace",
] as const;

/** The name of an invariant. */
export type InvariantName = typeof invariantNames[number];

/** A bug that can be planted. */
export interface Plant {
  readonly number: number;
  /** What is wrong. */
  readonly mechanism: string;
  /** What has to notice it. */
  readonly invariants: readonly InvariantName[];
}

/** Every plant, by ascending number. */
export const plants: readonly Plant[] = [
  plant(1, "cursor `id > last`, ids taken at insert and visible at commit", "no-lost-effect"),
  plant(2, "cursor by timestamp, the clocks differ", "no-lost-effect"),
  plant(3, "two relays own the same rows by stale heartbeats", "order-per-key"),
  plant(4, "inbox checked, then written, in two instances", "exactly-once-effect"),
  plant(5, "what is handled is recorded in a transaction of its own", "no-lost-effect"),
  plant(6, "inbox key without the consumer", "no-lost-effect"),
  plant(7, "purge counts from handling", "deduplication-window", "exactly-once-effect"),
  plant(8, "redrive past the window", "exactly-once-effect"),
  plant(9, "acknowledged before the inbox is written", "no-lost-effect"),
  plant(10, "what cannot be taken in is acknowledged", "no-lost-effect", "conservation"),
  plant(11, "marked as sent without confirmation", "no-lost-effect"),
  plant(12, "a hook after publishing rolls the mark back", "amplification"),
  plant(13, "a failure in a batch does not hold up what follows", "order-per-key"),
  plant(14, "new messages go out directly while an older one waits", "order-per-key"),
  plant(15, "redrive to the tail", "order-per-key"),
  plant(16, "one bad record stops the batch", "progress", "boxes-bounded-and-drained"),
  plant(17, "relay notified before the row can be seen", "no-lost-effect"),
  plant(18, "the claim of a live owner never ends", "no-lost-effect"),
  plant(19, "purge by age ignores the status", "no-lost-effect"),
  plant(20, "no back-off", "amplification"),
  plant(21, "back-off without a cap", "progress"),
  plant(22, "lease shorter than the handler, effect not fenced", "exactly-once-effect"),
  plant(23, "published before the commit", "no-ghost-message"),
  plant(24, "sweep of unfinished work without a minimum age", "exactly-once-effect"),
];

function plant(number: number, mechanism: string, ...invariants: InvariantName[]): Plant {
  return { number, mechanism, invariants };
}
