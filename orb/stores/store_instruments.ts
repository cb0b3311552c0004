/**
 * The record store's metrics.
 *
 * @module
 */
import type { Histogram, Meter, ObservableResult } from "@opentelemetry/api";

const sizeBuckets = [1, 2, 4, 8, 16, 32, 64, 128, 256];
const durationBucketsS = [.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1];

/** What waits, measured whenever metrics are collected; and each transaction. */
export class StoreInstruments {
  /** Commands made durable by one transaction. */
  readonly commitSize: Histogram;
  /** How long a transaction takes to be durable, in seconds. */
  readonly commitDuration: Histogram;
  readonly #stop: () => void;

  constructor(meter: Meter, waiting: () => number) {
    this.commitSize = meter.createHistogram("orb.store.commit.size", {
      description: "Commands made durable by one transaction.",
      unit: "{command}",
      advice: { explicitBucketBoundaries: sizeBuckets },
    });
    this.commitDuration = meter.createHistogram("orb.store.commit.duration", {
      description: "How long a transaction takes to be durable.",
      unit: "s",
      advice: { explicitBucketBoundaries: durationBucketsS },
    });
    const queued = meter.createObservableGauge("orb.store.queue", {
      description: "Commands that wait for their transaction.",
      unit: "{command}",
    });
    const observeQueued = (result: ObservableResult) => result.observe(waiting());
    queued.addCallback(observeQueued);
    this.#stop = () => queued.removeCallback(observeQueued);
  }

  /** Observes no more. */
  stop(): void {
    this.#stop();
  }
}
