import assert from "node:assert/strict";
import { inputOf, parseRecord, recordOf } from "./record.ts";
import { runSimulation } from "./run.ts";
import { shrink } from "./shrink.ts";

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
