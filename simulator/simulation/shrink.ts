/**
 * Makes a failing run small: fewer decisions, fewer orders, no variance, smaller values, and still the
 * same failure.
 *
 * @module
 */
import type { InvariantName } from "../topology/plants.ts";
import type { Decision } from "./decisions.ts";
import { faultKinds } from "./options.ts";
import { inputOf, recordOf, type RunRecord } from "./record.ts";
import { runSimulation } from "./run.ts";

/** Options of {@linkcode shrink}. */
export interface ShrinkOptions {
  /** What a smaller run has to break, too. @default the first that the record has */
  readonly invariant?: InvariantName;
  /** @default 500 */
  readonly maxExecutions?: number;
  /** How values are made smaller once no decision can be dropped. @default they stay */
  readonly shrinkValues?: ValueShrinker;
}

/**
 * Makes whole numbers from 1 on smaller, while `isStillFailing` says so; the last that it has said so
 * of are taken.
 */
export type ValueShrinker = (
  values: readonly number[],
  isStillFailing: (values: readonly number[]) => boolean,
) => void;

/** What has become of a record. */
export interface Shrunk {
  readonly record: RunRecord;
  /** Runs that it took. */
  readonly executions: number;
}

interface Search {
  readonly invariant: InvariantName;
  maxExecutions: number;
  executions: number;
  /** The smallest that fails. */
  best: RunRecord;
}

/**
 * Shrinks by delta debugging on the record: drops halves of the decisions, then quarters, down to
 * single ones, until none can be dropped; before and after it fewer orders and no variance are tried.
 * Then, if it is told how, makes the values of what is left smaller.
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
  // Some are kept for what is tried when that has not made it small.
  search.maxExecutions = Math.ceil(maxExecutions * 0.8);
  smallerInTurns(search);
  search.maxExecutions = maxExecutions;
  if (search.best.decisions.length > 2 && longOutage(search)) smallerInTurns(search);
  if (search.best.decisions.length > 1 && search.executions < maxExecutions) singleFault(search);
  if (options.shrinkValues !== undefined) smallerValues(search, options.shrinkValues);
  // The searching runs were not hashed.
  const { hash } = runSimulation(inputOf(search.best));
  return { record: { ...search.best, hash }, executions: search.executions };
}

/** Fewer orders, fewer decisions, and again, as long as that helps. */
function smallerInTurns(search: Search): void {
  let size: number;
  do {
    size = sizeOf(search.best);
    fails(search, { ...search.best, jitter: false });
    fewerOrders(search);
    fewerDecisions(search);
  } while (sizeOf(search.best) < size && search.executions < search.maxExecutions);
}

/**
 * What fails as something lasts too long takes many short faults, or one that is long: a point that is out
 * from its first call on, for as long as a fault may last. Gives whether that fails likewise.
 */
function longOutage(search: Search): boolean {
  const { faultMaxMs } = search.best.options;
  const seen = new Set<string>();
  for (const call of callsOf(search)) {
    const [, point, subject] = /^fault-(\d) (\S+)$/.exec(call) ?? [];
    if (point === undefined || seen.has(point)) continue;
    seen.add(point);
    const decisions: Decision[] = [
      [call, faultKinds.indexOf("outage") + 1],
      [`outage-ms ${point}/${subject}`, faultMaxMs],
    ];
    if (fails(search, { ...search.best, decisions })) return true;
  }
  return false;
}

/** Calls at which a fault could happen, in a run without any. */
function callsOf(search: Search): readonly string[] {
  const calls: string[] = [];
  runSimulation({
    ...inputOf({ ...search.best, decisions: [] }),
    isHashed: false,
    onDecision: (name) => {
      if (name.startsWith("fault-")) calls.push(name);
    },
  });
  search.executions++;
  return calls;
}

/**
 * What takes several decisions here may take one elsewhere: each single fault at each call is tried, as
 * `explore` does, for as long as executions are left.
 */
function singleFault(search: Search): void {
  const calls = callsOf(search);
  for (let kind = 1; kind <= faultKinds.length; kind++) {
    for (const call of calls) {
      if (search.executions >= search.maxExecutions) return;
      const decisions: Decision[] = [[call, kind]];
      if (fails(search, { ...search.best, decisions }) && search.best.decisions.length === 1) {
        return;
      }
    }
  }
}

/** Durations have a tenth of a millisecond; what is no duration is a whole number. */
function smallerValues(search: Search, shrinkValues: ValueShrinker): void {
  const { decisions } = search.best;
  if (decisions.length === 0) return;
  const scales = decisions.map(([name]) => name.includes("-ms ") ? 10 : 1);
  const values = decisions.map(([, value], place) => Math.round(value * scales[place]!));
  if (values.some((value) => value < 1)) return;
  shrinkValues(values, (smaller) =>
    fails(search, {
      ...search.best,
      decisions: decisions.map(([name], place) => [name, smaller[place]! / scales[place]!]),
    }));
}

function sizeOf({ decisions, options, jitter }: RunRecord): number {
  return decisions.length * 1_000 + options.orders * 2 + (jitter ? 1 : 0);
}

/** Runs a candidate; if it fails likewise, it is the best from now on. */
function fails(search: Search, candidate: RunRecord): boolean {
  if (search.executions >= search.maxExecutions) return false;
  search.executions++;
  const result = runSimulation({ ...inputOf(candidate), isHashed: false });
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
