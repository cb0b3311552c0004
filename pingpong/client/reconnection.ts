/**
 * When to try again: exponential back-off with jitter, and a budget that only a stable connection
 * fills again, so that a server which takes sessions and drops them at once is left alone in the
 * end. A state and pure transitions; time and chance come from outside.
 *
 * @module
 */
import { backoffDelayMs } from "../../service/resilience.ts";
import { realWorld, type World } from "../../service/world/world.ts";

/** Options of {@linkcode Reconnection}. */
export interface ReconnectionOptions {
  /** Failed attempts in a row that are tried again before a session was ever had, from 0. @default 3 */
  retries?: number;
  /** The wait after the first failure, in milliseconds, above 0; it doubles from there. @default 1_000 */
  retryBaseDelayMs?: number;
  /** The longest wait, in milliseconds, above 0. @default 5_000 */
  retryMaxDelayMs?: number;
  /** How much of a wait is left to chance, from 0 to 1. @default 0.25 */
  jitter?: number;
  /** How long, in sum, a session may be missing once it was had, in milliseconds. @default 120_000 */
  outageBudgetMs?: number;
  /** How long a connection must last to fill the budget again, in milliseconds. @default 5_000 */
  stableAfterMs?: number;
  /** Whose time and chance it is. @default realWorld */
  world?: Pick<World, "monotonicMs" | "random">;
}

/** Where a client stands. */
export type ConnectionState =
  | { kind: "connecting"; failures: number }
  | { kind: "connected"; sinceMs: number; failures: number; spentMs: number }
  | { kind: "reconnecting"; sinceMs: number; failures: number; spentMs: number }
  | { kind: "given-up" };

/**
 * Keeps the state, and says how long to wait before each attempt.
 *
 * @example
 * ```ts
 * const reconnection = new Reconnection({ retries: 5 });
 * const delayMs = reconnection.failed(); // up to 1,000; undefined once it is to give up
 * ```
 */
export class Reconnection {
  #state: ConnectionState = { kind: "connecting", failures: 0 };
  readonly #options: Required<ReconnectionOptions>;

  /** @throws {RangeError} an option is out of range */
  constructor(options: ReconnectionOptions = {}) {
    this.#options = {
      retries: 3,
      retryBaseDelayMs: 1_000,
      retryMaxDelayMs: 5_000,
      jitter: 0.25,
      outageBudgetMs: 120_000,
      stableAfterMs: 5_000,
      world: realWorld,
      ...options,
    };
    const { retryBaseDelayMs, retryMaxDelayMs } = this.#options;
    for (const [name, value] of Object.entries({ retryBaseDelayMs, retryMaxDelayMs })) {
      // Without a wait it would be an endless loop.
      if (value > 0) continue;
      throw new RangeError(
        `Cannot reconnect as '${name}' must be above 0: current value is ${value}`,
      );
    }
  }

  /** Where the client stands. */
  get state(): ConnectionState {
    return this.#state;
  }

  /** An attempt has succeeded. */
  connected(): void {
    const { failures, spentMs } = this.#counts();
    const since = this.#state.kind === "reconnecting" ? this.#state.sinceMs : this.#nowMs();
    const outageMs = this.#nowMs() - since;
    this.#state = {
      kind: "connected",
      sinceMs: this.#nowMs(),
      failures,
      spentMs: spentMs + outageMs,
    };
  }

  /** The connection has ended. Returns how long to wait before the next attempt. */
  lost(): number | undefined {
    const { failures, spentMs } = this.#counts();
    const nowMs = this.#nowMs();
    const stable = this.#state.kind === "connected" &&
      nowMs - this.#state.sinceMs >= this.#options.stableAfterMs;
    // The first attempt after a stable connection comes at once; a flapping one goes on waiting.
    this.#state = stable
      ? { kind: "reconnecting", sinceMs: nowMs, failures: 0, spentMs: 0 }
      : { kind: "reconnecting", sinceMs: nowMs, failures: failures + 1, spentMs };
    return stable ? 0 : this.#delayMs(failures + 1);
  }

  /** An attempt has failed. Returns how long to wait before the next, `undefined` to give up. */
  failed(): number | undefined {
    const { failures } = this.#counts();
    const state = this.#state;
    if (state.kind === "given-up") return undefined;
    const exhausted = state.kind === "connecting"
      ? failures >= this.#options.retries
      : state.kind !== "reconnecting" ||
        state.spentMs + this.#nowMs() - state.sinceMs >= this.#options.outageBudgetMs;
    if (exhausted) {
      this.#state = { kind: "given-up" };
      return undefined;
    }
    this.#state = { ...state, failures: failures + 1 };
    return this.#delayMs(failures + 1);
  }

  #counts(): { failures: number; spentMs: number } {
    const { state } = this;
    return {
      failures: "failures" in state ? state.failures : 0,
      spentMs: "spentMs" in state ? state.spentMs : 0,
    };
  }

  #nowMs(): number {
    return this.#options.world.monotonicMs();
  }

  #delayMs(failures: number): number {
    const { retryBaseDelayMs, retryMaxDelayMs, jitter, world } = this.#options;
    return backoffDelayMs(failures, {
      baseDelayMs: retryBaseDelayMs,
      maxDelayMs: retryMaxDelayMs,
      jitter,
    }, world);
  }
}
