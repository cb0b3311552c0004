/**
 * Synthetic iris images, as an infrared camera would take them: greyscale PNGs of about 284 kB,
 * the size that the original client sends. The same seed gives the same image, to the byte.
 *
 * @module
 */
import { encode } from "fast-png";

/** Side of the square image, in pixels. With the noise below it makes about 284 kB. */
export const irisSide = 628;
const side = irisSide;
/** Greatest deviation of the sensor's noise, in grey levels: what a PNG cannot pack. */
const noiseLevels = 8;

/**
 * Makes an iris image.
 *
 * @param seed a whole number from 0 to 2^32 - 1; another seed, another eye.
 * @returns a PNG, 8-bit greyscale.
 */
export function irisImage(seed: number): Uint8Array {
  return encode(
    { width: irisSide, height: irisSide, data: irisPixels(seed), depth: 8, channels: 1 },
    // Most of it is noise: more effort would save little and cost the sender's time.
    { zlib: { level: 1 } },
  );
}

/**
 * The grey levels, row by row.
 *
 * @param capture seed of what differs from one photograph of an eye to the next: where it is, its
 * pupil, lids and reflection, and the sensor's noise. @default those that came with the eye
 */
export function irisPixels(seed: number, capture?: number): Uint8Array {
  const eye = randomSource(seed);
  const taken = capture === undefined ? undefined : randomSource(capture);
  const between = (from: number, to: number) => from + eye() * (to - from);
  /** What another capture draws anew; the eye's own is drawn too, so that the rest stays. */
  const betweenNow = (from: number, to: number) => {
    const own = between(from, to);
    return taken ? from + taken() * (to - from) : own;
  };

  const centreX = side * betweenNow(.47, .53);
  const centreY = side * betweenNow(.48, .53);
  const irisRadius = side * between(.3, .34);
  const pupilRadius = irisRadius * betweenNow(.3, .48);
  const collarette = between(.25, .4);
  const irisGrey = between(95, 135);
  const lidTilt = betweenNow(-.06, .06);
  const upperLid = side * betweenNow(.2, .26);
  const lowerLid = side * betweenNow(.8, .86);
  // Fine fibres run outwards; coarser bands and crypts lie between them.
  const fibres = polarNoise(eye, 220, 5);
  const bands = polarNoise(eye, 48, 9);
  const crypts = polarNoise(eye, 22, 7);
  const glintX = centreX + pupilRadius * betweenNow(-.5, .5);
  const glintY = centreY - pupilRadius * betweenNow(.2, .5);

  /** Grey of the iris; `depth` is 0 at the pupil's edge and 1 at the sclera's. */
  function iris(angle: number, depth: number): number {
    const fibre = fibres(angle, depth) - .5;
    const band = bands(angle, depth) - .5;
    const crypt = Math.max(0, crypts(angle, depth) - .62);
    const ring = Math.exp(-(((depth - collarette) / .06) ** 2));
    const rim = depth > .85 ? (depth - .85) / .15 : 0;
    return irisGrey + 46 * fibre + 40 * band - 150 * crypt + 24 * ring - 45 * rim * rim;
  }

  /** Grey without noise. */
  function grey(x: number, y: number): number {
    const dx = x - centreX;
    const dy = y - centreY;
    const across = dx / side;
    const lidTop = upperLid + side * (.62 * across * across + lidTilt * across);
    const lidBottom = lowerLid - side * (.5 * across * across - lidTilt * across);
    if (y < lidTop || y > lidBottom) {
      const distance = (y < lidTop ? lidTop - y : y - lidBottom) / side;
      return 150 - 260 * Math.min(distance, .3) + 4 * Math.sin(distance * 60 + across * 9);
    }
    const shadow = 45 * Math.exp(-(y - lidTop) / (side * .035));
    if ((x - glintX) ** 2 + (y - glintY) ** 2 < (side * .014) ** 2) return 245;
    const radius = Math.sqrt(dx * dx + dy * dy);
    const pupil = smoothStep((radius - pupilRadius) / 5);
    const sclera = smoothStep((radius - irisRadius) / 12);
    if (pupil === 0) return 22;
    const white = 188 - 60 * across * across - 20 * (dy / side);
    const depth = Math.min(1, Math.max(0, (radius - pupilRadius) / (irisRadius - pupilRadius)));
    const coloured = sclera === 1 ? 0 : iris(Math.atan2(dy, dx), depth);
    const surface = coloured * (1 - sclera) + white * sclera;
    return 22 * (1 - pupil) + (surface - shadow) * pupil;
  }

  const pixels = new Uint8ClampedArray(side * side);
  // A linear congruential generator in 32-bit integers (Numerical Recipes): a call that returns a
  // fraction would leave a number on the heap for every pixel.
  let state = (capture ?? seed) | 0;
  for (let y = 0, at = 0; y < side; y++) {
    for (let x = 0; x < side; x++, at++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
      // The sum of two even ones: near enough to a sensor's bell curve.
      const noise = (state >>> 24) + ((state >>> 16) & 255) - 255;
      pixels[at] = grey(x, y) + noise * (noiseLevels / 255);
    }
  }
  return new Uint8Array(pixels.buffer);
}

/** Value noise over angle (periodic) and depth, from 0 to 1. */
function polarNoise(
  random: () => number,
  angles: number,
  depths: number,
): (angle: number, depth: number) => number {
  const values = Float64Array.from({ length: angles * (depths + 2) }, random);
  const at = (row: number, column: number) => values[row * angles + column % angles]!;
  return function noise(angle, depth) {
    const column = (angle / (2 * Math.PI) + .5) * angles;
    const row = depth * depths;
    const left = Math.floor(column);
    const top = Math.floor(row);
    const right = smoothStep(column - left);
    const down = smoothStep(row - top);
    const upper = at(top, left) * (1 - right) + at(top, left + 1) * right;
    const lower = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right;
    return upper * (1 - down) + lower * down;
  };
}

/** 0 below 0, 1 above 1, and a smooth way between. */
function smoothStep(t: number): number {
  if (t <= 0) return 0;
  if (t >= 1) return 1;
  return t * t * (3 - 2 * t);
}

/** Numbers from 0 to 1, the same for the same seed: mulberry32 (public domain, Tommy Ettinger). */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0;
  return function random() {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
