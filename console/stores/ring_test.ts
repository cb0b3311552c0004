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

Deno.test("Ring has nothing beyond its ends, also when it was full and is empty again", () => {
  const ring = new Ring<number>();
  assert.equal(ring.shift(), undefined);
  assert.equal(ring.length, 0, "taking from nothing takes nothing");
  for (let i = 0; i < 16; i++) ring.push(i);
  assert.deepEqual([ring.at(16), ring.at(-17), ring.at(15), ring.at(-16)], [
    undefined,
    undefined,
    15,
    0,
  ]);
  // Its slots hold what comes after the front when it has wrapped round.
  for (let i = 0; i < 8; i++) ring.shift();
  ring.push(16);
  assert.deepEqual([ring.at(9), ring.at(8), ring.at(-9), ring.at(-10)], [
    undefined,
    16,
    8,
    undefined,
  ]);
  while (ring.length > 0) ring.shift();
  assert.deepEqual([ring.at(0), ring.at(-1), [...ring]], [undefined, undefined, []]);
  assert.throws(() => ring.replaceLast(1), {
    message: "Cannot replace the last item of an empty ring",
  });
});
