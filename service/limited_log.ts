/**
 * Logging what anybody outside can cause, without letting them flood the log.
 *
 * @module
 */
import type { Log, LogFields } from "./log.ts";

/** Options of {@linkcode limitedLog}. */
export interface LimitedLogOptions {
  /** Lines a second; what is beyond is counted and told with the next line. @default 20 */
  maxLinesPerSecond?: number;
  /** The clock, in milliseconds. @default performance.now */
  nowMs?: () => number;
}

/** Makes a `warn` that says how much it has left out. */
export function limitedLog(
  log: Log,
  { maxLinesPerSecond = 20, nowMs = () => performance.now() }: LimitedLogOptions = {},
): (message: string, fields?: LogFields) => void {
  let second = -1;
  let lines = 0;
  let leftOut = 0;
  return function warnWithin(message, fields = {}) {
    const now = Math.floor(nowMs() / 1_000);
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
