/**
 * Makes a failing run small: fewer decisions, fewer orders, no variance, and still the same failure.
 *
 * @module
 */
import type { InvariantName } from "../topology/plants.ts";
import type { Decision } from "./decisions.ts";
import { inputOf, recordOf, type RunRecord } from "./record.ts";
import { runSimulation } from "./run.ts";

/** Options of {@linkcode shrink}. */
export interface ShrinkOptions {
  /** What a smaller run has to break, too. @default the first that the record has */
  readonly invariant?: InvariantName;
  /** @default 500 */
  readonly maxExecutions?: number;
}

/** What has become of a record. */
export interface Shrunk {
  readonly record: RunRecord;
  /** Runs that it took. */
  readonly executions: number;
}

interface Search {
  readonly invariant: InvariantName;
  readonly maxExecutions: number;
  executions: number;
  /** The smallest that fails. */
  best: RunRecord;
}

/**
 * Shrinks by delta debugging on the record: drops halves of the decisions, then quarters, down to
 * single ones, until none can be dropped; before and after it fewer orders and no variance are tried.
 *
 * @throws {RangeError} the record does not fail
 */
export function shrink(record: RunRecord, options: ShrinkOptions = {}): Shrunk {
  const invariant = options.invariant ?? record.invariants[0];
  if (invariant === undefined) throw new RangeError("Cannot shrink a run that does not fail");
  const { maxExecutions = 500 } = options;
  const search: Search = { invariant, maxExecutions, executions: 0, best: record };
  if (!fails(search, record)) {
    throw new RangeError(`Cannot shrink as the record does not break '${invariant}'`);
  }
  let size: number;
  do {
    size = sizeOf(search.best);
    fails(search, { ...search.best, jitter: false });
    fewerOrders(search);
    fewerDecisions(search);
  } while (sizeOf(search.best) < size && search.executions < maxExecutions);
  return { record: search.best, executions: search.executions };
}

function sizeOf({ decisions, options, jitter }: RunRecord): number {
  return decisions.length * 1_000 + options.orders * 2 + (jitter ? 1 : 0);
}

/** Runs a candidate; if it fails likewise, it is the best from now on. */
function fails(search: Search, candidate: RunRecord): boolean {
  if (search.executions >= search.maxExecutions) return false;
  search.executions++;
  const result = runSimulation(inputOf(candidate));
  if (!result.violations.some(({ invariant }) => invariant === search.invariant)) return false;
  // Without decisions that the run has not come to.
  search.best = recordOf(result, candidate.jitter);
  return true;
}

function fewerOrders(search: Search): void {
  let { orders } = search.best.options;
  for (let step = orders >> 1; step >= 1 && orders > 1; step >>= 1) {
    while (orders - step >= 1) {
      const candidate = {
        ...search.best,
        options: { ...search.best.options, orders: orders - step },
      };
      if (!fails(search, candidate)) break;
      orders -= step;
    }
  }
}

function fewerDecisions(search: Search): void {
  for (let size = search.best.decisions.length; size >= 1; size = size >> 1) {
    let start = 0;
    while (start < search.best.decisions.length) {
      const { decisions } = search.best;
      const rest: Decision[] = [...decisions.slice(0, start), ...decisions.slice(start + size)];
      if (!fails(search, { ...search.best, decisions: rest })) start += size;
      if (search.executions >= search.maxExecutions) return;
    }
  }
}
