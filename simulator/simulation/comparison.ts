/**
 * Whether a run is the same twice: what follows from a seed must follow from nothing else.
 *
 * @module
 */
import type { LogEntry } from "./event_loop.ts";
import type { RunInput, RunResult } from "./run.ts";

/** Where two logs differ first. */
export interface LogDifference {
  /** Of the log, the first being 1. */
  readonly line: number;
  /** The event that has logged it, the first being 1: of the log that has the line. */
  readonly event: number;
  /** What each of them has there; `undefined` where it has ended. */
  readonly texts: readonly [string | undefined, string | undefined];
}

/** What two runs have in common. */
export interface Comparison {
  /** Lines of the first log. */
  readonly lines: number;
  /** SHA-256 of the first log, in hex. */
  readonly hash: string;
  /** `undefined`: they are the same. */
  readonly difference: LogDifference | undefined;
}

interface Log {
  readonly lines: string[];
  /** By line, the event that has logged it. */
  readonly events: number[];
  hash: string;
}

/**
 * Runs twice, and compares the logs line by line.
 *
 * @param run such as `runSimulation`
 *
 * @example
 * ```ts
 * const { difference } = compareRuns({ seed: 7 }, runSimulation);
 * ```
 */
export function compareRuns(input: RunInput, run: (input: RunInput) => RunResult): Comparison {
  const [first, second] = [logOf(input, run), logOf(input, run)];
  const { lines: { length }, hash } = first;
  return { lines: length, hash, difference: differenceOf(first, second) };
}

function logOf(input: RunInput, run: (input: RunInput) => RunResult): Log {
  const log: Log = { lines: [], events: [], hash: "" };
  const onLine = (line: string) => void log.lines.push(line);
  const onEntry = ({ event }: LogEntry) => void log.events.push(event);
  log.hash = run({ ...input, onLine, onEntry }).hash;
  return log;
}

function differenceOf(first: Log, second: Log): LogDifference | undefined {
  const length = Math.max(first.lines.length, second.lines.length);
  for (let place = 0; place < length; place++) {
    const texts = [first.lines[place], second.lines[place]] as const;
    if (texts[0] === texts[1]) continue;
    return { line: place + 1, event: (first.events[place] ?? second.events[place])!, texts };
  }
  if (first.hash === second.hash) return undefined;
  throw new Error(`The same ${length} lines have the hashes ${first.hash} and ${second.hash}`);
}
