import assert from "node:assert/strict";
import { itemAfterKey } from "./roving.ts";

Deno.test("itemAfterKey() moves within a group and stays at its ends", () => {
  assert.equal(itemAfterKey("ArrowDown", 0, 3), 1);
  assert.equal(itemAfterKey("ArrowRight", 2, 3), 2);
  assert.equal(itemAfterKey("ArrowLeft", 1, 3), 0);
  assert.equal(itemAfterKey("ArrowUp", 0, 3), 0);
  assert.equal(itemAfterKey("Home", 2, 3), 0);
  assert.equal(itemAfterKey("End", 0, 3), 2);
  assert.equal(itemAfterKey("x", 0, 3), undefined);
});
