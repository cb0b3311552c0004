import assert from "node:assert/strict";
import type { JaegerSpan, JaegerTrace } from "../page_api/jaeger_api.ts";
import { coarseProcesses } from "./clock_resolution.ts";

/** A trace of spans of `[process, start, duration]`, in microseconds. */
function traceOf(...spans: [string, number, number][]): JaegerTrace {
  return {
    traceID: "t",
    processes: {},
    warnings: null,
    spans: spans.map(([processID, startTime, duration]) =>
      ({ processID, startTime, duration }) as JaegerSpan
    ),
  };
}

const startUs = 1_795_000_000_000_000;

Deno.test("coarseProcesses() finds those whose starts are whole milliseconds while durations are not", () => {
  const trace = traceOf(
    ["js", startUs, 1_250],
    ["js", startUs + 2_000, 3_000],
    ["go", startUs + 417, 1_250],
    // One that happens to begin so, among others.
    ["go", startUs + 3_000, 1_250],
    ["go", startUs + 4_000, 1_250],
    // All in whole milliseconds: nothing says that it was finer.
    ["cron", startUs, 5_000],
  );
  assert.deepEqual([...coarseProcesses(trace)], ["js"]);
});
