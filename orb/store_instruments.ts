/**
 * The token store's metrics.
 *
 * @module
 */
import type { Histogram, Meter, ObservableResult } from "@opentelemetry/api";

const sizeBuckets = [1, 2, 4, 8, 16, 32, 64, 128, 256];
const durationBucketsS = [.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1];

/** What is stored and what waits, measured whenever metrics are collected; and each transaction. */
export class StoreInstruments {
  /** Signups made durable by one transaction. */
  readonly commitSize: Histogram;
  /** How long a transaction takes to be durable, in seconds. */
  readonly commitDuration: Histogram;
  readonly #stop: () => void;

  constructor(meter: Meter, now: () => { count: number; queued: number }) {
    this.commitSize = meter.createHistogram("orb.store.commit.size", {
      description: "Signups made durable by one transaction.",
      unit: "{signup}",
      advice: { explicitBucketBoundaries: sizeBuckets },
    });
    this.commitDuration = meter.createHistogram("orb.store.commit.duration", {
      description: "How long a transaction takes to be durable.",
      unit: "s",
      advice: { explicitBucketBoundaries: durationBucketsS },
    });
    const stored = meter.createObservableGauge("orb.tokens", {
      description: "Image tokens stored.",
      unit: "{token}",
    });
    const queued = meter.createObservableGauge("orb.store.queue", {
      description: "Signups that wait for their transaction.",
      unit: "{signup}",
    });
    const observeStored = (result: ObservableResult) => result.observe(now().count);
    const observeQueued = (result: ObservableResult) => result.observe(now().queued);
    stored.addCallback(observeStored);
    queued.addCallback(observeQueued);
    this.#stop = () => {
      stored.removeCallback(observeStored);
      queued.removeCallback(observeQueued);
    };
  }

  /** Observes no more. */
  stop(): void {
    this.#stop();
  }
}
