/**
 * Hands on what comes: at once while that costs little, and less often the longer it takes, so that
 * it never takes more than half of the time and what comes meanwhile goes on together.
 *
 * @module
 */
import type { TimerId, World } from "../../service/world/world.ts";

/** Gathers items for one who hands them on. */
export class Pace<Item> {
  readonly #handOn: (items: readonly Item[]) => void;
  readonly #world: World;
  #waiting: Item[] = [];
  #timer: TimerId | undefined;
  /** When it may be handed on again, by the monotonic clock. */
  #nextMs = 0;

  /** @param handOn gets all that has come, oldest first; how long it takes is measured */
  constructor(handOn: (items: readonly Item[]) => void, world: World) {
    this.#handOn = handOn;
    this.#world = world;
  }

  /** Takes what came, and hands it on now or soon. */
  take(items: readonly Item[]): void {
    for (const item of items) this.#waiting.push(item);
    if (this.#timer !== undefined) return;
    const waitMs = this.#nextMs - this.#world.monotonicMs();
    if (waitMs <= 0) this.flush();
    else this.#timer = this.#world.setTimeout(() => this.flush(), waitMs);
  }

  /** Hands on what waits, now. */
  flush(): void {
    this.#world.clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting.length === 0) return;
    const items = this.#waiting;
    this.#waiting = [];
    const beganMs = this.#world.monotonicMs();
    this.#handOn(items);
    const endedMs = this.#world.monotonicMs();
    this.#nextMs = endedMs + (endedMs - beganMs);
  }
}
