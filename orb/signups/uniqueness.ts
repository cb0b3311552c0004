/**
 * What decides whether an image was there before, beyond its bytes. That the same bytes are never
 * accepted twice is the record store's own promise; this is for images that look alike.
 *
 * The worker asks it so: `fingerprint(image)`, then `nearest()` among all that were accepted, then
 * the store is asked to accept. If another server has accepted something meanwhile, the store says
 * so (`stale`); the worker gives the new fingerprints to `add()` and compares again.
 *
 * @module
 */
import type { Fingerprint, ImageMediaType } from "./signup_record.ts";

/** An accepted image that looks like another. */
export interface NearImage {
  readonly signupId: string;
  /** From 0 (the same) to 1 (nothing in common). */
  readonly distance: number;
}

/** An image that no attempt will ever read, such as one that is no PNG inside: the signup is `rejected`. */
export class ImageRefusedError extends Error {
  override name = "ImageRefusedError";
}

/** An image whose header has been checked: at most as many pixels as are allowed, and not more data than they need. */
export interface CheckedImage {
  readonly bytes: Uint8Array;
  /** What it really is, by its first bytes; `application/octet-stream` for bytes that are no image. */
  readonly mediaType: ImageMediaType;
  /** 0 for bytes that are no image. */
  readonly width: number;
  readonly height: number;
}

/** Compares images. */
export interface Uniqueness {
  /** True where they are compared by their bytes only: there is nothing to look at in them. */
  readonly byBytesOnly?: boolean;
  /**
   * Looks at all that is in an image, in whichever mode.
   *
   * @returns what it is compared by, at most 8 KiB; `undefined` for one that is compared by its bytes
   * only
   * @throws {ImageRefusedError} it cannot be read and never will
   */
  fingerprint(image: CheckedImage, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /**
   * The nearest accepted image of all that were added before this call, if it is near enough to be
   * the same.
   */
  nearest(fingerprint: Uint8Array): Promise<NearImage | undefined>;
  /** How near two images are, from 0 to 1, if that is near enough to be the same. */
  compare(a: Uint8Array, b: Uint8Array): number | undefined;
  /** Takes in what was accepted. */
  add(fingerprints: readonly Fingerprint[]): void;
  /** Forgets all: the tokens were reset. */
  clear(): void;
}
