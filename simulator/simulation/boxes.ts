/**
 * What lies in the boxes of a run, and where a message is: what invariants ask of stores and bus.
 *
 * @module
 */
import type { Row, Value } from "../topology/ports.ts";
import type { Stage } from "../topology/settings.ts";
import type { SimulatedStore } from "./simulated_store.ts";

/** Where messages can be. */
export interface Places {
  nowMs(): number;
  /** Where a stage comes from and where it goes. */
  source(stage: Stage): SimulatedStore;
  target(stage: Stage): SimulatedStore;
  /** Whether the bus can still give that message out. */
  busHas(topic: string, messageId: string): boolean;
}

/** An effect that has not come. */
export interface Missing {
  readonly stage: Stage;
  readonly consumer: string;
  readonly id: string;
  readonly key: string;
}

/** Parts of an outbox that can have different owners. */
const shards = ["shard-0", "shard-1"] as const;

/** The boxes of one run. */
export class Boxes {
  readonly #places: Places;

  constructor(places: Places) {
    this.#places = places;
  }

  /** Rows of a stage's outbox that are not sent. */
  outbox(stage: Stage): Row[] {
    const store = this.#places.source(stage);
    return shards.flatMap((queue) => [...store.find("outbox", queue)]);
  }

  /** Rows of a stage's inbox that are not handled. */
  inbox(stage: Stage): readonly Row[] {
    return this.#places.target(stage).find("inbox", "open");
  }

  /** How many rows of its boxes are not done. */
  openRows(stage: Stage): number {
    const target = this.#places.target(stage);
    return target.count("inbox", "open") + target.count("inbox", "parked") + this.unsent(stage);
  }

  /** How many rows of its outbox are not sent. */
  unsent(stage: Stage): number {
    const source = this.#places.source(stage);
    let count = 0;
    for (const queue of shards) count += source.count("outbox", queue);
    return count;
  }

  /** Whether all that is in its inbox is parked, or comes after what is. */
  isHeldUp(stage: Stage): boolean {
    const rows = this.inbox(stage);
    // By its number, not by when it has come: what was sent first may come last.
    const parked = new Map<Value, number>();
    for (const { state, slot, sequence } of rows) {
      const first = Math.min(parked.get(slot!) ?? Infinity, sequence as number);
      if (state === "parked") parked.set(slot!, first);
    }
    return rows.every(({ slot, sequence }) =>
      sequence as number >= (parked.get(slot!) ?? Infinity)
    );
  }

  /** Whether something still holds it that will move it on by itself. */
  isCarried({ stage, consumer, id }: Missing): boolean {
    if (this.#places.busHas(stage.topic, id)) return true;
    if (this.#inboxRow({ stage, consumer, id }) !== undefined) return true;
    const nowMs = this.#places.nowMs();
    return this.outbox(stage).some((row) =>
      row["messageId"] === id && row["nextAtMs"] as number > nowMs
    );
  }

  /** In words. */
  whereIs({ stage, consumer, id }: Missing): string {
    const places: string[] = [];
    if (this.outbox(stage).some((row) => row["messageId"] === id)) places.push("the outbox");
    if (this.#places.busHas(stage.topic, id)) places.push("the bus");
    const row = this.#inboxRow({ stage, consumer, id });
    if (row !== undefined) places.push(`the inbox (${row["state"]})`);
    const where = places.length === 0 ? "nowhere" : `in ${places.join(" and ")}`;
    return `${id} for ${consumer}: ${where}`;
  }

  #inboxRow({ stage, consumer, id }: Omit<Missing, "key">): Row | undefined {
    return this.inbox(stage).find((row) => row["messageId"] === id && row["consumer"] === consumer);
  }
}
