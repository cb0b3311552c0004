/**
 * A part in virtual time over a simulated store, for tests of one part by itself.
 *
 * @module
 */
import { EventLoop, newProcess } from "../simulation/event_loop.ts";
import { SimulatedStore } from "../simulation/simulated_store.ts";
import type { Message, ReadOptions, Row, Snapshot, Surroundings, Value } from "./ports.ts";
import { backendSchema, initialRows, orderStage, type Settings, slotOf } from "./settings.ts";
import { done, type Step } from "./step.ts";

const settings: Settings = {
  ...{ pattern: "outbox", ordering: "sequence", plant: 0, shards: 1, batch: 2 },
  ...{ leaseMs: 2_000, pollMs: 200, backoffBaseMs: 50, backoffCapMs: 2_000 },
  ...{ maxAttempts: 5, windowMs: 600_000 },
};

/** A part in virtual time, and how many rows it has read in all. */
export function newWorld(
  publish: (message: Message) => void,
  changes: Partial<Settings> = {},
) {
  const used = { ...settings, ...changes };
  const loop = new EventLoop();
  const schema = backendSchema(used);
  const store = new SimulatedStore(loop, { name: "store", profile: "one-writer", schema });
  for (const [table, row] of initialRows(used, ["k1", "k2"], orderStage.consumers)) {
    store.load(table, row);
  }
  const counts = { rows: 0, largest: 0 };
  const process = newProcess("part");
  const connection = store.connect(process);
  const count = <T extends Snapshot | readonly Row[]>(found: T): T => {
    const { length } = "rows" in found ? found.rows : found;
    counts.rows += length;
    counts.largest = Math.max(counts.largest, length);
    return found;
  };
  const part: Surroundings = {
    ...{ name: "part", session: "part/0", note: () => {}, wake: () => {} },
    clock: { nowMs: () => loop.nowMs, sleep: (delayMs) => loop.sleep(delayMs, process) },
    chance: { random: () => 0.5 },
    store: {
      *begin() {
        const tx = yield* connection.begin();
        const select = tx.select.bind(tx);
        tx.select = function* (...question) {
          return count(yield* select(...question));
        };
        return tx;
      },
      *read(table: string, where: Readonly<Record<string, Value>>, options?: ReadOptions) {
        const found = yield* connection.read(table, where, options);
        return table === "marks" ? found : count(found);
      },
    },
    bus: {
      // deno-lint-ignore require-yield -- it answers at once
      *publish(_topic, message): Step<void> {
        publish(message);
      },
      receive: () => done([]),
      acknowledge: () => done(undefined),
      release: () => done(undefined),
    },
    link: { call: (_point, _subject, perform) => perform() },
    *sleepUntilWoken(limitMs) {
      yield* loop.sleep(limitMs, process);
      return [];
    },
  };
  return { loop, store, process, part, counts, settings: used };
}

/** The message of that number of a key. */
export function message(key: string, sequence: number): Message {
  return { id: `${key}-${sequence}`, key, sequence, trace: "" };
}

/** The row of an inbox for a message. */
export function inboxRow({ id, key, sequence, trace }: Message, state = "pending") {
  return {
    ...{ messageId: id, key, sequence, trace, consumer: "billing", slot: slotOf("billing", key) },
    ...{ queue: "open", state, token: 0, attempts: 0, nextAtMs: 0, untilMs: 0 },
    ...{ storedAtMs: 0, doneAtMs: 0 },
  };
}
