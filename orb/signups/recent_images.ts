/**
 * Images that were just stored, kept in memory until their signup is decided: who decides it next
 * has no need to read and check them again.
 *
 * @module
 */

/** The most recent images, up to so many bytes; each is given once. */
export class RecentImages {
  readonly #maxBytes: number;
  /** Oldest first. */
  readonly #images = new Map<string, Uint8Array>();
  #bytes = 0;

  /** @param maxBytes 0 remembers nothing */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Remembers an image. The oldest make room: another server may have decided their signups. */
  keep(sha256: string, image: Uint8Array): void {
    this.take(sha256);
    if (image.length > this.#maxBytes) return;
    this.#images.set(sha256, image);
    this.#bytes += image.length;
    for (const oldest of this.#images.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.take(oldest);
    }
  }

  /** Gives an image, and forgets it. */
  take(sha256: string): Uint8Array | undefined {
    const image = this.#images.get(sha256);
    if (image === undefined) return undefined;
    this.#images.delete(sha256);
    this.#bytes -= image.length;
    return image;
  }
}
