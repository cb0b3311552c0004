/**
 * A live run as a file that `simulate replay` takes.
 *
 * @module
 */
import type { Decision } from "../simulation/decisions.ts";
import type { RunRecord } from "../simulation/record.ts";
import {
  type FaultKind,
  faultKinds,
  type FaultRates,
  noTrouble,
  type RunOptions,
} from "../simulation/options.ts";
import type { Settings } from "../topology/settings.ts";
import type { PartKind } from "./parts.ts";
import { timeouts } from "./live_settings.ts";
import type { LiveRecording } from "./live_recorder.ts";
import type { LiveState } from "./live_state.ts";

/** What a live run does not know of itself, as the simulation wants it; durations in milliseconds. */
const usual = { linkMs: 0.5, statementMs: 0.1, commitMs: 2, workMs: 0.5, faultMaxMs: 20_000 };

/** Makes the record. */
export function liveRecord(
  state: Pick<LiveState, "seed" | "parts" | "keys" | "store">,
  settings: Settings,
  { orders, decisions, interventions }: LiveRecording,
): RunRecord {
  const instances = (kind: PartKind, backend: 1 | 2) =>
    state.parts.filter((part) => part.kind === kind && part.backend === backend).length;
  const names = decisions.map(([name]) => name);
  const options: RunOptions = {
    ...settings,
    apis: instances("backend", 1),
    relays: Math.max(1, instances("relay", 1)),
    lambdas: instances("lambda", 2),
    processors: instances("processor", 2),
    profile: state.store === "postgresql" ? "mvcc" : "one-writer",
    orders: orders.length,
    keys: state.keys.length,
    orderKeys: orders.map(({ key }) => key),
    arrivalMs: Math.max(1_000, orders.at(-1)?.atMs ?? 0),
    burst: 1,
    busLeaseMs: timeouts.busLeaseMs,
    timeoutMs: timeouts.callMs,
    ...usual,
    capacity: 100_000,
    faults: ratesOf(decisions),
    ...noTrouble,
    poison: rateOf(names, "poison"),
    slow: rateOf(names, "slow"),
  };
  return {
    version: 1,
    seed: state.seed,
    plant: settings.plant,
    options,
    jitter: false,
    decisions,
    interventions,
    invariants: [],
    hash: "",
  };
}

/** A point whose kind has been chosen once has a rate: where all are 0, nothing is asked. */
function ratesOf(decisions: readonly Decision[]): FaultRates {
  const rates: Record<number, Partial<Record<FaultKind, number>>> = {};
  for (const [name, value] of decisions) {
    const [, point] = /^fault-(\d) /.exec(name) ?? [];
    const kind = faultKinds[value - 1];
    if (point === undefined || kind === undefined) continue;
    (rates[Number(point)] ??= {})[kind] = 0.01;
  }
  return rates;
}

function rateOf(names: readonly string[], what: string): number {
  return names.some((name) => name.startsWith(`${what} `)) ? 0.01 : 0;
}
