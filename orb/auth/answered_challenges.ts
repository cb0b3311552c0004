/**
 * Which challenges were answered, until they end: each gives one token, at whichever of the servers
 * that share the records it is shown, and across their restarts.
 *
 * @module
 */
import type { World } from "../../service/world/world.ts";
import type { RecordStore } from "../stores/record_store.ts";

/** The documents' collection: their keys begin with when they end, so that the oldest come first. */
const collection = "answered_challenges";
/** Clocks of servers differ, and who checks a challenge is lenient by some seconds. */
const graceMs = 60_000;
/** Ended ones that are removed with each that is added: more than one, so that they become fewer. */
const removedAtOnce = 4;

/** Options of {@linkcode AnsweredChallenges}. */
export interface AnsweredChallengesOptions {
  /** Where they are kept. */
  store: Pick<RecordStore, "run">;
  /** Whose time it is. */
  world: Pick<World, "nowMs">;
}

/**
 * Notes challenges.
 *
 * @example
 * ```ts
 * if (!await answered.add({ id: jti, endsMs })) throw new Error("it was answered before");
 * ```
 */
export class AnsweredChallenges {
  readonly #options: AnsweredChallengesOptions;

  constructor(options: AnsweredChallengesOptions) {
    this.#options = options;
  }

  /**
   * Notes that a challenge is answered, durably.
   *
   * @returns false where it was answered before, here or elsewhere
   * @throws {StoreError} it cannot be noted
   */
  async add({ id, endsMs }: { id: string; endsMs: number }): Promise<boolean> {
    const { store } = this.#options;
    await this.#removeEnded();
    const key = `${String(endsMs).padStart(15, "0")}-${id}`;
    const noted = await store.run({
      ...{ type: "putDocument", collection, key },
      ...{ value: null, ifVersion: 0 },
    });
    return noted !== null;
  }

  async #removeEnded(): Promise<void> {
    const { store, world } = this.#options;
    const oldest = await store.run({ type: "listDocuments", collection, limit: removedAtOnce });
    const nowMs = world.nowMs();
    const ended = oldest.filter(({ key }) => Number.parseInt(key) + graceMs < nowMs);
    await Promise.all(ended.map(({ key }) => {
      return store.run({ type: "deleteDocument", collection, key });
    }));
  }
}
