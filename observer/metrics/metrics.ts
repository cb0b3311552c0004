/**
 * The observer's metrics. Each is defined once and read from the one state there is, for
 * `/metrics` and for OTLP alike; a scrape reads what is known and asks no runtime.
 *
 * @module
 */
import { imageName } from "../api.ts";
import type { Histogram, Meter } from "@opentelemetry/api";
import type { Endpoint } from "../grpc/endpoint.ts";
import type { FilesystemUse } from "../stores/image_store.ts";
import type { Exemplar, Family, HistogramSample, Sample } from "./exposition.ts";
import type {
  Inventory,
  Observation,
  Outcome,
  StoreState,
  Trigger,
} from "../stores/store_watch.ts";
import { triggers } from "../stores/store_watch.ts";

/** Options of {@linkcode ObserverMetrics}. */
export interface ObserverMetricsOptions {
  /** The stores as they are now. */
  states: () => readonly StoreState[];
  version: string;
  /** The most series of single images, the largest images first; 0 for none. @default 0 */
  perImageLimit?: number;
  meter: Meter;
}

/** A metric of one kind of value, its name in both worlds and where its values come from. */
interface Definition {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  /** Name and unit by OpenTelemetry's rules; from them a collector makes `name` again. */
  readonly otel: readonly [name: string, unit: string];
  readonly collect: () => Sample[];
}

/** In seconds: a unix socket answers in one millisecond, a store of 20,000 images in some hundred. */
const durationBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Holds the counters and reads everything else from the stores. */
export class ObserverMetrics {
  readonly #options: ObserverMetricsOptions;
  readonly #definitions: readonly Definition[];
  readonly #signals: { value: number; exemplar?: Exemplar | undefined } = { value: 0 };
  readonly #observations = new Map<string, Sample & { value: number; exemplar?: Exemplar }>();
  readonly #durations = new Map<string, HistogramSample & { counts: number[]; sum: number }>();
  readonly #otelDuration: Histogram;

  constructor(options: ObserverMetricsOptions) {
    this.#options = options;
    const { perImageLimit = 0, meter } = options;
    this.#definitions = [
      ...this.#originals(),
      ...this.#stores(),
      ...this.#filesystems(),
      ...this.#observer(),
      ...(perImageLimit > 0 ? this.#singleImages(perImageLimit) : []),
    ];
    this.#otelDuration = meter.createHistogram("observer.observation.duration", {
      description: durationHelp,
      unit: "s",
      advice: { explicitBucketBoundaries: durationBounds },
    });
    for (const { type, help, otel: [name, unit], collect } of this.#definitions) {
      const instrument = type === "counter"
        ? meter.createObservableCounter(name, { description: help, unit })
        : meter.createObservableGauge(name, { description: help, unit });
      instrument.addCallback((result) => {
        for (const { value, labels } of collect()) result.observe(value, labels);
      });
    }
  }

  /** How many signals came. */
  get signals(): number {
    return this.#signals.value;
  }

  /** Counts a signal. */
  countSignal(): void {
    this.#signals.value++;
  }

  /** Shows a store's counters, at 0, from the first scrape on. */
  addStore(endpoint: Endpoint): void {
    for (const trigger of triggers) this.#observationSample(endpoint, trigger, "success");
    this.#durationSample(endpoint);
  }

  /** Counts a trigger that is over, and times its observation if it had one. */
  count(endpoint: Endpoint, trigger: Trigger, outcome: Outcome, observation?: Observation): void {
    const sample = this.#observationSample(endpoint, trigger, outcome);
    sample.value++;
    if (!observation) return;
    const seconds = observation.durationMs / 1_000;
    const exemplar = (value: number): Exemplar | undefined =>
      observation.traceId !== undefined && observation.spanId !== undefined
        ? {
          traceId: observation.traceId,
          spanId: observation.spanId,
          value,
          atMs: observation.atMs,
        }
        : undefined;
    const one = exemplar(1);
    if (one) sample.exemplar = one;
    if (trigger === "sigquit") this.#signals.exemplar = one;
    const duration = this.#durationSample(endpoint);
    const bucket = durationBounds.findIndex((bound) => seconds <= bound);
    const index = bucket === -1 ? durationBounds.length : bucket;
    duration.counts[index]!++;
    duration.sum += seconds;
    (duration.exemplars as (Exemplar | undefined)[])[index] = exemplar(seconds);
    this.#otelDuration.record(seconds, labelsOf(endpoint));
  }

  /** All metrics with their values of this moment. */
  families(): Family[] {
    const families: Family[] = this.#definitions.map((
      { name, help, type, collect },
    ) => ({ name, help, type, samples: collect() }));
    families.push({
      name: "observer_observation_duration_seconds",
      help: durationHelp,
      type: "histogram",
      bounds: durationBounds,
      samples: [...this.#durations.values()],
    });
    return families;
  }

  #observationSample(endpoint: Endpoint, trigger: Trigger, outcome: Outcome) {
    const labels = { ...labelsOf(endpoint), trigger, outcome };
    const key = JSON.stringify(labels);
    let sample = this.#observations.get(key);
    if (!sample) this.#observations.set(key, sample = { labels, value: 0 });
    return sample;
  }

  #durationSample(endpoint: Endpoint) {
    const labels = labelsOf(endpoint);
    const key = JSON.stringify(labels);
    let sample = this.#durations.get(key);
    if (!sample) {
      const counts = new Array<number>(durationBounds.length + 1).fill(0);
      this.#durations.set(key, sample = { labels, counts, exemplars: [], sum: 0 });
    }
    return sample;
  }

  /** The original's two, under their old names: the second is a gauge in spite of its `_total`. */
  #originals(): Definition[] {
    return [
      {
        name: "exp_sigquit_total",
        help: "Total number of signals received.",
        type: "counter",
        otel: ["exp_sigquit_total", "{signal}"],
        collect: () => [{ labels: {}, ...this.#signals }],
      },
      {
        name: "rkt_images_total",
        help: "Total number of images in rkt store.",
        type: "gauge",
        otel: ["rkt_images_total", "{image}"],
        collect: () => {
          const rkt = this.#options.states().filter(({ endpoint }) => endpoint.kind === "rkt");
          const value = rkt.reduce(
            (sum, { inventory }) => sum + (inventory?.images.length ?? 0),
            0,
          );
          return [{ labels: {}, value }];
        },
      },
    ];
  }

  /** A value of each store that has been seen, if it has one. */
  #ofEachStore(value: (inventory: Inventory) => number | undefined): Sample[] {
    return this.#options.states().flatMap(({ endpoint, inventory }) => {
      const one = inventory && value(inventory);
      return one === undefined ? [] : [{ labels: labelsOf(endpoint), value: one }];
    });
  }

  #stores(): Definition[] {
    return [
      {
        name: "observer_up",
        help:
          "Whether the store's values are current: 1 when the last observation succeeded and the connection was not lost since.",
        type: "gauge",
        otel: ["observer.up", ""],
        collect: () =>
          this.#options.states().map(({ endpoint, up }) => ({
            labels: labelsOf(endpoint),
            value: up ? 1 : 0,
          })),
      },
      {
        name: "observer_last_success_timestamp_seconds",
        help: "Unix time of the observation that the store's values are from.",
        type: "gauge",
        otel: ["observer.last_success.timestamp", "s"],
        collect: () => this.#ofEachStore(({ atMs }) => atMs / 1_000),
      },
      {
        name: "observer_images",
        help: "Images in the store.",
        type: "gauge",
        otel: ["observer.images", "{image}"],
        collect: () => this.#ofEachStore(({ images }) => images.length),
      },
      {
        name: "observer_images_unreadable",
        help: "Names and images that the store told and that cannot be read, so they are left out.",
        type: "gauge",
        otel: ["observer.images.unreadable", "{value}"],
        collect: () => this.#ofEachStore(({ unreadable }) => unreadable),
      },
      {
        name: "observer_images_size_bytes",
        help:
          "Sum of the sizes that the store tells of its images; layers that images share count for each.",
        type: "gauge",
        otel: ["observer.images.size", "By"],
        collect: () =>
          this.#ofEachStore(({ images }) =>
            images.reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0)
          ),
      },
      {
        name: "observer_images_pinned",
        help: "Images that garbage collection leaves; only of runtimes that know of pinning.",
        type: "gauge",
        otel: ["observer.images.pinned", "{image}"],
        collect: () =>
          this.#options.states().flatMap(({ endpoint, inventory }) =>
            inventory && endpoint.kind === "cri"
              ? [{
                labels: labelsOf(endpoint),
                value: inventory.images.filter(({ pinned }) => pinned).length,
              }]
              : []
          ),
      },
    ];
  }

  /** A value of each file system of each store that has been seen, if it has one. */
  #ofEachFilesystem(value: (use: FilesystemUse) => number | undefined): Sample[] {
    return this.#options.states().flatMap(({ endpoint, inventory }) =>
      (inventory?.filesystems ?? []).flatMap((use) => {
        const one = value(use);
        const labels = { ...labelsOf(endpoint), mountpoint: use.mountpoint };
        return one === undefined ? [] : [{ labels, value: one }];
      })
    );
  }

  #filesystems(): Definition[] {
    return [
      {
        name: "observer_image_filesystem_up",
        help:
          "Whether the use of file systems is current: 1 when the runtime told it at the last observation.",
        type: "gauge",
        otel: ["observer.image_filesystem.up", ""],
        collect: () =>
          this.#options.states().flatMap(({ endpoint, up, inventory }) =>
            inventory?.filesystemsUp === undefined
              ? []
              : [{ labels: labelsOf(endpoint), value: up && inventory.filesystemsUp ? 1 : 0 }]
          ),
      },
      {
        name: "observer_image_filesystem_used_bytes",
        help: "Bytes that images use on their file system, as the runtime says.",
        type: "gauge",
        otel: ["observer.image_filesystem.used", "By"],
        collect: () => this.#ofEachFilesystem(({ usedBytes }) => usedBytes),
      },
      {
        name: "observer_image_filesystem_inodes_used",
        help: "Inodes that images use on their file system, as the runtime says.",
        type: "gauge",
        otel: ["observer.image_filesystem.inodes_used", "{inode}"],
        collect: () => this.#ofEachFilesystem(({ inodesUsed }) => inodesUsed),
      },
    ];
  }

  #observer(): Definition[] {
    const { version } = this.#options;
    return [
      {
        name: "observer_observations_total",
        help:
          "Triggers that are over, by how: success, the kind of failure, or coalesced when they shared another's observation.",
        type: "counter",
        otel: ["observer.observations", "{observation}"],
        collect: () => [...this.#observations.values()],
      },
      {
        name: "observer_build_info",
        help: "Always 1; the labels say what runs.",
        type: "gauge",
        otel: ["observer.build_info", ""],
        collect: () => [{ labels: { version, deno: Deno.version.deno }, value: 1 }],
      },
    ];
  }

  #singleImages(limit: number): Definition[] {
    const largest = (inventory: Inventory) =>
      inventory.images.toSorted((a, b) => (b.sizeBytes ?? 0) - (a.sizeBytes ?? 0)).slice(0, limit);
    return [
      {
        name: "observer_image_size_bytes",
        help: `Size of one image; at most ${limit} of a store, the largest.`,
        type: "gauge",
        otel: ["observer.image.size", "By"],
        collect: () =>
          this.#options.states().flatMap(({ endpoint, inventory }) =>
            (inventory ? largest(inventory) : []).map((image) => ({
              labels: { ...labelsOf(endpoint), image: imageName(image), id: image.id },
              value: image.sizeBytes ?? 0,
            }))
          ),
      },
      {
        name: "observer_image_series_omitted",
        help: "Images without a series of their own, as there are more than the limit.",
        type: "gauge",
        otel: ["observer.image.series_omitted", "{image}"],
        collect: () =>
          this.#options.states().flatMap(({ endpoint, inventory }) =>
            inventory
              ? [{
                labels: labelsOf(endpoint),
                value: Math.max(0, inventory.images.length - limit),
              }]
              : []
          ),
      },
    ];
  }
}

const durationHelp = "How long observations took, failed ones too.";

function labelsOf({ kind, address }: Endpoint): { runtime: string; endpoint: string } {
  return { runtime: kind, endpoint: address };
}
