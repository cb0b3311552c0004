/**
 * The code of an iris, and how much two of them differ: the method of J. Daugman and, in shape, of
 * Worldcoin's open-iris, in its simplest honest form.
 *
 * The ring between pupil and sclera is unrolled to a strip ("rubber sheet": it stretches with the
 * pupil). Along 8 circles a complex Gabor wavelet is laid over it at 256 angles; of each response
 * only the quadrant of its phase is kept, two bits. A mask says which of them can be trusted: none
 * under a lid, on a reflection or outside of the image, and none whose response is so weak that
 * noise would flip it. The share of bits that differ, of those that both masks trust, is about 0.5
 * for different eyes, whatever they look like. An eye that is tilted shifts the strip, so codes are
 * compared at 31 shifts, and the least counts.
 *
 * @module
 */
import { type GreyImage, levelAt } from "./grey_image.ts";
import { ImageError } from "./image_header.ts";
import { type EyeGeometry, findEye, type LidEdge } from "./iris_segmentation.ts";
import { popCount } from "./perceptual_hash.ts";

/** Circles that are looked at, and angles on each. */
export const codeRows = 8;
export const codeColumns = 256;
/** Words of 32 bits that hold one row's bits. */
export const rowWords = codeColumns / 32;
/** Shifts to either side at which codes are compared: 21 degrees. */
export const maxShift = 15;

/** Words of each of a code's three planes. */
const planeWords = codeRows * rowWords;
/** Bytes of {@linkcode encodeIrisCode}. */
export const irisCodeBytes = 3 * planeWords * 4;

/** The code of an iris: three planes of 8 rows of 256 bits. */
export interface IrisCode {
  /** Sign of the real part of each response. */
  readonly real: Uint32Array;
  /** Sign of the imaginary part. */
  readonly imaginary: Uint32Array;
  /** Set where both can be trusted. */
  readonly mask: Uint32Array;
}

const stripRows = 64;
const stripColumns = 512;
/** Columns of the strip from one crest of the wavelet to the next, and how fast it fades. */
const wavelength = 26;
const sigmaColumns = 11;
const sigmaRows = 3.2;
/** Next to the pupil and the sclera the strip is left out: edges, not iris. */
const innerMargin = .06;
const outerMargin = .1;
/** Brighter is a reflection. */
const reflectionLevel = 225;
/** Share of the responses, the weakest, that are not trusted. */
const fragileShare = .15;
/** With less of the ring to be seen nothing can be said. */
const minTrustedShare = .3;

/**
 * Makes an iris's code.
 *
 * @throws {ImageError} there is no iris in the image, or too little of it.
 *
 * @example
 * ```ts
 * const enrolled = irisCodeOf(decodeImage(first));
 * const probe = irisCodeOf(decodeImage(second));
 * irisDistance(enrolled, probe).distance; // about 0.5, or below 0.35 for the same eye
 * ```
 */
export function irisCodeOf(image: GreyImage): IrisCode {
  const eye = findEye(image);
  const { levels, seen } = unrolled(image, eye);
  const { real, imaginary, trusted } = responses(levels, seen);
  const code = packed(real, imaginary, trusted);
  const share = bitsSet(code.mask) / (codeRows * codeColumns);
  if (share >= minTrustedShare) return code;
  const percent = Math.round(share * 100);
  throw new ImageError(
    "iris",
    `Too little of the iris is seen in the image: ${percent} % of it, at least ${
      minTrustedShare * 100
    } % are needed.`,
  );
}

/** The ring as a strip: columns are angles, rows go from the pupil to the sclera. */
function unrolled(
  image: GreyImage,
  eye: EyeGeometry,
): { levels: Float32Array; seen: Uint8Array } {
  const { pupil, iris } = eye;
  const levels = new Float32Array(stripRows * stripColumns);
  const seen = new Uint8Array(levels.length);
  for (let column = 0; column < stripColumns; column++) {
    const angle = 2 * Math.PI * column / stripColumns;
    const cosine = Math.cos(angle);
    const sine = Math.sin(angle);
    for (let row = 0; row < stripRows; row++) {
      const depth = innerMargin + (1 - innerMargin - outerMargin) * (row + .5) / stripRows;
      const x = (1 - depth) * (pupil.x + pupil.radius * cosine) +
        depth * (iris.x + iris.radius * cosine);
      const y = (1 - depth) * (pupil.y + pupil.radius * sine) +
        depth * (iris.y + iris.radius * sine);
      const at = row * stripColumns + column;
      const level = levelAt(image, x, y);
      levels[at] = level;
      const inside = x >= 0 && y >= 0 && x <= image.width - 1 && y <= image.height - 1;
      seen[at] = inside && level < reflectionLevel && !isCovered(eye, x, y) ? 1 : 0;
    }
  }
  return { levels, seen };
}

function isCovered({ iris, upperLid, lowerLid }: EyeGeometry, x: number, y: number): boolean {
  const dx = x - iris.x;
  const dy = y - iris.y;
  const edge = (lid: LidEdge) => lid.y + lid.tilt * dx + lid.bend * dx * dx;
  // Beside the edge lies the lashes' shadow.
  const shadow = iris.radius * .12;
  const margin = iris.radius * .03;
  return (upperLid !== undefined && dy < edge(upperLid) + shadow) ||
    (lowerLid !== undefined && dy > edge(lowerLid) - margin);
}

/** The wavelet's answers, a row of the code after the other. */
function responses(
  levels: Float32Array,
  seen: Uint8Array,
): { real: Float32Array; imaginary: Float32Array; trusted: Uint8Array } {
  const real = new Float32Array(codeRows * codeColumns);
  const imaginary = new Float32Array(real.length);
  const trusted = new Uint8Array(real.length);
  for (let row = 0; row < codeRows; row++) {
    const { line, share } = ringLine(levels, seen, (row + .5) * stripRows / codeRows - .5);
    for (let column = 0; column < codeColumns; column++) {
      const at = row * codeColumns + column;
      const centre = column * stripColumns / codeColumns;
      let sum = 0;
      for (let tap = 0; tap < wavelet.length; tap++) {
        const { offset, cosine, sine, weight } = wavelet[tap]!;
        const from = (centre + offset + stripColumns) % stripColumns;
        real[at]! += line[from]! * cosine;
        imaginary[at]! += line[from]! * sine;
        sum += share[from]! * weight;
      }
      trusted[at] = sum > .7 ? 1 : 0;
    }
  }
  distrustWeak(real, imaginary, trusted);
  return { real, imaginary, trusted };
}

/** The strip around a row, weighted by a bell curve; what is not seen is filled with the mean. */
function ringLine(
  levels: Float32Array,
  seen: Uint8Array,
  centre: number,
): { line: Float32Array; share: Float32Array } {
  const line = new Float32Array(stripColumns);
  const share = new Float32Array(stripColumns);
  const reach = Math.ceil(2.5 * sigmaRows);
  let total = 0;
  let known = 0;
  for (let column = 0; column < stripColumns; column++) {
    let sum = 0;
    let weights = 0;
    let all = 0;
    for (let row = Math.max(0, Math.ceil(centre - reach)); row < stripRows; row++) {
      if (row > centre + reach) break;
      const weight = Math.exp(-(((row - centre) / sigmaRows) ** 2) / 2);
      const at = row * stripColumns + column;
      all += weight;
      if (seen[at] === 0) continue;
      sum += levels[at]! * weight;
      weights += weight;
    }
    share[column] = weights / all;
    line[column] = weights > 0 ? sum / weights : NaN;
    if (weights > 0) {
      total += line[column]!;
      known++;
    }
  }
  const mean = known > 0 ? total / known : 0;
  for (let column = 0; column < stripColumns; column++) {
    if (Number.isNaN(line[column])) line[column] = mean;
  }
  return { line, share };
}

/** One tap of the wavelet. */
interface Tap {
  readonly offset: number;
  readonly cosine: number;
  readonly sine: number;
  readonly weight: number;
}

const wavelet = makeWavelet();

/** A complex Gabor wavelet without a constant part: an even light must not answer. */
function makeWavelet(): readonly Tap[] {
  const reach = Math.ceil(2.5 * sigmaColumns);
  const offsets = Array.from({ length: 2 * reach + 1 }, (_, index) => index - reach);
  const bell = offsets.map((offset) => Math.exp(-((offset / sigmaColumns) ** 2) / 2));
  const total = bell.reduce((sum, weight) => sum + weight, 0);
  const phase = (offset: number) => 2 * Math.PI * offset / wavelength;
  const constant = offsets.reduce(
    (sum, offset, index) => sum + bell[index]! * Math.cos(phase(offset)),
    0,
  ) / total;
  return offsets.map((offset, index) => ({
    offset,
    cosine: bell[index]! * (Math.cos(phase(offset)) - constant),
    sine: bell[index]! * Math.sin(phase(offset)),
    weight: bell[index]! / total,
  }));
}

/** Near a quadrant's border a little noise flips a bit: the bits of weak responses are fragile. */
function distrustWeak(real: Float32Array, imaginary: Float32Array, trusted: Uint8Array): void {
  const strengths: number[] = [];
  trusted.forEach((yes, at) => {
    if (yes) strengths.push(real[at]! ** 2 + imaginary[at]! ** 2);
  });
  const weakest = strengths.sort((a, b) => a - b)[Math.floor(strengths.length * fragileShare)] ?? 0;
  trusted.forEach((yes, at) => {
    if (yes && real[at]! ** 2 + imaginary[at]! ** 2 < weakest) trusted[at] = 0;
  });
}

function packed(real: Float32Array, imaginary: Float32Array, trusted: Uint8Array): IrisCode {
  const code = {
    real: new Uint32Array(planeWords),
    imaginary: new Uint32Array(planeWords),
    mask: new Uint32Array(planeWords),
  };
  for (let at = 0; at < trusted.length; at++) {
    const bit = 1 << (at & 31);
    if (real[at]! > 0) code.real[at >> 5]! |= bit;
    if (imaginary[at]! > 0) code.imaginary[at >> 5]! |= bit;
    if (trusted[at] === 1) code.mask[at >> 5]! |= bit;
  }
  return code;
}

/** How many bits of a plane are set. */
export function bitsSet(words: Uint32Array): number {
  return words.reduce((sum, word) => sum + popCount(word), 0);
}

/** A code as bytes, little-endian: real, imaginary, mask. */
export function encodeIrisCode({ real, imaginary, mask }: IrisCode): Uint8Array {
  const bytes = new Uint8Array(irisCodeBytes);
  const view = new DataView(bytes.buffer);
  [...real, ...imaginary, ...mask].forEach((word, index) => view.setUint32(4 * index, word, true));
  return bytes;
}

/** Reads {@linkcode encodeIrisCode}'s bytes. @throws {RangeError} there are not as many as a code has. */
export function decodeIrisCode(bytes: Uint8Array): IrisCode {
  if (bytes.length !== irisCodeBytes) {
    throw new RangeError(`An iris code has ${irisCodeBytes} bytes, not ${bytes.length}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const plane = (index: number) =>
    Uint32Array.from(
      { length: planeWords },
      (_, word) => view.getUint32(4 * (index * planeWords + word), true),
    );
  return { real: plane(0), imaginary: plane(1), mask: plane(2) };
}

/** How much two codes differ. */
export interface IrisDistance {
  /** Share of the bits that both trust that differ, at the best shift; 1 where they share too few. */
  readonly distance: number;
  /** Columns by which the second is shifted against the first there. */
  readonly shift: number;
}

/** Two codes that share less of what they trust are not compared. */
export const minSharedBits = codeRows * codeColumns * .15;

/** The same code, turned by so many columns, -15 to 15. */
export function shifted({ real, imaginary, mask }: IrisCode, columns: number): IrisCode {
  return {
    real: shiftedPlane(real, columns),
    imaginary: shiftedPlane(imaginary, columns),
    mask: shiftedPlane(mask, columns),
  };
}

function shiftedPlane(plane: Uint32Array, columns: number): Uint32Array {
  const by = (columns % codeColumns + codeColumns) % codeColumns;
  const words = by >> 5;
  const bits = by & 31;
  const result = new Uint32Array(plane.length);
  for (let row = 0; row < codeRows; row++) {
    for (let word = 0; word < rowWords; word++) {
      const low = plane[row * rowWords + (word - words + rowWords) % rowWords]!;
      const lower = plane[row * rowWords + (word - words - 1 + 2 * rowWords) % rowWords]!;
      result[row * rowWords + word] = bits === 0 ? low : (low << bits) | (lower >>> (32 - bits));
    }
  }
  return result;
}

/**
 * Compares two codes at every shift.
 *
 * @example
 * ```ts
 * irisDistance(code, shifted(code, 3)); // { distance: 0, shift: -3 }
 * ```
 */
export function irisDistance(first: IrisCode, second: IrisCode): IrisDistance {
  let best: IrisDistance = { distance: 1, shift: 0 };
  for (let shift = -maxShift; shift <= maxShift; shift++) {
    const turned = shifted(second, shift);
    let differing = 0;
    let shared = 0;
    for (let word = 0; word < planeWords; word++) {
      const both = first.mask[word]! & turned.mask[word]!;
      shared += 2 * popCount(both);
      differing += popCount((first.real[word]! ^ turned.real[word]!) & both) +
        popCount((first.imaginary[word]! ^ turned.imaginary[word]!) & both);
    }
    const distance = shared < 2 * minSharedBits ? 1 : differing / shared;
    if (distance < best.distance) best = { distance, shift };
  }
  return best;
}
