import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { SegmentIndex } from "./segment_index.ts";

const digest = (name: number) => hash("sha256", String(name), "hex");
const placeOf = (number: number) => ({
  segment: 1 + number % 3,
  offset: 2 ** 40 + number,
  bytes: 10 + number,
  putMs: 1_700_000_000_000 + number,
});

Deno.test("SegmentIndex finds every image through its growth, and none that is not there", () => {
  const index = new SegmentIndex();
  for (let number = 0; number < 3_000; number++) index.set(digest(number), placeOf(number));
  for (let number = 0; number < 3_000; number++) {
    assert.deepEqual(index.find(digest(number)), placeOf(number));
  }
  assert.equal(index.find(digest(3_000)), undefined);
  assert.deepEqual(
    [...index.entries()].map(([sha256, { bytes }]) => [sha256, bytes]),
    Array.from({ length: 3_000 }, (_, number) => [digest(number), 10 + number]),
  );
});

Deno.test("SegmentIndex tells digests apart that begin alike", () => {
  const index = new SegmentIndex();
  const [one, other] = ["a".repeat(63) + "1", "a".repeat(63) + "2"];
  index.set(one, placeOf(1));
  assert.equal(index.find(other), undefined);
  index.set(other, placeOf(2));
  assert.deepEqual(index.find(one), placeOf(1));
  assert.deepEqual(index.find(other), placeOf(2));
  assert.deepEqual(index.remove(other), placeOf(2));
  assert.deepEqual(index.find(one), placeOf(1));
});

Deno.test("SegmentIndex counts the bytes of each segment, of what moves and what is removed too", () => {
  const index = new SegmentIndex();
  const at = (segment: number, bytes: number) => ({ segment, offset: 0, bytes, putMs: 1 });
  index.set(digest(1), at(1, 10));
  index.set(digest(2), at(1, 20));
  assert.deepEqual([index.liveBytes(1), index.liveBytes(2)], [30, 0]);
  index.set(digest(1), at(2, 15));
  assert.deepEqual([index.liveBytes(1), index.liveBytes(2)], [20, 15]);
  assert.equal(index.remove(digest(3)), undefined);
  assert.deepEqual(index.remove(digest(1)), at(2, 15));
  assert.equal(index.remove(digest(1)), undefined, "once");
  assert.deepEqual([index.liveBytes(1), index.liveBytes(2)], [20, 0]);
  assert.deepEqual([...index.entries()], [[digest(2), at(1, 20)]]);
  index.set(digest(1), at(3, 7));
  assert.deepEqual([...index.entries()].map(([sha256]) => sha256), [digest(2), digest(1)]);
});
