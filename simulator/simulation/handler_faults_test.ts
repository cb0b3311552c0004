import assert from "node:assert/strict";
import { createRun } from "./engine.ts";
import { noTrouble, type RunOptions } from "./options.ts";
import { type RunInput, runSimulation } from "./run.ts";

/** Orders come one by one, so that they have their places by their numbers. */
const quiet: Partial<RunOptions> = {
  ...{ orders: 12, keys: 2, burst: 1, arrivalMs: 1_200, processors: 2, faults: {} },
  ...noTrouble,
};

Deno.test("what a lambda fails at is parked, redriven and applied once, in its place", () => {
  for (const ordering of ["queue", "sequence"] as const) {
    const given = { ...quiet, ordering, maxAttempts: 3, lambdaPoison: 0.3 };
    let effects = 0;
    const { violations, reached } = runSimulation({
      ...{ seed: 1, given },
      onEntry: ({ kind }) => void (effects += kind === "effect" ? 1 : 0),
    });
    assert.deepEqual(violations, [], ordering);
    for (const event of ["poison@lambda", "lambda-failed", "parked", "redriven"]) {
      assert.ok(reached.get(event)! > 0, `${ordering}: ${event}`);
    }
    assert.equal(effects, 36);
  }
});

Deno.test("what a lambda fails at holds up its own key, and no other", () => {
  const given: RunInput["given"] = { ...quiet, ordering: "queue", lambdaPoison: 1e-9 };
  const run = createRun({ seed: 1, given, changes: [["lambda-poison o1", 1]] });
  assert.deepEqual(run.result.violations, []);
  const mend = run.entries.findIndex(({ kind }) => kind === "mend");
  const before = run.entries.slice(0, mend).filter(({ kind }) => kind === "effect");
  // Keys are given in turn: o1 has the key of all that are odd.
  const numbers = new Set(before.map(({ subject }) => Number(subject.slice(1))));
  assert.deepEqual([...numbers].sort((a, b) => a - b), [2, 4, 6, 8, 10, 12]);
});

Deno.test("a lambda that takes longer than its lease leaves nothing twice", () => {
  const given = { ...quiet, lambdas: 2, lambdaSlow: 0.4 };
  const { violations, reached } = runSimulation({ seed: 1, given });
  assert.deepEqual(violations, []);
  for (const event of ["slow@lambda", "redelivered", "duplicate"]) {
    assert.ok(reached.get(event)! > 0, event);
  }
});

Deno.test("processors meet poison and slow handlers as lambdas do", () => {
  const given = { ...quiet, poison: 0.2, slow: 0.2 };
  const { violations, reached } = runSimulation({ seed: 1, given });
  assert.deepEqual(violations, []);
  for (const event of ["poison@processor", "slow@processor", "parked", "lease-over"]) {
    assert.ok(reached.get(event)! > 0, event);
  }
});
