import assert from "node:assert/strict";
import { treePlaces, treeStep } from "./virtual_tree.ts";

const shown = (levels: number[]) =>
  treePlaces(levels).map(({ level, position, setSize, parent }) =>
    `${level}: ${position} of ${setSize}, below ${parent}`
  );

Deno.test("treePlaces() says where each row is among its siblings", () => {
  assert.deepEqual(shown([1, 2, 3, 2, 1]), [
    "1: 1 of 2, below undefined",
    "2: 1 of 2, below 0",
    "3: 1 of 1, below 1",
    "2: 2 of 2, below 0",
    "1: 2 of 2, below undefined",
  ]);
  // After a deep branch a row of a level that was skipped is a sibling of none of its rows.
  assert.deepEqual(shown([1, 3, 1, 2]), [
    "1: 1 of 2, below undefined",
    "3: 1 of 1, below 0",
    "1: 2 of 2, below undefined",
    "2: 1 of 1, below 2",
  ]);
  assert.deepEqual(shown([]), []);
});

Deno.test("treeStep() unfolds, goes to the first child; folds, goes to the parent", () => {
  const places = treePlaces([1, 2, 1]);
  assert.deepEqual(treeStep("ArrowRight", 0, { places, expanded: false }), { unfold: true });
  assert.deepEqual(treeStep("ArrowRight", 0, { places, expanded: true }), { to: 1 });
  assert.equal(treeStep("ArrowRight", 1, { places, expanded: undefined }), undefined);
  assert.deepEqual(treeStep("ArrowLeft", 0, { places, expanded: true }), { unfold: false });
  assert.deepEqual(treeStep("ArrowLeft", 1, { places, expanded: undefined }), { to: 0 });
  assert.equal(treeStep("ArrowLeft", 2, { places, expanded: undefined }), undefined);
  assert.equal(treeStep("ArrowDown", 0, { places, expanded: true }), undefined);
});
