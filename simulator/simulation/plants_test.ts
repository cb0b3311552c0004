/**
 * Every planted bug is noticed by the invariant that is named for it, and none without a plant.
 *
 * @module
 */
import assert from "node:assert/strict";
import { plants } from "../topology/plants.ts";
import { runSimulation } from "./run.ts";
import { sweep } from "./sweep.ts";

/** Seeds in which each must be found. A single hit in a hundred would be found with 98 %. */
const seeds = 800;

for (const { number, mechanism, invariants: [named] } of plants) {
  Deno.test(`plant ${number}, ${mechanism}: ${named}`, () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const { violations } = runSimulation({ seed, plant: number, given: { orders: 24 } });
      if (violations.some(({ invariant }) => invariant === named)) return;
    }
    assert.fail(`not found in ${seeds} seeds`);
  });
}

Deno.test("nothing is noticed where nothing is planted", async () => {
  const { seeds, failures } = await sweep({
    from: 1,
    to: 500,
    given: { orders: 4, arrivalMs: 300, faultMaxMs: 1_500 },
  });
  assert.equal(seeds, 500);
  assert.deepEqual(failures, []);
});

Deno.test("dual write and fire and forget fail in each way that they are known for", async () => {
  const lost = [];
  for (const pattern of ["dual-write", "fire-and-forget"] as const) {
    const { failures } = await sweep({ from: 1, to: 60, given: { pattern, orders: 24 } });
    const names = failures.flatMap(({ violations }) => violations.map((one) => one.invariant));
    lost.push(names.filter((name) => name === "no-lost-effect").length);
    // Lost between two writes; twice, as nothing tells copies; out of order, as nothing waits.
    for (const known of ["no-lost-effect", "exactly-once-effect", "order-per-key"] as const) {
      assert.ok(names.includes(known), `${pattern} never breaks ${known}`);
    }
  }
  const [dualWrite, forget] = lost;
  assert.ok(dualWrite! > 0 && forget! >= dualWrite!, lost.join(" and "));
});
