/**
 * Many seeds, on all cores.
 *
 * @module
 */
import type { RunOptions } from "./options.ts";
import {
  emptyResult,
  type Failure,
  merge,
  runJob,
  type SweepJob,
  type SweepResult,
} from "./sweep_job.ts";
import { startSweepWorker } from "./sweep_worker.ts";

/** Options of {@linkcode sweep}. */
export interface SweepOptions {
  readonly from: number;
  readonly to: number;
  /** Takes each N-th seed only, beginning with the index-th of them. @default all */
  readonly shard?: { readonly index: number; readonly count: number };
  /** @default 0, none */
  readonly plant?: number;
  readonly given?: Partial<RunOptions>;
  /** Whether each kind of trouble is absent in half of the seeds. @default true */
  readonly isSwarm?: boolean;
  /** Workers; 0 runs in this thread. @default 0 */
  readonly workers?: number;
  /** Notified of each seed that fails. */
  readonly onFailure?: (failure: Failure) => void;
}

const chunkSize = 25;

/** Runs the seeds of a range. */
export async function sweep(options: SweepOptions): Promise<SweepResult> {
  const { plant = 0, given = {}, isSwarm = true, workers = 0, onFailure } = options;
  const whole = emptyResult();
  const take = (part: SweepResult) => {
    for (const failure of part.failures) onFailure?.(failure);
    merge(whole, part);
  };
  const chunks = chunksOf(options);
  const work = async (run: (job: SweepJob) => SweepResult | Promise<SweepResult>) => {
    for (const seeds of chunks) take(await run({ seeds, plant, given, isSwarm }));
  };
  if (workers === 0) await work(runJob);
  else await Promise.all(Array.from({ length: workers }, () => inWorker(work)));
  whole.failures.sort((a, b) => a.seed - b.seed);
  return whole;
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
  const worker = startSweepWorker();
  try {
    await work((job) => worker.run(job));
  } finally {
    worker.end();
  }
}
