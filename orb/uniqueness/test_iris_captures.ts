/**
 * Synthetic photographs of synthetic eyes, for tests and the benchmark: another photograph of an
 * eye has other lids, another pupil, another place and other noise, and what a test adds to it.
 *
 * @module
 */
import { encode } from "fast-png";
import jpeg from "jpeg-js";
import { irisPixels, irisSide } from "../iris_image.ts";
import { type GreyImage, levelAt } from "./grey_image.ts";

/** What is done to a photograph. */
export interface Distortion {
  /** Another photograph of the eye than the one that came with it; a seed. @default the same */
  capture?: number;
  /** Degrees by which the head is tilted, clockwise. @default 0 */
  rotation?: number;
  /** Share of each side that is cut off. @default 0 */
  crop?: number;
  /** Share by which it is made larger, 1 for the same size. @default 1 */
  scale?: number;
  /** Standard deviation of a blur, in pixels. @default 0 */
  blur?: number;
  /** Standard deviation of added noise, in grey levels. @default 0 */
  noise?: number;
  /** Added to every level. @default 0 */
  brightness?: number;
}

/** Takes a photograph of the eye of a seed. */
export function photograph(eye: number, distortion: Distortion = {}): GreyImage {
  const { capture, rotation = 0, crop = 0, scale = 1, blur = 0, noise = 0, brightness = 0 } =
    distortion;
  let image: GreyImage = {
    width: irisSide,
    height: irisSide,
    levels: irisPixels(eye, capture),
  };
  if (rotation !== 0 || crop !== 0 || scale !== 1) image = warped(image, rotation, crop, scale);
  if (blur > 0) image = blurred(image, blur);
  if (noise > 0 || brightness !== 0) {
    const random = normal((eye * 31 + (capture ?? 0) * 7 + 1) >>> 0);
    const levels = Uint8ClampedArray.from(
      image.levels,
      (level) => level + brightness + noise * random(),
    );
    image = { ...image, levels: new Uint8Array(levels.buffer) };
  }
  return image;
}

/** Encodes as PNG. */
export function asPng({ width, height, levels }: GreyImage): Uint8Array {
  const data = Uint8Array.from(levels);
  return encode({ width, height, data, depth: 8, channels: 1 }, { zlib: { level: 1 } });
}

/** Encodes as JPEG. @param quality 1 to 100 */
export function asJpeg({ width, height, levels }: GreyImage, quality: number): Uint8Array {
  const data = new Uint8Array(4 * width * height);
  levels.forEach((level, pixel) => data.set([level, level, level, 255], 4 * pixel));
  return Uint8Array.from(jpeg.encode({ width, height, data }, quality).data);
}

function warped(image: GreyImage, degrees: number, crop: number, scale: number): GreyImage {
  const cosine = Math.cos(degrees * Math.PI / 180) / scale;
  const sine = Math.sin(degrees * Math.PI / 180) / scale;
  const width = Math.round(image.width * scale * (1 - 2 * crop));
  const height = Math.round(image.height * scale * (1 - 2 * crop));
  const levels = new Uint8Array(width * height);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const dx = x - (width - 1) / 2;
      const dy = y - (height - 1) / 2;
      levels[at] = levelAt(
        image,
        (image.width - 1) / 2 + dx * cosine + dy * sine,
        (image.height - 1) / 2 - dx * sine + dy * cosine,
      );
    }
  }
  return { width, height, levels };
}

/** Gaussian, rows then columns. */
function blurred(image: GreyImage, sigma: number): GreyImage {
  const reach = Math.ceil(3 * sigma);
  const weights = Array.from(
    { length: 2 * reach + 1 },
    (_, index) => Math.exp(-(((index - reach) / sigma) ** 2) / 2),
  );
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const { width, height } = image;
  const pass = (levels: ArrayLike<number>, stepX: number, stepY: number) => {
    const result = new Float32Array(width * height);
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        let sum = 0;
        for (let tap = -reach; tap <= reach; tap++) {
          const column = Math.min(width - 1, Math.max(0, x + tap * stepX));
          const row = Math.min(height - 1, Math.max(0, y + tap * stepY));
          sum += levels[row * width + column]! * weights[tap + reach]!;
        }
        result[at] = sum / total;
      }
    }
    return result;
  };
  return {
    width,
    height,
    levels: Uint8Array.from(pass(pass(image.levels, 1, 0), 0, 1), Math.round),
  };
}

/** Normally distributed numbers, the same for the same seed: twelve even ones, added. */
function normal(seed: number): () => number {
  let state = seed | 0;
  return function next() {
    let sum = -6;
    for (let count = 0; count < 12; count++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
      sum += (state >>> 8) / 2 ** 24;
    }
    return sum;
  };
}
