/**
 * Runs to begin with: a world that is slow enough to be watched, in which nothing goes wrong but what
 * is decided.
 *
 * @module
 */
import type { Decision, EngineInput, RunOptions } from "../simulation/engine.ts";
import { noTrouble } from "../simulation/options.ts";

/** A small world without chance, whose links and handlers take long enough to be seen. */
export const watchable: Partial<RunOptions> = {
  ...{ pattern: "outbox", ordering: "queue", profile: "one-writer" },
  ...{ orders: 6, keys: 2, apis: 1, relays: 2, lambdas: 2, processors: 2, shards: 1 },
  ...{ batch: 4, burst: 1, arrivalMs: 1_500, leaseMs: 800, busLeaseMs: 800, pollMs: 120 },
  ...{ backoffBaseMs: 60, backoffCapMs: 400, maxAttempts: 3, windowMs: 6_000, timeoutMs: 200 },
  ...{ linkMs: 20, statementMs: 1, commitMs: 4, workMs: 25, capacity: 100_000 },
  ...noTrouble,
  ...{ faults: {}, faultMaxMs: 2_000 },
};

/** A run of the watchable world in which these decisions are made otherwise. */
export function watchableRun(
  changes: readonly Decision[] = [],
  given: Partial<RunOptions> = {},
  plant = 0,
): EngineInput {
  return { seed: 1, plant, given: { ...watchable, ...given }, changes, jitter: false };
}

/** What the page shows first: the answer of Outbox 1 about one order is lost. */
export const firstRun: EngineInput = watchableRun([["fault-2 o3", 3]]);
