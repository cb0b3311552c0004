/**
 * What is kept of an image to recognise others like it: a perceptual hash or an iris code, as bytes
 * that begin with the number of their form. A record holds it beside the image's SHA-256, so that
 * an index is filled at the start without an image being read.
 *
 * @module
 */
import { decodeImage } from "./decode_image.ts";
import { HammingIndex } from "./hamming_index.ts";
import { type ImageLimits, imageLimits } from "./image_header.ts";
import {
  decodeIrisCode,
  encodeIrisCode,
  irisCodeBytes,
  irisCodeOf,
  irisDistance,
} from "./iris_code.ts";
import { IrisIndex } from "./iris_index.ts";
import { perceptualHash, popCount } from "./perceptual_hash.ts";

/** How images that are not the same, byte by byte, are recognised. */
export type NearMode = "perceptual" | "iris";

/** The number that a fingerprint begins with. Another way to make it gets another number. */
const formOf: Readonly<Record<NearMode, number>> = { perceptual: 1, iris: 2 };
const lengthOf: Readonly<Record<NearMode, number>> = { perceptual: 1 + 8, iris: 1 + irisCodeBytes };

/**
 * Makes an image's fingerprint.
 *
 * @throws {ImageError} the image cannot be used; why is in its message.
 */
export function fingerprintOf(
  image: Uint8Array,
  mode: NearMode,
  limits: ImageLimits = imageLimits,
): Uint8Array {
  const grey = decodeImage(image, limits);
  const bytes = new Uint8Array(lengthOf[mode]);
  bytes[0] = formOf[mode];
  if (mode === "iris") {
    bytes.set(encodeIrisCode(irisCodeOf(grey)), 1);
  } else {
    const view = new DataView(bytes.buffer);
    perceptualHash(grey).forEach((half, index) => view.setUint32(1 + 4 * index, half));
  }
  return bytes;
}

/** True for a fingerprint of this way, false for that of another or of another version. */
export function isFingerprint(bytes: Uint8Array, mode: NearMode): boolean {
  return bytes[0] === formOf[mode] && bytes.length === lengthOf[mode];
}

/**
 * How much two fingerprints of one way differ: bits of 64, or the share of the iris codes' bits.
 *
 * @example
 * ```ts
 * fingerprintDistance(fingerprint, fingerprint, "perceptual"); // 0
 * ```
 */
export function fingerprintDistance(a: Uint8Array, b: Uint8Array, mode: NearMode): number {
  if (mode === "iris") {
    return irisDistance(decodeIrisCode(a.subarray(1)), decodeIrisCode(b.subarray(1))).distance;
  }
  return a.subarray(1).reduce((sum, byte, index) => sum + popCount(byte ^ b[1 + index]!), 0);
}

/** An index over fingerprints of one way. */
export interface FingerprintIndex {
  /** Fingerprints held. */
  readonly size: number;
  /** Adds one; returns its place. */
  add(fingerprint: Uint8Array): number;
  /** Takes all out. */
  clear(): void;
  /** Finds the nearest within a threshold: bits of 64, or a share of the iris code's. */
  nearest(
    fingerprint: Uint8Array,
    threshold: number,
  ): { place: number; distance: number } | undefined;
}

/** Makes an empty index. */
export function fingerprintIndex(mode: NearMode): FingerprintIndex {
  return mode === "iris" ? irisFingerprints() : hashFingerprints();
}

function hashFingerprints(): FingerprintIndex {
  const index = new HammingIndex();
  const halves = (bytes: Uint8Array) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return [view.getUint32(1), view.getUint32(5)] as const;
  };
  return {
    get size() {
      return index.size;
    },
    add: (fingerprint) => index.add(...halves(fingerprint)),
    clear: () => index.clear(),
    nearest: (fingerprint, threshold) => index.nearest(...halves(fingerprint), threshold),
  };
}

function irisFingerprints(): FingerprintIndex {
  const index = new IrisIndex();
  return {
    get size() {
      return index.size;
    },
    add: (fingerprint) => index.add(decodeIrisCode(fingerprint.subarray(1))),
    clear: () => index.clear(),
    nearest: (fingerprint, threshold) =>
      index.nearest(decodeIrisCode(fingerprint.subarray(1)), threshold),
  };
}
