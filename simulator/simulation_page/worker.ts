/**
 * The worker of the page: the simulator itself. It holds runs, or runs what takes long.
 *
 * @module
 */
import { createRun, explain, runJob, shrink, type SimulatedRun } from "../simulation/engine.ts";
import type { AnswerMessage, RequestMessage, RequestName, Requests, RunInfo } from "./protocol.ts";

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<RequestMessage>) => void) | null;
  postMessage(message: AnswerMessage, transfer: Transferable[]): void;
};

const runs = new Map<number, SimulatedRun>();
let lastKey = 0;

type Answerers = {
  readonly [Name in RequestName]: (ask: Requests[Name]["ask"]) => Requests[Name]["answer"];
};

const answerers: Answerers = {
  open({ input }) {
    const run = createRun(input);
    const key = ++lastKey;
    runs.set(key, run);
    return infoOf(key, run);
  },
  view({ key, event }) {
    const run = runOf(key);
    run.seek(event);
    return { snapshot: run.snapshot(), orders: run.orders() };
  },
  close({ key }) {
    runs.delete(key);
    return null;
  },
  sweep: ({ job }) => runJob(job),
  shrink: ({ record }) => shrink(record),
  explain: ({ record }) => explain(record),
};

scope.onmessage = ({ data: { id, name, ask } }) => {
  try {
    const answer = (answerers[name] as (ask: unknown) => unknown)(ask);
    const times = name === "open" ? [(answer as RunInfo).timesMs.buffer as ArrayBuffer] : [];
    scope.postMessage({ id, answer }, times);
    if (runs.size > 0) parkTimer ??= setTimeout(parkSome);
  } catch (error) {
    scope.postMessage({ id, error: error instanceof Error ? error.message : String(error) }, []);
  }
};

/** While nobody asks, whatever makes seeking quicker is made, in portions that a request can wait for. */
function parkSome(): void {
  parkTimer = undefined;
  for (const run of runs.values()) {
    if (!run.park()) continue;
    parkTimer = setTimeout(parkSome);
    return;
  }
}

let parkTimer: ReturnType<typeof setTimeout> | undefined;

function runOf(key: number): SimulatedRun {
  const run = runs.get(key);
  if (run === undefined) throw new Error(`The worker has no run ${key}`);
  return run;
}

function infoOf(key: number, run: SimulatedRun): RunInfo {
  const { input, length, entries, decisions, marks, result } = run;
  const { options, verdict, violations, hash, virtualMs } = result;
  return {
    key,
    input,
    options,
    length,
    endMs: virtualMs,
    timesMs: Float64Array.from({ length: length + 1 }, (_, event) => run.timeOf(event)),
    entries,
    decisions: decisions.filter(({ name }) => name.startsWith("fault-")),
    marks,
    verdict,
    violations,
    hash,
    record: run.record(),
  };
}
