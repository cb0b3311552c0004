import assert from "node:assert/strict";
import { TokenIndex } from "./token_index.ts";

const yes = () => true;

Deno.test("TokenIndex finds every row through its growth, and none that is not there", () => {
  const index = new TokenIndex();
  const words = crypto.getRandomValues(new Uint32Array(16_000));
  for (let row = 1; row <= 8_000; row++) index.add(words[2 * row - 2]!, words[2 * row - 1]!, row);
  for (let row = 1; row <= 8_000; row++) {
    assert.equal(index.find(words[2 * row - 2]!, words[2 * row - 1]!, (one) => one === row), row);
  }
  assert.equal(index.find(words[0]!, ~words[1]! >>> 0, yes), 0);
});

Deno.test("TokenIndex tells digests of the same 64 bits apart by asking", () => {
  const index = new TokenIndex();
  index.add(7, 9, 1);
  index.add(7, 9, 2);
  assert.equal(index.find(7, 9, (row) => row === 2), 2);
  assert.equal(index.find(7, 9, () => false), 0);
});

Deno.test("TokenIndex is empty after clear()", () => {
  const index = new TokenIndex();
  index.add(7, 9, 1);
  index.clear();
  assert.equal(index.find(7, 9, yes), 0);
  for (let row = 1; row <= 6_000; row++) index.add(row * 7, row, row);
  for (let row = 1; row <= 6_000; row++) assert.equal(index.find(row * 7, row, yes), row);
});
