import assert from "node:assert/strict";
import { resized } from "./grey_image.ts";
import { perceptualHash, popCount } from "./perceptual_hash.ts";
import { photograph } from "./test_iris_captures.ts";

function bits(a: Uint32Array, b: Uint32Array): number {
  return popCount(a[0]! ^ b[0]!) + popCount(a[1]! ^ b[1]!);
}

Deno.test("perceptualHash() hardly changes with noise, blur, brightness and size", () => {
  const image = photograph(5);
  const hash = perceptualHash(image);
  assert.equal(
    popCount(hash[0]!) + popCount(hash[1]!),
    32,
    "half of the bits are above the median",
  );
  for (const change of [{ noise: 12 }, { blur: 2 }, { brightness: 20 }, { scale: .7 }]) {
    const changed = perceptualHash(photograph(5, change));
    assert.ok(bits(hash, changed) <= 4, `${JSON.stringify(change)}: ${bits(hash, changed)} bits`);
  }
});

Deno.test("perceptualHash() differs for pictures of other things", () => {
  const width = 64;
  const stripes = Uint8Array.from({ length: width * width }, (_, at) => at % 16 < 8 ? 40 : 200);
  const hash = perceptualHash({ width, height: width, levels: stripes });
  assert.ok(bits(hash, perceptualHash(photograph(5))) > 16);
});

Deno.test("popCount() counts the bits of 32", () => {
  for (const word of [0, 1, 0x8000_0000, 0xffff_ffff, 0x0f0f_1234]) {
    assert.equal(popCount(word), [...word.toString(2)].filter((bit) => bit === "1").length);
  }
});

Deno.test("resized() gives each pixel the mean of what it covers", () => {
  const levels = Uint8Array.of(0, 30, 60, 0, 30, 60, 90, 90, 90);
  assert.deepEqual([...resized({ width: 3, height: 3, levels }, 1, 1).levels], [50]);
  const halves = resized({ width: 3, height: 1, levels: Uint8Array.of(0, 30, 60) }, 2, 1).levels;
  assert.deepEqual([...halves].map(Math.round), [10, 50]);
});
