/**
 * At which point a failure was bound to come: the run is replayed up to an instant, and its future
 * from there is drawn anew, many times; where the share of futures that fail jumps, something has
 * happened that matters.
 *
 * @module
 */
import type { InvariantName } from "../topology/plants.ts";
import { inputOf, type RunRecord } from "./record.ts";
import { runSimulation } from "./run.ts";

/** Options of {@linkcode explain}. */
export interface ExplainOptions {
  /** Whose failure is explained. @default the first that the record has */
  readonly invariant?: InvariantName;
  /** Instants that are looked at. @default 40 */
  readonly instants?: number;
  /** Futures that are drawn from each. @default 50 */
  readonly rolls?: number;
}

/** How likely the failure is, from an instant on. */
export interface Instant {
  readonly atMs: number;
  /** From 0 to 1. */
  readonly probability: number;
}

/** What {@linkcode explain} has found. */
export interface Explanation {
  readonly invariant: InvariantName;
  readonly failedAtMs: number;
  readonly instants: readonly Instant[];
  /** Between which instants the probability rises most. */
  readonly jump: readonly [before: Instant, after: Instant];
  /** What the log says between them, without the heartbeat of leases. */
  readonly lines: readonly string[];
}

/**
 * Explains a failure.
 *
 * @throws {RangeError} the record does not fail
 */
export function explain(record: RunRecord, options: ExplainOptions = {}): Explanation {
  const { instants: count = 40, rolls = 50, invariant = record.invariants[0] } = options;
  const lines: string[] = [];
  const input = inputOf(record);
  const { violations } = runSimulation({ ...input, onLine: (line) => lines.push(line) });
  const violation = violations.find((one) => one.invariant === invariant);
  if (violation === undefined) throw new RangeError("Cannot explain a run that does not fail");
  const { atMs: failedAtMs } = violation;
  const instants: Instant[] = [];
  for (let index = 0; index <= count; index++) {
    // The last one lies behind the failure: there it is certain.
    const atMs = index === count ? failedAtMs + 0.001 : failedAtMs * index / count;
    instants.push({ atMs, probability: shareOfFailures(record, violation.invariant, atMs, rolls) });
  }
  const jump = largestRise(instants);
  const [from, to] = jump.map(({ atMs }) => atMs * 1_000);
  const between = lines.filter((line) => {
    const atUs = Number.parseInt(line, 10);
    return atUs >= from! && atUs < to! && !line.endsWith("leases+1") && !line.includes("lock-wait");
  });
  return { invariant: violation.invariant, failedAtMs, instants, jump, lines: between };
}

function shareOfFailures(
  record: RunRecord,
  invariant: InvariantName,
  atMs: number,
  rolls: number,
): number {
  let failed = 0;
  for (let seed = 1; seed <= rolls; seed++) {
    const { violations } = runSimulation({
      ...inputOf(record),
      isHashed: false,
      reroll: { atMs, seed },
      stopAt: invariant,
    });
    if (violations.some((one) => one.invariant === invariant)) failed++;
  }
  return failed / rolls;
}

function largestRise(instants: readonly Instant[]): readonly [Instant, Instant] {
  const pairs = instants.slice(1).map((after, index) => [instants[index]!, after] as const);
  const rise = ([before, after]: readonly [Instant, Instant]) =>
    after.probability - before.probability;
  return pairs.reduce((best, pair) => rise(pair) > rise(best) ? pair : best);
}
