/**
 * Finds, among fingerprints of one way, the nearest.
 *
 * @module
 */
import type { NearMode } from "./fingerprint.ts";
import { HammingIndex } from "./hamming_index.ts";
import { decodeIrisCode } from "./iris_code.ts";
import { IrisIndex } from "./iris_index.ts";

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
