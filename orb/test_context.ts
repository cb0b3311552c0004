/**
 * For tests: what a program of this folder gets from its life cycle, with a log that is kept and
 * telemetry that is off.
 *
 * @module
 */
import { metrics, trace } from "@opentelemetry/api";
import { Health } from "../service/health.ts";
import type { ServiceContext } from "../service/life_cycle.ts";
import { createLog } from "../service/log.ts";

/** A context whose log lines are kept, as `LEVEL message key=value`. */
export function testContext(): ServiceContext & { lines: string[]; stop(): void } {
  const lines: string[] = [];
  const stopping = new AbortController();
  return {
    lines,
    stopping: stopping.signal,
    stop: () => stopping.abort(),
    health: new Health(),
    log: createLog({
      name: "test",
      write: (line) => lines.push(line.replace(/^\S+ \S+ (\w+) \[test\] /, "$1 ")),
    }),
    telemetry: {
      enabled: false,
      tracer: trace.getTracer("test"),
      meter: metrics.getMeter("test"),
      shutdown: () => Promise.resolve(),
    },
  };
}
