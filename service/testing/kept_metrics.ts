/**
 * For tests: a meter whose instruments can be read at any time.
 *
 * @module
 */
import type { Attributes, Meter } from "@opentelemetry/api";
import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";

/** A meter, and what its instruments say. */
export interface KeptMetrics {
  readonly meter: Meter;
  /** The values of all series of an instrument together; nothing if it has none. */
  sum(name: string): Promise<number | undefined>;
  /** What a metric is: each series' attributes and value, in the order of their coming; nothing if there is none. */
  series(name: string): Promise<{ attributes: Attributes; value: unknown }[] | undefined>;
  /** The names of those that have measured something and say not what, or in which unit. */
  undescribed(): Promise<string[]>;
}

class ReaderOnDemand extends MetricReader {
  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }

  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }
}

/**
 * Makes one.
 *
 * @example
 * ```ts
 * const kept = keptMetrics();
 * kept.meter.createCounter("signups").add(2);
 * assert.equal(await kept.sum("signups"), 2);
 * ```
 */
export function keptMetrics(): KeptMetrics {
  const reader = new ReaderOnDemand();
  const provider = new MeterProvider({ readers: [reader] });
  async function all() {
    const { resourceMetrics } = await reader.collect();
    return resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics);
  }
  const pointsOf = async (name: string) =>
    (await all()).find(({ descriptor }) => descriptor.name === name)?.dataPoints;
  return {
    meter: provider.getMeter("test"),
    async sum(name) {
      return (await pointsOf(name))?.reduce((sum, { value }) => sum + Number(value), 0);
    },
    undescribed: async () =>
      (await all()).map(({ descriptor }) => descriptor)
        .filter(({ description, unit }) => description === "" || unit === "")
        .map(({ name }) => name),
    async series(name) {
      return (await pointsOf(name))?.map(({ attributes, value }) => ({ attributes, value }));
    },
  };
}
