/**
 * Every single fault, and every pair of faults, at every call of a small run: covered, not only swept.
 *
 * @module
 */
import type { Decision } from "./decisions.ts";
import { faultKinds, noTrouble, type RunOptions } from "./options.ts";
import { type RunInput, type RunResult, runSimulation } from "./run.ts";

/** Options of {@linkcode explore}. */
export interface ExploreOptions {
  /** @default 2 */
  readonly orders?: number;
  /** Faults at once, 1 or 2. @default 2 */
  readonly faults?: 1 | 2;
  /** The bug that is planted. @default 0, none */
  readonly plant?: number;
  /** Runs at most. @default 1_000_000 */
  readonly maxRuns?: number;
  /** What is not as {@linkcode explore} sets it. @default {} */
  readonly given?: Partial<RunOptions>;
}

/** What has been covered. */
export interface Explored {
  /** Runs with no, one and two faults. */
  readonly runs: readonly [none: number, single: number, pairs: number];
  /** Calls at which a fault can happen, in the run without any. */
  readonly calls: number;
  /** Those that fail, with what has made them fail; the fewest faults first. */
  readonly failures: readonly { readonly input: RunInput; readonly result: RunResult }[];
  /** Whether everything was run. */
  readonly isComplete: boolean;
}

interface Search {
  readonly options: Required<ExploreOptions>;
  readonly runs: [number, number, number];
  readonly failures: { input: RunInput; result: RunResult }[];
  isComplete: boolean;
}

/** A small world in which nothing goes wrong but what is decided. */
const quiet: Partial<RunOptions> = {
  ...{ keys: 1, apis: 1, relays: 2, lambdas: 2, processors: 2, shards: 1, batch: 4, burst: 2 },
  ...{ arrivalMs: 50, leaseMs: 400, busLeaseMs: 400, pollMs: 100, timeoutMs: 60, windowMs: 2_000 },
  ...{ linkMs: 1, statementMs: 0.2, commitMs: 1, workMs: 1, capacity: 1_000, faultMaxMs: 2_000 },
  ...noTrouble,
};

/** Runs every combination. */
export function explore(options: ExploreOptions = {}): Explored {
  const { orders = 2, faults = 2, plant = 0, maxRuns = 1_000_000, given = {} } = options;
  const search: Search = {
    options: { orders, faults, plant, maxRuns, given },
    runs: [0, 0, 0],
    failures: [],
    isComplete: true,
  };
  const calls = run(search, []);
  for (const single of faultsAt(calls)) {
    const after = run(search, [single]);
    if (faults === 1) continue;
    // Pairs by the order of their calls: each is run once.
    const place = after.indexOf(single[0]);
    for (const second of faultsAt(after.slice(place + 1))) run(search, [single, second]);
  }
  search.failures.sort((a, b) => a.input.replay!.length - b.input.replay!.length);
  const { runs, failures, isComplete } = search;
  return { runs, calls: calls.length, failures, isComplete };
}

function* faultsAt(calls: readonly string[]): Generator<Decision> {
  for (const call of calls) {
    for (let kind = 1; kind <= faultKinds.length; kind++) {
      const isBus = /^fault-[2367] /.test(call);
      // Order is kept by queues here, so the bus has none to lose.
      if (faultKinds[kind - 1] !== "reorder" || !isBus) yield [call, kind];
    }
  }
}

/** Gives the calls at which a fault could have happened, in their order. */
function run(search: Search, replay: readonly Decision[]): string[] {
  const { orders, plant, maxRuns, given } = search.options;
  const count = search.runs[0] + search.runs[1] + search.runs[2];
  if (count >= maxRuns) {
    search.isComplete = false;
    return [];
  }
  search.runs[replay.length as 0 | 1 | 2]++;
  const calls: string[] = [];
  const input: RunInput = {
    seed: 1,
    plant,
    given: { ordering: "queue", profile: "mvcc", ...quiet, ...given, orders, faults: {} },
    jitter: false,
    replay,
  };
  const result = runSimulation({
    ...input,
    isHashed: false,
    onDecision: (name) => {
      if (name.startsWith("fault-")) calls.push(name);
    },
  });
  if (result.violations.length > 0) search.failures.push({ input, result });
  return calls;
}
