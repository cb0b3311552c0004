/**
 * Logging what any client can cause, without letting clients flood the log.
 *
 * @module
 */
import type { Log, LogFields } from "./log.ts";
import { realWorld, type World } from "./world/world.ts";

/** Options of {@linkcode limitedLog}. */
export interface LimitedLogOptions {
  /** Lines a second; what is beyond is counted, and the next line says how many. @default 20 */
  maxLinesPerSecond?: number;
  /** Whose seconds they are. @default the real world */
  world?: Pick<World, "monotonicMs">;
}

/**
 * Makes a `warn` that says how much it has left out.
 *
 * @example
 * ```ts
 * const warn = limitedLog(log, { maxLinesPerSecond: 1, world });
 * warn("Refused a message", { reason: "too large" });
 * ```
 */
export function limitedLog(
  log: Log,
  { maxLinesPerSecond = 20, world = realWorld }: LimitedLogOptions = {},
): (message: string, fields?: LogFields) => void {
  let second = -1;
  let lines = 0;
  let leftOut = 0;
  return function warnLimited(message, fields = {}) {
    const now = Math.floor(world.monotonicMs() / 1_000);
    if (now !== second) {
      second = now;
      lines = 0;
    }
    if (++lines > maxLinesPerSecond) {
      leftOut++;
      return;
    }
    log.warn(message, leftOut > 0 ? { ...fields, leftOut } : fields);
    leftOut = 0;
  };
}
