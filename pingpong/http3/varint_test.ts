import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeVarint, encodeVarint, maxVarint } from "./varint.ts";

Deno.test("encodeVarint() gives the bytes of RFC 9000, appendix A.1", () => {
  assert.equal(encodeVarint(151_288_809_941_952_652n).toHex(), "c2197c5eff14e88c");
  assert.equal(encodeVarint(494_878_333).toHex(), "9d7f3e7d");
  assert.equal(encodeVarint(15_293).toHex(), "7bbd");
  assert.equal(encodeVarint(37).toHex(), "25");
});

Deno.test("decodeVarint() is the inverse of encodeVarint() and never reads beyond", () => {
  fc.assert(fc.property(fc.bigInt({ min: 0n, max: maxVarint }), (value) => {
    const bytes = encodeVarint(value);
    assert.deepEqual(decodeVarint(bytes), { value, end: bytes.length });
    assert.equal(decodeVarint(bytes.subarray(0, -1)), undefined);
  }));
});

Deno.test("decodeVarint() takes longer forms than needed", () => {
  assert.deepEqual(decodeVarint(Uint8Array.fromHex("4025")), { value: 37n, end: 2 });
});

Deno.test("encodeVarint() refuses what no varint can hold", () => {
  assert.throws(() => encodeVarint(-1), RangeError);
  assert.throws(() => encodeVarint(maxVarint + 1n), RangeError);
});
