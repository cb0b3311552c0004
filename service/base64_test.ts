import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeBase64 } from "./base64.ts";

Deno.test("decodeBase64() gives back what was encoded, with padding and without", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
    for (const alphabet of ["base64", "base64url"] as const) {
      for (const omitPadding of [true, false]) {
        const text = new Uint8Array(bytes).toBase64({ alphabet, omitPadding });
        assert.deepEqual(decodeBase64(text, alphabet), new Uint8Array(bytes));
      }
    }
  }));
});

Deno.test("decodeBase64() takes one text for bytes, and no other", () => {
  for (
    const text of [
      "_x", // left-over bits
      "_w=", // half of the padding
      "_w===",
      "_w==\n",
      " _w",
      "_ w",
      "_\nw",
      "A", // six bits
      "AAAA=",
      "=",
      "_w==AAAA",
      "/w", // the other alphabet
      "é",
    ]
  ) assert.equal(decodeBase64(text, "base64url"), undefined, JSON.stringify(text));
  assert.equal(decodeBase64("_w", "base64"), undefined);
  assert.deepEqual(decodeBase64("", "base64url"), new Uint8Array());
});
