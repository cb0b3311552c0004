/**
 * Many seeds, on all cores.
 *
 * @module
 */
import type { Violation } from "./invariants.ts";
import { faultKinds, faultPoints, type RunOptions } from "./options.ts";
import { runSimulation } from "./run.ts";
import { rareEvents } from "./simulated_world.ts";

/** Options of {@linkcode sweep}. */
export interface SweepOptions {
  readonly from: number;
  readonly to: number;
  /** Takes each N-th seed only, beginning with the index-th of them. @default all */
  readonly shard?: { readonly index: number; readonly count: number };
  /** @default 0, none */
  readonly plant?: number;
  readonly given?: Partial<RunOptions>;
  /** Workers; 0 runs in this thread. @default 0 */
  readonly workers?: number;
  /** Notified of each seed that fails. */
  readonly onFailure?: (failure: Failure) => void;
}

/** A seed that fails. */
export interface Failure {
  readonly seed: number;
  readonly violations: readonly Violation[];
}

/** What a sweep, or a part of it, has found. */
export interface SweepResult {
  seeds: number;
  failures: Failure[];
  events: number;
  lines: number;
  virtualMs: number;
  /** How often each rare event was reached. */
  reached: Record<string, number>;
}

/** What a worker is asked for. */
export interface SweepJob {
  readonly seeds: readonly number[];
  readonly plant: number;
  readonly given: Partial<RunOptions>;
}

const chunkSize = 20;

/** Runs the seeds of a range. */
export async function sweep(options: SweepOptions): Promise<SweepResult> {
  const { plant = 0, given = {}, workers = 0, onFailure } = options;
  const whole = emptyResult();
  const take = (part: SweepResult) => {
    for (const failure of part.failures) onFailure?.(failure);
    merge(whole, part);
  };
  const chunks = chunksOf(options);
  const work = async (run: (job: SweepJob) => SweepResult | Promise<SweepResult>) => {
    for (const seeds of chunks) take(await run({ seeds, plant, given }));
  };
  if (workers === 0) await work(runJob);
  else await Promise.all(Array.from({ length: workers }, () => inWorker(work)));
  whole.failures.sort((a, b) => a.seed - b.seed);
  return whole;
}

/** Runs the seeds of a job, in this thread. */
export function runJob({ seeds, plant, given }: SweepJob): SweepResult {
  const result = emptyResult();
  for (const seed of seeds) {
    const run = runSimulation({ seed, plant, given });
    result.seeds++;
    result.events += run.events;
    result.lines += run.lines;
    result.virtualMs += run.virtualMs;
    if (run.violations.length > 0) result.failures.push({ seed, violations: run.violations });
    for (const [event, count] of run.reached) {
      result.reached[event] = (result.reached[event] ?? 0) + count;
    }
  }
  return result;
}

/** Rare paths that no seed has come to: what a sweep has not tried. */
export function unreached({ reached }: SweepResult): string[] {
  const wanted: string[] = [...rareEvents];
  for (const point of faultPoints) wanted.push(...faultKinds.map((kind) => `${kind}@${point}`));
  return wanted.filter((event) => reached[event] === undefined);
}

function* chunksOf({ from, to, shard }: SweepOptions): Generator<number[]> {
  let chunk: number[] = [];
  for (let seed = from; seed <= to; seed++) {
    if (shard !== undefined && (seed - from) % shard.count !== shard.index) continue;
    chunk.push(seed);
    if (chunk.length < chunkSize) continue;
    yield chunk;
    chunk = [];
  }
  if (chunk.length > 0) yield chunk;
}

async function inWorker(
  work: (run: (job: SweepJob) => Promise<SweepResult>) => Promise<void>,
): Promise<void> {
  const worker = new Worker(new URL("./sweep_worker.ts", import.meta.url).href, { type: "module" });
  try {
    await work((job) =>
      new Promise((resolve, reject) => {
        worker.onmessage = ({ data }: MessageEvent<SweepResult>) => resolve(data);
        worker.onerror = (event) => {
          event.preventDefault();
          reject(new Error(event.message));
        };
        worker.postMessage(job);
      })
    );
  } finally {
    worker.terminate();
  }
}

function emptyResult(): SweepResult {
  return { seeds: 0, failures: [], events: 0, lines: 0, virtualMs: 0, reached: {} };
}

function merge(whole: SweepResult, part: SweepResult): void {
  whole.seeds += part.seeds;
  whole.events += part.events;
  whole.lines += part.lines;
  whole.virtualMs += part.virtualMs;
  whole.failures.push(...part.failures);
  for (const [event, count] of Object.entries(part.reached)) {
    whole.reached[event] = (whole.reached[event] ?? 0) + count;
  }
}
