/**
 * What every bus behind {@linkcode BusPort} promises, simulated or real, as tests.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { BusPort, Delivery, Message } from "../topology/ports.ts";
import type { Step } from "../topology/step.ts";

/** What the suite needs of the bus under test. */
export interface BusUnderTest {
  /** One process' side of it; topic `topic` is there, and empty. */
  readonly bus: BusPort;
  /** Waits in the bus' own time. */
  sleep(delayMs: number): Step<void>;
  /** Does work to its end; throws what it has thrown. */
  run(work: Step<void>): void | Promise<void>;
  /** Lets go of everything. @default there is nothing to let go of */
  close?(): Promise<void>;
}

/** Options of {@linkcode busSuite}. */
export interface BusSuiteOptions {
  readonly name: string;
  readonly open: () => BusUnderTest | Promise<BusUnderTest>;
  /** How long a receiver has for a message, in milliseconds. */
  readonly leaseMs: number;
  /** Declares a test. @default Deno.test */
  readonly test?: (name: string, run: () => Promise<void>) => void;
}

/** A message for a test. */
export function message(id: string, key = "k"): Message {
  return { id, key, sequence: 1, trace: `t-${id}` };
}

/** The messages' names. */
export function idsOf(batch: readonly Delivery[]): string[] {
  return batch.map(({ message }) => message.id);
}

/** Declares the tests of a bus. */
export function busSuite(options: BusSuiteOptions): void {
  const { name, open, leaseMs, test = Deno.test as NonNullable<BusSuiteOptions["test"]> } = options;
  const declare = (what: string, work: (under: BusUnderTest) => Step<void>) =>
    test(`${name}: ${what}`, async () => {
      const under = await open();
      try {
        await under.run(work(under));
      } finally {
        await under.close?.();
      }
    });

  /** Receives until there are so many, or nothing has come for so often. */
  function* receive(bus: BusPort, group: string, count: number): Step<readonly Delivery[]> {
    const all: Delivery[] = [];
    for (let empty = 0; all.length < count && empty < 20;) {
      const batch = yield* bus.receive("topic", group, count - all.length);
      if (batch.length === 0) empty++;
      all.push(...batch);
    }
    return all;
  }

  declare("each group gets a message until it acknowledges it", function* ({ bus }) {
    yield* bus.publish("topic", message("a"));
    for (const group of ["g", "h"]) {
      const batch = yield* receive(bus, group, 1);
      assert.deepEqual(batch.map((one) => one.message), [message("a")]);
      assert.equal(batch[0]!.attempt, 1);
      yield* bus.acknowledge(batch[0]!);
      assert.deepEqual(yield* bus.receive("topic", group, 10), []);
    }
  });

  declare("messages of a key come in the order in which they were published", function* ({ bus }) {
    const names = Array.from({ length: 8 }, (_, index) => `m${index}`);
    for (const id of names) yield* bus.publish("topic", message(id));
    const got: string[] = [];
    while (got.length < names.length) {
      const batch = yield* receive(bus, "g", names.length - got.length);
      if (batch.length === 0) break;
      got.push(...idsOf(batch));
    }
    assert.deepEqual(got, names);
  });

  declare("what is with somebody is given to nobody else", function* ({ bus }) {
    yield* bus.publish("topic", message("a"));
    const [first] = yield* receive(bus, "g", 1);
    assert.ok(first !== undefined);
    assert.deepEqual(yield* bus.receive("topic", "g", 1), []);
  });

  declare(
    "a message comes again when its lease runs out, and the old receipt is void",
    function* ({ bus, sleep }) {
      yield* bus.publish("topic", message("a"));
      const [first] = yield* receive(bus, "g", 1);
      yield* sleep(leaseMs + 1);
      const [second] = yield* receive(bus, "g", 1);
      assert.equal(second!.attempt, 2);
      yield* bus.acknowledge(first!);
      yield* sleep(leaseMs + 1);
      const [third] = yield* receive(bus, "g", 1);
      assert.equal(third!.attempt, 3);
      yield* bus.acknowledge(third!);
    },
  );

  declare("what is given back comes again, after its delay and not before", function* (under) {
    const { bus, sleep } = under;
    yield* bus.publish("topic", message("a"));
    const [delivery] = yield* receive(bus, "g", 1);
    yield* bus.release(delivery!, 2 * leaseMs);
    assert.deepEqual(yield* bus.receive("topic", "g", 1), []);
    yield* sleep(2 * leaseMs);
    const [again] = yield* receive(bus, "g", 1);
    assert.equal(again!.attempt, 2);
    yield* bus.acknowledge(again!);
  });
}
