import assert from "node:assert/strict";
import { plants } from "../topology/plants.ts";
import { findMatrix, seedsToFind } from "./matrix.ts";

Deno.test("the matrix has a row for none and each plant, with who notices it and how often", async () => {
  const rows = [];
  for await (const row of findMatrix({ from: 1, to: 4, given: { orders: 4 } })) rows.push(row);
  assert.deepEqual(rows.map(({ plant }) => plant.number), [
    0,
    ...plants.map(({ number }) => number),
  ]);
  assert.deepEqual(rows[0]!.rates, {}, "nothing is noticed where nothing is planted");
  // Each message reaches one of its consumers only, whatever else happens.
  assert.equal(rows[6]!.rates["no-lost-effect"], 1);
});

Deno.test("the rarer a bug is found, the more seeds it takes", () => {
  assert.equal(seedsToFind(1), 1);
  assert.equal(seedsToFind(0.5), 7);
  assert.equal(seedsToFind(0.04), 113);
  assert.equal(seedsToFind(0), Infinity);
});
