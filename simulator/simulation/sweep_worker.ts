/**
 * A worker of a sweep: takes lists of seeds, gives what they have found.
 *
 * A worker loads this same file, or the one bundled file that holds it, and knows itself by its
 * name: see {@linkcode inSweepWorker}.
 *
 * @module
 */
import { runJob, type SweepJob, type SweepResult } from "./sweep_job.ts";

const workerName = "simulate-sweep-worker";

const scope = globalThis as unknown as {
  readonly name?: string;
  onmessage: ((event: MessageEvent<SweepJob>) => void) | null;
  postMessage(message: unknown): void;
};

/** True inside a worker. An entry file asks before it runs. */
export const inSweepWorker = "WorkerGlobalScope" in globalThis && scope.name === workerName;

/** A thread that runs seeds, seen from the one that asks. */
export interface SweepWorker {
  /**
   * Runs the seeds of a job; one job at a time.
   *
   * @throws {Error} the worker has died.
   */
  run(job: SweepJob): Promise<SweepResult>;
  /** Ends it at once. */
  end(): void;
}

/**
 * Starts a worker.
 *
 * @example
 * ```ts
 * const worker = startSweepWorker();
 * const { failures } = await worker.run({ seeds: [1, 2, 3], plant: 0, given: {} });
 * worker.end();
 * ```
 */
export function startSweepWorker(): SweepWorker {
  const worker = new Worker(import.meta.url, { type: "module", name: workerName });
  return {
    run: (job) =>
      new Promise((resolve, reject) => {
        worker.onmessage = ({ data }: MessageEvent<SweepResult>) => resolve(data);
        worker.onerror = (event) => {
          event.preventDefault();
          reject(new Error(event.message));
        };
        worker.postMessage(job);
      }),
    end: () => worker.terminate(),
  };
}

if (inSweepWorker) scope.onmessage = ({ data }) => scope.postMessage(runJob(data));
