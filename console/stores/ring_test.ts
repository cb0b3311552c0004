import assert from "node:assert/strict";
import { Ring } from "./ring.ts";

Deno.test("Ring gives back first what came first, over many times its size", () => {
  const ring = new Ring<number>();
  let next = 0;
  let expected = 0;
  for (let round = 0; round < 50; round++) {
    for (let i = 0; i < round + 7; i++) ring.push(next++);
    for (let i = 0; i < round + 3; i++) assert.equal(ring.shift(), expected++);
  }
  assert.equal(ring.length, 200);
  assert.deepEqual([...ring], Array.from({ length: 200 }, (_, i) => expected + i));
  assert.deepEqual([...ring.newestFirst()].at(-1), expected);
  assert.equal(ring.at(0), expected);
  assert.equal(ring.at(-1), next - 1);
  assert.equal(ring.at(200), undefined);
  assert.equal(ring.at(-201), undefined);
});

Deno.test("Ring replaces its last item, and refuses when there is none", () => {
  const ring = new Ring<string>();
  assert.throws(() => ring.replaceLast("a"), RangeError);
  ring.push("a");
  ring.push("b");
  ring.replaceLast("c");
  assert.deepEqual([...ring], ["a", "c"]);
  ring.clear();
  assert.equal(ring.shift(), undefined);
});
