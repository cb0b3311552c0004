import assert from "node:assert/strict";
import { randomSource } from "../iris_image.ts";
import { HammingIndex } from "./hamming_index.ts";
import { popCount } from "./perceptual_hash.ts";

/** Hashes of 32 and 32 bits; `crowd` keeps all but so many bits of each half alike. */
function hashes(count: number, seed: number, crowd = 32): [number, number][] {
  const random = randomSource(seed);
  const half = () => Math.floor(random() * 2 ** crowd) >>> 0;
  return Array.from({ length: count }, () => [half(), half()]);
}

/** Turns some bits over. */
function changed([high, low]: [number, number], bits: number, random: () => number) {
  const places = new Set<number>();
  while (places.size < bits) places.add(Math.floor(random() * 64));
  for (const place of places) {
    if (place < 32) high = (high ^ (1 << place)) >>> 0;
    else low = (low ^ (1 << (place - 32))) >>> 0;
  }
  return [high, low] as const;
}

function distance(a: readonly [number, number], b: readonly [number, number]): number {
  return popCount(a[0] ^ b[0]) + popCount(a[1] ^ b[1]);
}

Deno.test("HammingIndex finds what a comparison with every hash finds, at every threshold", () => {
  for (const crowd of [32, 9]) {
    const held = hashes(10_000, 1, crowd);
    const index = new HammingIndex();
    for (const [high, low] of held) index.add(high, low);
    const random = randomSource(2);
    for (let threshold = 0; threshold <= 24; threshold++) {
      for (let bits = 0; bits <= 14; bits += 2) {
        const probe = changed(held[Math.floor(random() * held.length)]!, bits, random);
        const found = index.nearest(...probe, threshold);
        const distances = held.map((one) => distance(one, probe));
        const least = Math.min(...distances);
        const expected = least > threshold
          ? undefined
          : { place: distances.indexOf(least), distance: least };
        assert.deepEqual(found, expected, `crowd ${crowd}, threshold ${threshold}, ${bits} bits`);
        assert.deepEqual(index.scan(...probe, threshold), expected);
      }
    }
  }
});

Deno.test("HammingIndex finds what was added since its tables were made, and nothing after clear()", () => {
  const index = new HammingIndex();
  const held = hashes(9_000, 3);
  for (const [place, hash] of held.entries()) {
    assert.equal(index.add(...hash), place);
    if (place % 500 === 0) {
      assert.deepEqual(index.nearest(...hash, 4), { place, distance: 0 });
      assert.deepEqual(index.nearest(...held[0]!, 4), { place: 0, distance: 0 });
    }
  }
  assert.equal(index.size, 9_000);
  index.clear();
  assert.equal(index.size, 0);
  assert.equal(index.nearest(...held[0]!, 8), undefined);
  assert.equal(index.add(...held[1]!), 0);
  assert.deepEqual(index.nearest(...held[1]!, 8), { place: 0, distance: 0 });
});
