/**
 * A worker of a sweep: takes lists of seeds, gives what they have found.
 *
 * @module
 */
import { runJob, type SweepJob } from "./sweep_job.ts";

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<SweepJob>) => void) | null;
  postMessage(message: unknown): void;
};

scope.onmessage = ({ data }) => scope.postMessage(runJob(data));
