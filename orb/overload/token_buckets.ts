/**
 * A token bucket for each device: so many calls a second in the long run, so many at once. What is
 * left is told in the fields `RateLimit` and `RateLimit-Policy`
 * (draft-ietf-httpapi-ratelimit-headers).
 *
 * Each server has buckets of its own: behind a balancer a device has those of all of them.
 *
 * @module
 */
import { ProblemError } from "../../service/problem.ts";
import { realWorld, type World } from "../../service/world/world.ts";

/** Options of {@linkcode TokenBuckets}. */
export interface TokenBucketsOptions {
  /** What is limited, as the policy's name. */
  name: string;
  /** Calls a second that a device may make in the long run, above 0. */
  perSecond: number;
  /** Calls that it may make at once after a rest, at least 1. */
  burst: number;
  /** Devices that are remembered, at least 1; beyond it those that rested longest are forgotten. @default 100_000 */
  maxDevices?: number;
  /** Whose time it is. @default the real world */
  world?: Pick<World, "monotonicMs">;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

/**
 * The buckets.
 *
 * @example
 * ```ts
 * const buckets = new TokenBuckets({ name: "signups", perSecond: 10, burst: 50 });
 * const headers = buckets.take("orb-7"); // throws a ProblemError 429 when its bucket is empty
 * ```
 */
export class TokenBuckets {
  readonly #options: Required<TokenBucketsOptions>;
  /** In the order of their last use. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: TokenBucketsOptions) {
    this.#options = { maxDevices: 100_000, world: realWorld, ...options };
    const { perSecond, burst, maxDevices } = this.#options;
    for (
      const [name, value, min] of [["burst", burst, 1], ["maxDevices", maxDevices, 1]] as const
    ) {
      if (!Number.isSafeInteger(value) || value < min) {
        throw new RangeError(
          `Cannot limit as '${name}' must be an integer of at least ${min}: current value is ${value}`,
        );
      }
    }
    if (!(perSecond > 0)) {
      throw new RangeError(
        `Cannot limit as 'perSecond' must be above 0: current value is ${perSecond}`,
      );
    }
  }

  /** Devices that are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  /**
   * Takes a token of a device.
   *
   * @returns the headers that tell what is left
   * @throws {ProblemError} 429 with `Retry-After` and the same headers: there is none
   */
  take(device: string): Record<string, string> {
    const { perSecond, burst, world, name, maxDevices } = this.#options;
    const nowMs = world.monotonicMs();
    const before = this.#buckets.get(device) ?? { tokens: burst, atMs: nowMs };
    const refilled = before.tokens + (nowMs - before.atMs) / 1_000 * perSecond;
    const tokens = Math.min(burst, refilled);
    const isEmpty = tokens < 1;
    const after = isEmpty ? tokens : tokens - 1;
    this.#buckets.delete(device);
    this.#buckets.set(device, { tokens: after, atMs: nowMs });
    if (this.#buckets.size > maxDevices) {
      this.#buckets.delete(this.#buckets.keys().next().value!);
    }
    const untilNextSeconds = Math.ceil(Math.max(0, 1 - after) / perSecond);
    const headers = {
      "ratelimit-policy": `"${name}";q=${burst};w=${Math.max(1, Math.ceil(burst / perSecond))}`,
      "ratelimit": `"${name}";r=${Math.floor(after)};t=${untilNextSeconds}`,
    };
    if (!isEmpty) return headers;
    throw new ProblemError(429, {
      title: "Too many requests",
      detail:
        `A device may sign up ${perSecond} times a second, ${burst} times at once. Try again in ${
          Math.max(1, untilNextSeconds)
        } s.`,
    }, { ...headers, "retry-after": String(Math.max(1, untilNextSeconds)) });
  }
}
