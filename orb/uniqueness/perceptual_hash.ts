/**
 * A perceptual hash of 64 bits: images that look alike have hashes of which few bits differ.
 *
 * The one that is called pHash (C. Zauner, "Implementation and Benchmarking of Perceptual Image
 * Hash Functions", 2010): the image made 32 by 32, its discrete cosine transform (DCT-II), of that
 * the 8 by 8 lowest frequencies without the constant ones, and of each whether it is above their
 * median. Noise, blur and another encoding change high frequencies; brightness and contrast change
 * all alike. Rotation and crop do move it: that is what an iris code is for.
 *
 * @module
 */
import { type GreyImage, resized } from "./grey_image.ts";

const side = 32;
const kept = 8;

/** cos(π/32 · (x + ½) · u) for u of 1 to 8, a row each. */
const cosines = Float64Array.from(
  { length: kept * side },
  (_, index) => Math.cos(Math.PI / side * (index % side + .5) * (Math.floor(index / side) + 1)),
);

/**
 * Hashes an image.
 *
 * @returns the hash as two numbers of 32 bits, the first rows first.
 *
 * @example
 * ```ts
 * const [high, low] = perceptualHash(decodeImage(png));
 * ```
 */
export function perceptualHash(image: GreyImage): Uint32Array {
  const { levels } = resized(image, side, side);
  // Rows to frequencies, then columns.
  const rows = new Float64Array(side * kept);
  for (let y = 0; y < side; y++) {
    for (let u = 0; u < kept; u++) {
      let sum = 0;
      for (let x = 0; x < side; x++) sum += levels[y * side + x]! * cosines[u * side + x]!;
      rows[y * kept + u] = sum;
    }
  }
  const frequencies = new Float64Array(kept * kept);
  for (let v = 0; v < kept; v++) {
    for (let u = 0; u < kept; u++) {
      let sum = 0;
      for (let y = 0; y < side; y++) sum += rows[y * kept + u]! * cosines[v * side + y]!;
      frequencies[v * kept + u] = sum;
    }
  }
  const sorted = frequencies.toSorted();
  const median = (sorted[31]! + sorted[32]!) / 2;
  const hash = new Uint32Array(2);
  frequencies.forEach((value, index) => {
    if (value > median) hash[index >> 5]! |= 1 << (31 - (index & 31));
  });
  return hash;
}

/** Bits set of 32 (Hacker's Delight, section 5-1). */
export function popCount(word: number): number {
  word -= (word >>> 1) & 0x5555_5555;
  word = (word & 0x3333_3333) + ((word >>> 2) & 0x3333_3333);
  return Math.imul((word + (word >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
