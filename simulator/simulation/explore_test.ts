import assert from "node:assert/strict";
import { explore } from "./explore.ts";
import { faultKinds, faultPoints } from "./options.ts";

Deno.test("every fault at every call of an order is covered, and nothing fails", () => {
  const { runs, calls, failures, isComplete } = explore({ orders: 1, faults: 1 });
  assert.deepEqual(failures, []);
  assert.equal(isComplete, true);
  // All kinds but order, which queues keep, at least once at each point.
  assert.ok(calls >= faultPoints.length && runs[1] >= (faultKinds.length - 1) * calls);
  assert.deepEqual([runs[0], runs[2]], [1, 0]);
});

Deno.test("pairs are covered up to a limit", () => {
  const { runs: [none, single, pairs], isComplete } = explore({ orders: 1, maxRuns: 150 });
  assert.equal(none + single + pairs, 150);
  assert.ok(pairs > 100);
  assert.equal(isComplete, false);
});

Deno.test("a planted bug is found by the single fault that brings it about", () => {
  const { failures: [smallest] } = explore({ orders: 2, faults: 1, plant: 14 });
  assert.deepEqual(smallest!.input.replay, [["fault-2 o1", 1]]);
  assert.deepEqual(smallest!.result.violations.map(({ invariant }) => invariant), [
    "order-per-key",
  ]);
});
