import assert from "node:assert/strict";
import { hashToken } from "./hash_token.ts";
import { irisImage } from "./iris_image.ts";

/** SipHash-1-3 as the paper has it, slow and plain, over the length and the bytes. */
function reference(image: Uint8Array): string {
  const mask = 2n ** 64n - 1n;
  const rotate = (x: bigint, by: bigint) => ((x << by) | (x >> (64n - by))) & mask;
  const message = new Uint8Array(8 + image.length);
  new DataView(message.buffer).setBigUint64(0, BigInt(image.length), true);
  message.set(image, 8);
  let [v0, v1, v2, v3] = [
    0x736f6d6570736575n,
    0x646f72616e646f6dn,
    0x6c7967656e657261n,
    0x7465646279746573n,
  ];
  function round(): void {
    v0 = (v0 + v1) & mask;
    v1 = rotate(v1, 13n) ^ v0;
    v0 = rotate(v0, 32n);
    v2 = (v2 + v3) & mask;
    v3 = rotate(v3, 16n) ^ v2;
    v0 = (v0 + v3) & mask;
    v3 = rotate(v3, 21n) ^ v0;
    v2 = (v2 + v1) & mask;
    v1 = rotate(v1, 17n) ^ v2;
    v2 = rotate(v2, 32n);
  }
  function compress(word: bigint): void {
    v3 ^= word;
    round();
    v0 ^= word;
  }
  const padded = new Uint8Array(Math.floor(message.length / 8) * 8 + 8);
  padded.set(message);
  padded[padded.length - 1] = message.length & 0xff;
  const words = new DataView(padded.buffer);
  for (let at = 0; at < padded.length; at += 8) compress(words.getBigUint64(at, true));
  v2 ^= 0xffn;
  round();
  round();
  round();
  return (v0 ^ v1 ^ v2 ^ v3).toString(16);
}

Deno.test("hashToken() gives the tokens of the original", () => {
  const golden: [number[], string][] = [
    [[1, 2, 3, 4, 5], "371dd8e3f2423f4a"],
    [[5, 5, 5, 5, 5], "c3094d9734dac10b"],
    [[4, 4], "3e2145f38adc6fc6"],
    [[2, 2], "1107fa14cb42ad7"], // 15 digits: no leading zero.
    [[], "bd60acb658c79e45"],
  ];
  for (const [bytes, token] of golden) assert.equal(hashToken(new Uint8Array(bytes)), token);
});

Deno.test("hashToken() agrees with a plain SipHash at every length, after longer messages too", () => {
  // Descending, so that each message leaves its tail behind the next one.
  for (let length = 80; length >= 0; length--) {
    const image = new Uint8Array(length).map((_, index) => 255 - index * 7);
    assert.equal(hashToken(image), reference(image), `${length} bytes`);
  }
  const image = irisImage(1);
  assert.equal(hashToken(image), reference(image));
});

Deno.test("hashToken() takes an image of 8 MiB and the next small one", () => {
  const large = new Uint8Array(8 * 1024 ** 2).fill(3);
  assert.match(hashToken(large), /^[0-9a-f]{1,16}$/);
  assert.equal(hashToken(new Uint8Array([4, 4])), "3e2145f38adc6fc6");
});
