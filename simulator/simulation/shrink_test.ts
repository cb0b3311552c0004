import assert from "node:assert/strict";
import { inputOf, parseRecord, recordOf } from "./record.ts";
import { runSimulation } from "./run.ts";
import { explore } from "./explore.ts";
import { shrink } from "./shrink.ts";
import { shrinkValues } from "./shrink_values.ts";

function failure(plant: number) {
  for (let seed = 1; seed <= 200; seed++) {
    const result = runSimulation({ seed, plant, record: true, given: { orders: 24 } });
    if (result.violations.length > 0) return recordOf(result, true);
  }
  throw new Error(`Plant ${plant} is not found`);
}

for (const plant of [11, 14]) {
  Deno.test(`a failure of plant ${plant} shrinks to few decisions, and still fails likewise`, () => {
    const record = failure(plant);
    const { record: small, executions } = shrink(record);
    assert.ok(small.decisions.length <= 10, `${small.decisions.length} decisions`);
    assert.ok(small.decisions.length < record.decisions.length);
    assert.ok(executions <= 500);
    const { violations, hash } = runSimulation(inputOf(small));
    assert.equal(hash, small.hash);
    assert.ok(violations.some(({ invariant }) => invariant === record.invariants[0]));
  });
}

Deno.test("what fails as something lasts too long shrinks to one fault that is long", () => {
  // Purged by its age although it is not sent: of many faults that had added up.
  const { record, executions } = shrink(failure(19), { invariant: "no-lost-effect" });
  assert.ok(record.decisions.length <= 2, JSON.stringify(record.decisions));
  assert.ok(executions <= 500);
});

Deno.test("a failure shrinks to as few decisions as exploring every fault finds", () => {
  const { failures: [optimum] } = explore({ orders: 2, faults: 1, plant: 14 });
  const { record } = shrink(failure(14), { invariant: "order-per-key" });
  assert.ok(record.decisions.length <= optimum!.input.replay!.length);
});

Deno.test("values shrink too, down to where a smaller one would not fail", () => {
  let smallest: readonly number[] = [];
  shrinkValues([1_200, 7, 900], (values) => {
    const isStillFailing = values[0]! >= 33 && values[2]! >= 5;
    if (isStillFailing) smallest = values;
    return isStillFailing;
  });
  assert.deepEqual(smallest, [33, 1, 5]);
  const found = failure(11);
  const { record, executions } = shrink(found, { shrinkValues });
  assert.ok(executions <= 500);
  // That a call is refused is the first kind of fault, and enough.
  assert.deepEqual(record.decisions.map(([, value]) => value), [1]);
  const { violations, hash } = runSimulation(inputOf(record));
  assert.equal(hash, record.hash);
  assert.ok(violations.some(({ invariant }) => invariant === found.invariants[0]));
});

Deno.test("what does not fail cannot be shrunk, and a limit of executions is kept", () => {
  const fine = recordOf(runSimulation({ seed: 1, record: true, given: { orders: 3 } }), true);
  assert.throws(() => shrink(fine), /does not fail/);
  assert.throws(() => shrink(fine, { invariant: "progress" }), /does not break 'progress'/);
  assert.equal(shrink(failure(11), { maxExecutions: 5 }).executions, 5);
});

Deno.test("a record can be kept as JSON, and what is none is refused", () => {
  const record = recordOf(runSimulation({ seed: 1, record: true, given: { orders: 3 } }), true);
  assert.deepEqual(parseRecord(JSON.stringify(record)), record);
  for (const text of ["", "{}", "null", '{"version":1}', '{"version":2}']) {
    assert.throws(() => parseRecord(text), TypeError);
  }
});
