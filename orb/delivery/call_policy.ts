/**
 * What all calls of a client to one server go through: a bulkhead, so that a fleet does not flood it,
 * and a circuit breaker, so that a server that fails is left alone for a while. Both are npm
 * `cockatiel`'s; their states can be seen as metrics and on spans.
 *
 * @module
 */
import { context, type Meter, trace } from "@opentelemetry/api";
import {
  BrokenCircuitError,
  bulkhead,
  BulkheadRejectedError,
  circuitBreaker,
  CircuitState,
  handleWhenResult,
  SamplingBreaker,
} from "cockatiel";
import type { Log } from "../../service/log.ts";
import type { CallResult } from "./signup_wire.ts";

/** When the circuit opens and closes. */
export interface BreakerOptions {
  /** Share of calls that may fail, above 0, below 1; with more the circuit opens. @default 0.5 */
  failureRateThreshold?: number;
  /** Fewer calls in the window say nothing. @default 20 */
  minimumCalls?: number;
  /** The window that is looked at, in milliseconds. @default 60_000 */
  windowMs?: number;
  /** How long an open circuit lets no call through, in milliseconds; then one is tried. @default 30_000 */
  cooldownMs?: number;
}

/** Options of {@linkcode createCallPolicy}. */
export interface CallPolicyOptions {
  /** Calls under way at once, at least 1. */
  maxCalls: number;
  /** Calls that may wait for their turn. */
  maxWaiting: number;
  /** When the circuit opens. @default the defaults of {@linkcode BreakerOptions} */
  breaker?: BreakerOptions;
  /** Gets a line when the circuit changes. */
  log: Log;
  /** Makes the instruments. */
  meter: Meter;
}

/** Lets calls through, or says why not. */
export interface CallPolicy {
  /** Makes the call when it is its turn. It rejects with what `call` rejects with, only. */
  run(call: () => Promise<CallResult>): Promise<CallResult>;
  /** What the circuit is. */
  readonly state: BreakerState;
}

/** What a circuit can be: calls go through, none does, or one that decides is under way. */
export const breakerStates = ["closed", "open", "half_open"] as const;

/** What a circuit is. */
export type BreakerState = typeof breakerStates[number];

/**
 * Makes the policy of a client.
 *
 * @example
 * ```ts
 * const policy = createCallPolicy({ maxCalls: 64, maxWaiting: 2_000, log, meter });
 * const result = await policy.run(() => wire.send(signup));
 * ```
 */
export function createCallPolicy(options: CallPolicyOptions): CallPolicy {
  const {
    failureRateThreshold: threshold = .5,
    minimumCalls = 20,
    windowMs: duration = 60_000,
    cooldownMs = 30_000,
  } = options.breaker ?? {};
  const circuit = circuitBreaker(handleWhenResult((result) => isFault(result as CallResult)), {
    breaker: new SamplingBreaker({
      threshold,
      duration,
      minimumRps: minimumCalls * 1_000 / duration,
    }),
    halfOpenAfter: cooldownMs,
  });
  const gate = bulkhead(options.maxCalls, options.maxWaiting);
  const stateOf = (): BreakerState => stateNames[circuit.state];
  circuit.onStateChange(() => tellChange(stateOf(), cooldownMs, options.log));
  observe(options, stateOf, () => ({
    active: options.maxCalls - gate.executionSlots,
    waiting: options.maxWaiting - gate.queueSlots,
  }));
  return {
    async run(call) {
      // Whoever ends frees the place and wakes the next, whose span is another one.
      const inOurSpan = context.bind(context.active(), () => circuit.execute(call));
      try {
        return await gate.execute(inOurSpan);
      } catch (error) {
        if (error instanceof BrokenCircuitError) {
          trace.getActiveSpan()?.addEvent("circuit open, no call made");
          return notCalled("the circuit is open: the server has failed too often");
        }
        if (error instanceof BulkheadRejectedError) {
          trace.getActiveSpan()?.addEvent("bulkhead full, no call made");
          return notCalled("too many calls wait already");
        }
        throw error;
      }
    },
    get state() {
      return stateOf();
    },
  };
}

function notCalled(reason: string): CallResult {
  return { kind: "later", reason, notCalled: true };
}

/** An answer that says when to come again is polite, not a fault; neither is one without access. */
function isFault(result: CallResult): boolean {
  return result.kind === "later" && result.afterMs === undefined && !result.handedIn &&
    (result.status === undefined || result.status >= 500);
}

const stateNames: Readonly<Record<CircuitState, BreakerState>> = {
  [CircuitState.Closed]: "closed",
  [CircuitState.Open]: "open",
  [CircuitState.HalfOpen]: "half_open",
  [CircuitState.Isolated]: "open",
};

function tellChange(state: BreakerState, cooldownMs: number, log: Log): void {
  trace.getActiveSpan()?.addEvent("circuit changed", { "orb.breaker.state": state });
  if (state === "open") {
    log.warn("The orb server fails: no call is made for a while", { cooldown_ms: cooldownMs });
  } else if (state === "closed") {
    log.info("The orb server works again");
  }
}

function observe(
  { meter }: CallPolicyOptions,
  stateOf: () => BreakerState,
  callsOf: () => { active: number; waiting: number },
): void {
  meter.createObservableGauge("orb.client.breaker", {
    description: "1 for what the circuit to the orb server is, 0 for what it is not.",
    unit: "1",
  }).addCallback((result) => {
    const now = stateOf();
    for (const state of breakerStates) result.observe(state === now ? 1 : 0, { state });
  });
  meter.createObservableGauge("orb.client.calls.active", {
    description: "Calls to the orb server that are under way, and that wait for their turn.",
    unit: "{call}",
  }).addCallback((result) => {
    for (const [state, calls] of Object.entries(callsOf())) result.observe(calls, { state });
  });
}
