/**
 * What the page and its workers say to each other. A worker holds the runs; the page gets what never
 * changes of a run once, and a picture of an instant whenever it goes there.
 *
 * @module
 */
import type {
  Decision,
  DecisionAt,
  EngineInput,
  Explanation,
  Intervention,
  LogEntry,
  Mark,
  OrderStory,
  RunOptions,
  RunRecord,
  Snapshot,
  SweepJob,
  SweepResult,
  Violation,
} from "../simulation/engine.ts";

/** What never changes of a run. */
export interface RunInfo {
  /** What the worker knows it by. */
  readonly key: number;
  readonly input: EngineInput;
  readonly options: RunOptions;
  /** Events of the event loop. */
  readonly length: number;
  readonly endMs: number;
  /** When each event has run, in milliseconds; the first is the beginning. */
  readonly timesMs: Float64Array;
  readonly entries: readonly LogEntry[];
  readonly decisions: readonly DecisionAt[];
  readonly marks: readonly Mark[];
  readonly verdict: "true" | "false" | "unknown";
  readonly violations: readonly Violation[];
  readonly hash: string;
  /** For `replay`, `shrink` and `why`. */
  readonly record: RunRecord;
}

/** An instant of a run. */
export interface RunView {
  readonly snapshot: Snapshot;
  readonly orders: readonly OrderStory[];
}

/** What a run differs in from the one that it is made of. */
export interface ForkChange {
  readonly changes?: readonly Decision[];
  readonly interventions?: readonly Intervention[];
  readonly given?: Partial<RunOptions>;
}

/** What the page asks for, and what the answer to it is. */
export interface Requests {
  open: { ask: { input: EngineInput }; answer: RunInfo };
  view: { ask: { key: number; event: number }; answer: RunView };
  close: { ask: { key: number }; answer: null };
  sweep: { ask: { job: SweepJob }; answer: SweepResult };
  shrink: { ask: { record: RunRecord }; answer: { record: RunRecord; executions: number } };
  explain: { ask: { record: RunRecord }; answer: Explanation };
}

/** The name of a request. */
export type RequestName = keyof Requests;

/** A request on its way. */
export interface RequestMessage<Name extends RequestName = RequestName> {
  readonly id: number;
  readonly name: Name;
  readonly ask: Requests[Name]["ask"];
}

/** An answer on its way. */
export type AnswerMessage =
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly error: string };
