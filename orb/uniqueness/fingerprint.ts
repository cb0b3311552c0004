/**
 * What is kept of an image to recognise others like it: a perceptual hash or an iris code, as bytes
 * that begin with the number of their form. A record holds it beside the image's SHA-256, so that
 * an index is filled at the start without an image being read. How it is made, and the index, are in
 * modules of their own, which only the threads load that need them.
 *
 * @module
 */
import { decodeIrisCode, irisCodeBytes, irisDistance } from "./iris_code.ts";
import { popCount } from "./perceptual_hash.ts";

/** How images that are not the same, byte by byte, are recognised. */
export type NearMode = "perceptual" | "iris";

/** The number that a fingerprint begins with. Another way to make it gets another number. */
export const formOf: Readonly<Record<NearMode, number>> = { perceptual: 1, iris: 2 };
/** The bytes of each. */
export const lengthOf: Readonly<Record<NearMode, number>> = {
  perceptual: 1 + 8,
  iris: 1 + irisCodeBytes,
};

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
