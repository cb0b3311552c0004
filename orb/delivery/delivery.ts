/**
 * Hands in one signup for good: again and again with the same image, as long as the server cannot
 * and the budget lasts, and not before the time the server asked for.
 *
 * @module
 */
import type { Counter, Meter } from "@opentelemetry/api";
import { backoffDelayMs, pause } from "../../service/resilience.ts";
import { realWorld, type World } from "../../service/world/world.ts";
import type { CallPolicy } from "./call_policy.ts";
import type { CallResult, OutgoingSignup, SignupWire } from "./signup_wire.ts";

/** How long and how often a signup is tried. */
export interface RetryOptions {
  /** The longest wait after the first failure, in milliseconds; it doubles, with full jitter. @default 250 */
  baseDelayMs?: number;
  /** The longest wait that is not the server's wish, in milliseconds. @default 30_000 */
  maxDelayMs?: number;
  /** The longest wait that the server may ask for, in milliseconds. @default 3_600_000 */
  maxRetryAfterMs?: number;
  /** Retries may be at most this share of signups, so that they do not keep down who is down. @default 0.2 */
  retryRatio?: number;
  /** Retries that are always left, whatever the share, at most and after each 10 s without one. @default 10 */
  retryReserve?: number;
}

/** What {@linkcode Delivery} works with. */
export interface DeliveryOptions {
  /** Makes the calls. */
  wire: SignupWire;
  /** Lets them through. */
  policy: CallPolicy;
  /** Calls a signup gets at most; `Infinity` for one that is kept until it is decided. */
  maxAttempts: number;
  /** How it waits. @default the defaults of {@linkcode RetryOptions} */
  retry?: RetryOptions;
  /** Ends the waiting. */
  stopping: AbortSignal;
  /** Makes the instruments. */
  meter: Meter;
  /** Time and chance. @default the real world */
  world?: World;
}

const stoppedResult: CallResult = { kind: "later", reason: "the client stops" };

/** Called before each wait. */
export type OnRetry = (failure: CallResult, delayMs: number) => void;

/**
 * Delivers signups; one for a whole client, as its budget is shared.
 *
 * @example
 * ```ts
 * const delivery = new Delivery({ wire, policy, maxAttempts: 5, stopping, meter });
 * const result = await delivery.deliver(signup);
 * ```
 */
export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #world: World;
  readonly #budget: RetryBudget;
  readonly #calls: Counter;

  constructor(options: DeliveryOptions) {
    const { world = realWorld, retry: { retryRatio = .2, retryReserve = 10 } = {} } = options;
    this.#options = options;
    this.#world = world;
    this.#budget = new RetryBudget({ ratio: retryRatio, reserve: retryReserve, world });
    this.#calls = options.meter.createCounter("orb.client.calls", {
      description: "Calls that handed in a signup, by what became of them.",
      unit: "{call}",
    });
  }

  /**
   * Delivers one signup.
   *
   * @returns the last call's result: a decision, or why there is none. Signups that are kept until
   * they are decided come back undecided only when the client stops.
   */
  async deliver(signup: OutgoingSignup, onRetry: OnRetry = () => {}): Promise<CallResult> {
    const { wire, policy, maxAttempts, stopping } = this.#options;
    const keeps = maxAttempts === Infinity;
    this.#budget.deposit();
    let handedIn = false;
    for (let attempt = 1;; attempt++) {
      const result = await policy.run(() => {
        // Its turn may have come long after it was put into the queue.
        if (stopping.aborted) return Promise.resolve(stoppedResult);
        return wire.send(signup, handedIn);
      });
      const held = result.kind === "later" && result.notCalled === true;
      if (!held) this.#calls.add(1, { outcome: result.kind });
      const isOpen = result.kind === "later" || (keeps && result.kind === "unusable");
      if (!isOpen) return result;
      handedIn = result.kind === "later" && result.handedIn === true;
      // What a person kept for later is not dropped for want of budget: it waits at its slowest.
      const paid = held || handedIn || this.#budget.withdraw();
      if (stopping.aborted || (!keeps && (attempt >= maxAttempts || !paid))) return result;
      const delayMs = this.#delayMs(result, attempt, paid);
      onRetry(result, delayMs);
      if (!await pause(delayMs, { signal: stopping, world: this.#world })) return result;
    }
  }

  #delayMs(result: CallResult, attempt: number, paid: boolean): number {
    const { baseDelayMs = 250, maxDelayMs = 30_000, maxRetryAfterMs = 3_600_000 } =
      this.#options.retry ?? {};
    const failures = paid && result.kind === "later" ? attempt : Infinity;
    const ownMs = backoffDelayMs(failures, { baseDelayMs, maxDelayMs }, this.#world);
    const askedMs = result.kind === "later" ? result.afterMs : undefined;
    if (askedMs === undefined) return ownMs;
    // Not before, and not all at that moment.
    return Math.min(askedMs, maxRetryAfterMs) + Math.min(ownMs, baseDelayMs * 4);
  }
}

/**
 * How many retries a client may make: a share of its signups, and a small reserve that comes back
 * with time. When a server fails for all, retries would otherwise multiply what it has to bear.
 */
class RetryBudget {
  readonly #ratio: number;
  readonly #reserve: number;
  readonly #world: Pick<World, "monotonicMs">;
  #tokens: number;
  #filledMs: number;

  constructor(
    { ratio, reserve, world }: {
      ratio: number;
      reserve: number;
      world: Pick<World, "monotonicMs">;
    },
  ) {
    this.#ratio = ratio;
    this.#reserve = reserve;
    this.#world = world;
    this.#tokens = reserve;
    this.#filledMs = world.monotonicMs();
  }

  /** For each signup. */
  deposit(): void {
    this.#tokens = Math.min(this.#tokens + this.#ratio, Math.max(this.#reserve, 1) * 10);
  }

  /** For each retry. */
  withdraw(): boolean {
    const nowMs = this.#world.monotonicMs();
    const earned = (nowMs - this.#filledMs) / 10_000 * this.#reserve;
    this.#filledMs = nowMs;
    if (this.#tokens < this.#reserve) {
      this.#tokens = Math.min(this.#reserve, this.#tokens + earned);
    }
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
