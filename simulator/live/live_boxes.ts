/**
 * What lies in the boxes: outbox and inbox of each backend, and the topics between them.
 *
 * @module
 */
import type { World } from "../../service/world/world.ts";
import type { LiveObserver } from "./live_observer.ts";
import type { BoxState } from "./live_state.ts";
import type { LiveStore, StoreStatus } from "./live_store.ts";
import type { TopicDepth } from "./service_bus.ts";

/** Where it is counted. */
export interface BoxSources {
  readonly stores: readonly [LiveStore, LiveStore];
  /** What lies in the topics, as far as it is known. */
  readonly depths: () => Promise<readonly TopicDepth[]>;
  readonly observer: LiveObserver;
  /** Whether orders are on their way from the frontend. */
  readonly isSubmitting: () => boolean;
  readonly world: World;
}

/** After so long without a change, what is in no box is lost, in milliseconds. */
const settledMs = 3_000;

/** Counts, and knows since when nothing has changed. */
export class LiveBoxes {
  readonly #sources: BoxSources;
  #boxes: readonly BoxState[] = [];
  #settledSinceMs: number | undefined;
  #lastCount = "";

  constructor(sources: BoxSources) {
    this.#sources = sources;
  }

  /** As they were when they were counted last. */
  get boxes(): readonly BoxState[] {
    return this.#boxes;
  }

  /** Whether nothing lies in a box, and nothing has changed for so long that nothing is on its way. */
  get isSettled(): boolean {
    return this.#settledSinceMs !== undefined &&
      this.#sources.world.monotonicMs() - this.#settledSinceMs >= settledMs;
  }

  /** Counts what is in the boxes. */
  async sample(): Promise<void> {
    const [first, second] = await Promise.all(
      this.#sources.stores.map((store) => store.status()),
    ) as [
      StoreStatus,
      StoreStatus,
    ];
    const topics = await this.#sources.depths();
    this.#sources.observer.sampled([first, second]);
    const box = (number: 1 | 2, { nowMs, boxes }: StoreStatus) =>
      boxes.map(({ box, depth, parked, oldestAtMs }) => ({
        ...{ name: `${box}-${number}`, depth, parked },
        oldestMs: oldestAtMs === undefined ? undefined : Math.max(0, nowMs - oldestAtMs),
      }));
    this.#boxes = [
      ...box(1, first),
      ...box(2, second),
      ...topics.map(({ topic, depth }) => ({
        ...{ name: topic, depth, parked: 0, oldestMs: undefined },
      })),
    ];
    this.#settle();
  }

  /** Since when nothing has changed and nothing lies in a box. */
  #settle(): void {
    const { placed, confirmed } = this.#sources.observer.counters(Infinity);
    const isEmpty = this.#boxes.every(({ depth }) => depth === 0);
    const count = `${placed} ${confirmed}`;
    if (!isEmpty || count !== this.#lastCount || this.#sources.isSubmitting()) {
      this.#settledSinceMs = isEmpty ? this.#sources.world.monotonicMs() : undefined;
    }
    this.#lastCount = count;
  }
}
