/**
 * How long it takes until all is done: a world that stalls for a while is not lost, but late.
 *
 * @module
 */
import assert from "node:assert/strict";
import { noTrouble, recoveryMsOf, type RunOptions } from "./options.ts";
import { runSimulation } from "./run.ts";

/** A bus of little room, and polls that are long beside everything else. */
const narrow: Partial<RunOptions> = {
  ...{ ordering: "queue", profile: "mvcc", keys: 1, shards: 1, relays: 1, lambdas: 1, batch: 16 },
  ...{ capacity: 4, burst: 20, arrivalMs: 100, pollMs: 1_500, backoffBaseMs: 20 },
  ...{ faults: {}, ...noTrouble },
};

Deno.test("a bus that is full costs relays a back-off for each time, not a poll", () => {
  for (const orders of [20, 80]) {
    const given = { ...narrow, orders };
    const { violations, virtualMs, reached } = runSimulation({ seed: 1, given });
    assert.deepEqual(violations, []);
    assert.ok(reached.get("full")! > 0, "Take a seed in which the bus is full");
    // With a poll for each time it is full, it would be longer than this.
    const pollsMs = orders / narrow.capacity! * narrow.pollMs!;
    assert.ok(virtualMs < pollsMs / 2, `${orders} orders: ${virtualMs} ms, polls ${pollsMs} ms`);
  }
});

Deno.test("seeds in which relays waited for whole polls are done in time", () => {
  for (const seed of [139, 276, 305]) {
    const { violations, reached } = runSimulation({ seed, given: { orders: 200 } });
    assert.ok(reached.get("full")! > 0);
    assert.deepEqual(violations, [], `seed ${seed}`);
  }
});

Deno.test("a message that waits long costs no more calls than its back-offs allow", () => {
  // Its back-offs are of 200 ms at most: more than 5 calls a second.
  const { violations, reached } = runSimulation({ seed: 51, given: { orders: 200 } });
  assert.ok(reached.get("not-sent")! > 0);
  assert.deepEqual(violations, []);
});

Deno.test("once only parked messages are left, and what waits for them, nobody waits for longer", () => {
  for (const ordering of ["queue", "sequence"] as const) {
    const given = {
      ordering,
      orders: 200,
      lambdaPoison: 0.05,
      poison: 0.05,
      profile: "mvcc",
    } as const;
    const { violations, options, virtualMs } = runSimulation({ seed: 3, given });
    assert.deepEqual(violations, []);
    const { arrivalMs, idleMs, faultMaxMs } = options;
    assert.ok(virtualMs < arrivalMs + idleMs + faultMaxMs + recoveryMsOf(options) / 2, ordering);
  }
});

Deno.test("a bus with less room is given more time, and one with room for all none", () => {
  const { options } = runSimulation({ seed: 1, given: { ...narrow, orders: 2 } });
  const timeFor = (capacity: number) => recoveryMsOf({ ...options, orders: 200, capacity });
  assert.ok(timeFor(4) > timeFor(16) && timeFor(16) > timeFor(200));
  assert.equal(timeFor(200), timeFor(100_000));
});
