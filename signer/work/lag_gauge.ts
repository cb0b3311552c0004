/**
 * The metrics of the requests that wait to be taken up, and of those that nobody takes up.
 *
 * @module
 */
import type { Meter, ObservableGauge, ObservableResult } from "@opentelemetry/api";
import type { GroupReader, PartitionProgress } from "../../service/bus/bus.ts";
import type { TimerId, World } from "../../service/world/world.ts";

/** Options of {@linkcode LagGauge}. */
export interface LagGaugeOptions {
  /** Whose records wait. */
  reader: Pick<GroupReader, "lag" | "progress">;
  /** Where the metrics are made. */
  meter: Meter;
  /** Of every measurement. */
  attributes: Record<string, string>;
  /** Notified of the partitions that nobody reads, when they are others than before. */
  onUnread: (partitions: readonly number[]) => void;
  /** Time and chance. */
  world: World;
}

const lagIntervalMs = 5_000;
/** A partition in which requests wait and none was done with for so long is read by nobody. */
const unreadAfterMs = 30_000;

/**
 * Measures how many requests wait, every 5 s; in between, and while the broker is away, the figures
 * stay. Each service looks at all partitions of the topic, also those that are no member's: of a lone
 * partition without a reader no other program would hear.
 */
export class LagGauge {
  readonly #options: LagGaugeOptions;
  readonly #gauges: readonly (readonly [ObservableGauge, (result: ObservableResult) => void])[];
  readonly #timer: TimerId;
  #lastLag = 0;
  /** Where requests wait: since when the group has been at the same place. */
  #stalled = new Map<number, { done: bigint; sinceMs: number }>();
  #unread: readonly number[] = [];

  constructor(options: LagGaugeOptions) {
    this.#options = options;
    const { meter, attributes, world } = options;
    this.#gauges = [
      [
        meter.createObservableGauge("signer.consumer.lag", {
          description:
            "Requests that wait to be taken up by the group, in this member's partitions.",
          unit: "{request}",
        }),
        (result) => result.observe(this.#lastLag, attributes),
      ],
      [
        meter.createObservableGauge("signer.partitions.unread", {
          description:
            "Partitions of the request topic in which requests wait and the group has done none for 30 s.",
          unit: "{partition}",
        }),
        (result) => result.observe(this.#unread.length, attributes),
      ],
    ];
    for (const [gauge, observe] of this.#gauges) gauge.addCallback(observe);
    this.#timer = world.setInterval(() => this.#poll(), lagIntervalMs);
  }

  stop(): void {
    this.#options.world.clearInterval(this.#timer);
    for (const [gauge, observe] of this.#gauges) gauge.removeCallback(observe);
  }

  async #poll(): Promise<void> {
    const { reader } = this.#options;
    try {
      this.#lastLag = await reader.lag();
      this.#look(await reader.progress());
    } catch {
      // The broker is away: `onState` reports the outage.
    }
  }

  #look(progress: ReadonlyMap<number, PartitionProgress>): void {
    const { onUnread, world } = this.#options;
    const nowMs = world.monotonicMs();
    const stalled = new Map<number, { done: bigint; sinceMs: number }>();
    for (const [partition, { waiting, done }] of progress) {
      const before = this.#stalled.get(partition);
      if (waiting === 0) continue;
      stalled.set(partition, before?.done === done ? before : { done, sinceMs: nowMs });
    }
    this.#stalled = stalled;
    const unread = [...stalled].filter(([, { sinceMs }]) => nowMs - sinceMs >= unreadAfterMs)
      .map(([partition]) => partition).sort((a, b) => a - b);
    const isOther = unread.join() !== this.#unread.join();
    this.#unread = unread;
    if (isOther) onUnread(unread);
  }
}
