/**
 * What takes long: sweeping seeds for a failure, shrinking one, and asking since when it was bound to
 * come. Each has workers of its own, can be stopped, and says how far it is.
 *
 * @module
 */
import { signal } from "@preact/signals";
import type { Explanation, RunOptions, RunRecord, Violation } from "../simulation/engine.ts";
import { inputOfFile } from "./link.ts";
import { SimulatorClient } from "./simulator_client.ts";
import type { Branch } from "./page_state.ts";
import { show } from "./store.ts";

/** A sweep, as far as it is. */
export interface Sweep {
  readonly state: "running" | "stopped" | "done" | "failed";
  readonly seeds: number;
  readonly seedsPerSecond: number;
  readonly found: readonly { readonly seed: number; readonly violations: readonly Violation[] }[];
  readonly plant: number;
  readonly given: Partial<RunOptions>;
  readonly workers: number;
  /** Why it has failed. */
  readonly error?: string;
}

/** The sweep that runs, or has run last. */
export const sweep = signal<Sweep | undefined>(undefined);

/** A sweep ends after so many seeds, or so many failures. */
export const sweepLimits = { seeds: 10_000, failures: 8 } as const;

const chunkSeeds = 4;
let pool: SimulatorClient[] = [];
let generation = 0;

/** Begins to sweep; what swept before is stopped. */
export function startSweep(plant: number, given: Partial<RunOptions>): void {
  stopSweep();
  const mine = ++generation;
  const workers = Math.max(1, Math.min(4, navigator.hardwareConcurrency || 1));
  sweep.value = {
    ...{ state: "running", seeds: 0, seedsPerSecond: 0, found: [], plant, given, workers },
  };
  const startMs = performance.now();
  let next = 1;
  const work = async (client: SimulatorClient) => {
    while (generation === mine && next <= sweepLimits.seeds) {
      const seeds = Array.from({ length: chunkSeeds }, () => next++)
        .filter((seed) => seed <= sweepLimits.seeds);
      const { failures } = await client.ask("sweep", { job: { seeds, plant, given } });
      if (generation !== mine) return;
      const now = sweep.peek()!;
      const count = now.seeds + seeds.length;
      const found = [...now.found, ...failures].sort((a, b) => a.seed - b.seed)
        .slice(0, sweepLimits.failures);
      const seedsPerSecond = count / (performance.now() - startMs) * 1_000;
      sweep.value = { ...now, seeds: count, seedsPerSecond, found };
      if (found.length >= sweepLimits.failures) return finish("done");
    }
    if (next > sweepLimits.seeds) finish("done");
  };
  pool = Array.from({ length: workers }, () => new SimulatorClient());
  for (const client of pool) {
    work(client).catch((error: Error) => {
      if (generation === mine) finish("failed", error.message);
    });
  }
}

/** Stops the sweep; what it has found stays. */
export function stopSweep(): void {
  if (sweep.peek()?.state === "running") finish("stopped");
}

function finish(state: "done" | "stopped" | "failed", error?: string): void {
  generation++;
  for (const client of pool) client.stop();
  pool = [];
  const now = sweep.peek();
  if (now?.state !== "running") return;
  sweep.value = { ...now, state, ...(error !== undefined && { error }) };
}

/** Something that is asked about a run, as far as it is. */
export type Inquiry<Answer> =
  | { readonly state: "running"; readonly sinceMs: number }
  | { readonly state: "done"; readonly answer: Answer }
  | { readonly state: "failed"; readonly error: string };

/** What shrinking has made of a run. */
export interface ShrunkRun {
  /** What the small run is in the address. */
  readonly code: string;
  readonly executions: number;
  readonly before: RunRecord;
  readonly after: RunRecord;
}

/** By run, what was asked about it. */
export const shrinks = signal<ReadonlyMap<string, Inquiry<ShrunkRun>>>(new Map());
export const explanations = signal<ReadonlyMap<string, Inquiry<Explanation>>>(new Map());
/** By small run, the code of the one that it is made of. */
export const originals = signal<ReadonlyMap<string, string>>(new Map());

/** Longer than that nobody waits. */
export const inquiryTimeoutMs = 120_000;

const asking = new Map<string, SimulatorClient>();

/** Makes a failing run small, and keeps it beside the original. */
export async function shrinkRun(run: Branch): Promise<void> {
  await inquire(shrinks, `shrink ${run.code}`, run, async (client) => {
    const { record } = run.info;
    const answer = await client.ask("shrink", { record }, { timeoutMs: inquiryTimeoutMs });
    const { record: after, executions } = answer;
    const origin =
      `shrunk: ${record.decisions.length} → ${after.decisions.length} decisions, ${record.options.orders} → ${after.options.orders} orders`;
    const small = await show(inputOfFile(JSON.stringify(after)), origin, { parent: run.letter });
    if (small === undefined) throw new Error("The small run cannot be made");
    originals.value = new Map([...originals.peek(), [small.code, run.code]]);
    return { code: small.code, executions, before: record, after };
  });
}

/** Asks since when a failure was bound to come. */
export async function explainRun(run: Branch): Promise<void> {
  await inquire(
    explanations,
    `explain ${run.code}`,
    run,
    (client) => client.ask("explain", { record: run.info.record }, { timeoutMs: inquiryTimeoutMs }),
  );
}

/** Stops what is asked about a run. */
export function cancel(what: "shrink" | "explain", run: Branch): void {
  asking.get(`${what} ${run.code}`)?.stop("Cancelled");
}

async function inquire<Answer>(
  into: typeof shrinks | typeof explanations,
  name: string,
  run: Branch,
  ask: (client: SimulatorClient) => Promise<Answer>,
): Promise<void> {
  const put = (inquiry: Inquiry<Answer>) => {
    const signal = into as unknown as { value: ReadonlyMap<string, Inquiry<Answer>> };
    signal.value = new Map([...signal.value, [run.code, inquiry]]);
  };
  using client = new SimulatorClient();
  asking.set(name, client);
  put({ state: "running", sinceMs: performance.now() });
  try {
    put({ state: "done", answer: await ask(client) });
  } catch (error) {
    put({ state: "failed", error: (error as Error).message });
  } finally {
    asking.delete(name);
  }
}
