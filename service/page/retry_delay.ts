/**
 * How long a page waits before it connects again.
 *
 * @module
 */
import { backoffDelayMs, type BackoffOptions } from "../resilience.ts";
import type { World } from "../world/world.ts";

/** Half of each wait: the other half is kept, as a page that a person watches must not hammer its server. */
const jitter = 0.5;

/**
 * The wait before an attempt to connect again, in milliseconds. It doubles with each attempt up to
 * the cap; half of it is drawn, so that a restarted server does not get all its pages in one moment.
 *
 * @param attempt counts from 1
 *
 * @example
 * ```ts
 * const waitMs = retryDelayMs(++attempt, { baseDelayMs: 500, maxDelayMs: 8_000 });
 * setTimeout(connect, waitMs); // 250 to 500 ms, then 500 to 1,000, …
 * ```
 */
export function retryDelayMs(
  attempt: number,
  options: Omit<BackoffOptions, "jitter">,
  world?: Pick<World, "random">,
): number {
  return backoffDelayMs(attempt, { ...options, jitter }, world);
}
