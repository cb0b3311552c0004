/**
 * For tests: the context that a program gets from its life cycle, without the process around it.
 *
 * @module
 */
import { type Meter, metrics, trace } from "@opentelemetry/api";
import { Health } from "../health.ts";
import type { ServiceContext } from "../life_cycle.ts";
import { createLog } from "../log.ts";
import { realWorld, type World } from "../world/world.ts";

/** A context whose log can be read. */
export interface TestContext extends ServiceContext {
  /** Lines of the log so far, as `LEVEL message key=value`. */
  readonly lines: string[];
  /** Begins the shutdown. */
  stop(): void;
}

/** Options of {@linkcode testContext}. */
export interface TestContextOptions {
  /** Where lines of the log are collected. @default a new list */
  lines?: string[];
  /** Time and chance. @default the real world */
  world?: World;
  /** Makes the instruments. @default of whatever provider is installed */
  meter?: Meter;
}

/** Makes a context with a log that is kept; telemetry goes to whatever provider is installed. */
export function testContext(
  { lines = [], world = realWorld, meter = metrics.getMeter("test") }: TestContextOptions = {},
): TestContext {
  const stopping = new AbortController();
  return {
    lines,
    stop: () => stopping.abort(),
    stopping: stopping.signal,
    health: new Health(),
    log: createLog({
      name: "test",
      level: "debug",
      write: (line) => lines.push(line.replace(/^\S+ \S+ (\w+) \[test\] /, "$1 ")),
    }),
    telemetry: {
      enabled: false,
      tracer: trace.getTracer("test"),
      meter,
      shutdown: () => Promise.resolve(),
    },
    world,
  };
}

/** Gives up nothing before it is done: the deadline that never comes. */
export const noDeadline: AbortSignal = new AbortController().signal;
