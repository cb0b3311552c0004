/**
 * What is measured of signups and their decisions.
 *
 * @module
 */
import type { Attributes, Counter, Histogram, Meter } from "@opentelemetry/api";
import type { SignupRecord } from "./signup_record.ts";

/** The instruments of who decides signups. */
export class SignupInstruments {
  /** Seconds of an attempt. */
  readonly duration: Histogram;
  readonly #decided: Counter;
  readonly #failed: Counter;
  readonly #latency: Histogram;

  constructor(meter: Meter) {
    this.duration = meter.createHistogram("orb.signup.processing.duration", {
      description: "How long an attempt to decide a signup takes.",
      unit: "s",
      advice: { explicitBucketBoundaries: [.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5] },
    });
    this.#decided = meter.createCounter("orb.signup.decisions", {
      description: "Signups decided, by state.",
      unit: "{signup}",
    });
    this.#failed = meter.createCounter("orb.signup.failed_attempts", {
      description: "Attempts to decide a signup that failed, by the state that it has then.",
      unit: "{attempt}",
    });
    this.#latency = meter.createHistogram("orb.signup.decision.duration", {
      description: "From a signup's 202 to its decision.",
      unit: "s",
      advice: { explicitBucketBoundaries: [.005, .01, .02, .05, .1, .25, .5, 1, 2, 5, 10, 30] },
    });
  }

  /** One was decided, with its arrival or by a worker. */
  decided({ state, createdMs, decidedMs = createdMs }: SignupRecord): void {
    const attributes: Attributes = { state };
    this.#decided.add(1, attributes);
    this.#latency.record((decidedMs - createdMs) / 1_000, attributes);
  }

  /** An attempt failed; the signup is in this state now. */
  failed(state: string): void {
    this.#failed.add(1, { state });
  }
}
