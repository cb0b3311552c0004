/**
 * For tests: the context that a program gets from its life cycle, without the process around it.
 *
 * @module
 */
import { metrics, trace } from "@opentelemetry/api";
import { Health } from "../service/health.ts";
import type { ServiceContext } from "../service/life_cycle.ts";
import { createLog } from "../service/log.ts";

/** A context whose log can be read. */
export interface TestContext extends ServiceContext {
  /** Lines of the log so far. */
  readonly lines: string[];
  /** Begins the shutdown. */
  stop(): void;
}

/** Makes a context; telemetry goes to whatever provider is installed. */
export function testContext(): TestContext {
  const controller = new AbortController();
  const lines: string[] = [];
  return {
    lines,
    stop: () => controller.abort(),
    stopping: controller.signal,
    health: new Health(),
    log: createLog({ name: "test", level: "debug", write: (line) => lines.push(line) }),
    telemetry: {
      enabled: false,
      tracer: trace.getTracer("test"),
      meter: metrics.getMeter("test"),
      shutdown: () => Promise.resolve(),
    },
  };
}

/** Gives up nothing before it is done: the deadline that never comes. */
export const noDeadline: AbortSignal = new AbortController().signal;
