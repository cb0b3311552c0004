/**
 * In what steps a program's clock went: one that takes its starts from a clock of whole milliseconds,
 * as the JavaScript SDK does, and its durations from a finer one has children that seem to outlive
 * their parents. Where its spans begin is then known to a millisecond only, and is shown so.
 *
 * @module
 */
import type { JaegerTrace } from "../page_api/jaeger_api.ts";

const millisecondUs = 1_000;

/**
 * The processes of a trace, by their ids, all of whose spans begin on whole milliseconds while one
 * lasts a fraction of one.
 *
 * @example
 * ```ts
 * const isCoarse = coarseProcesses(trace).has(span.processID);
 * ```
 */
export function coarseProcesses({ spans }: JaegerTrace): ReadonlySet<string> {
  const fine = new Set<string>();
  const coarse = new Set<string>();
  for (const { processID, startTime, duration } of spans) {
    if (startTime % millisecondUs !== 0) fine.add(processID);
    else if (duration % millisecondUs !== 0) coarse.add(processID);
  }
  return coarse.difference(fine);
}
