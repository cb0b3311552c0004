/**
 * The metric of the requests that wait to be taken up.
 *
 * @module
 */
import type { Meter, ObservableGauge, ObservableResult } from "@opentelemetry/api";
import type { Reader } from "../../service/bus/bus.ts";
import type { TimerId, World } from "../../service/world/world.ts";

/** Options of {@linkcode LagGauge}. */
export interface LagGaugeOptions {
  /** Whose records wait. */
  reader: Pick<Reader, "lag">;
  /** Where the metric is made. */
  meter: Meter;
  /** Of every measurement. */
  attributes: Record<string, string>;
  /** Time and chance. */
  world: World;
}

const lagIntervalMs = 5_000;

/**
 * Measures how many requests wait, every 5 s; in between, and while the broker is away, the figure
 * stays.
 */
export class LagGauge {
  readonly #options: LagGaugeOptions;
  readonly #gauge: ObservableGauge;
  readonly #observe: (result: ObservableResult) => void;
  readonly #timer: TimerId;
  #lastLag = 0;

  constructor(options: LagGaugeOptions) {
    this.#options = options;
    this.#gauge = options.meter.createObservableGauge("signer.consumer.lag", {
      description: "Requests that wait to be taken up by the group, in this member's partitions.",
      unit: "{request}",
    });
    this.#observe = (result) => result.observe(this.#lastLag, options.attributes);
    this.#gauge.addCallback(this.#observe);
    this.#timer = options.world.setInterval(() => this.#poll(), lagIntervalMs);
  }

  stop(): void {
    this.#options.world.clearInterval(this.#timer);
    this.#gauge.removeCallback(this.#observe);
  }

  async #poll(): Promise<void> {
    try {
      this.#lastLag = await this.#options.reader.lag();
    } catch {
      // The broker is away: `onState` reports the outage.
    }
  }
}
