/**
 * Images that were just stored, kept in memory until their signup is decided: who decides it next
 * has no need to read and check them again.
 *
 * @module
 */
import type { ImageStore } from "./image_store.ts";

/**
 * A store that remembers what it was given, up to so many bytes, until it is asked for it once.
 *
 * @param maxBytes 0 remembers nothing
 *
 * @example
 * ```ts
 * const images = withRecentImages(await openImageFolder({ path }), 64 * 1024 ** 2);
 * ```
 */
export function withRecentImages(images: ImageStore, maxBytes: number): ImageStore {
  const recent = new Map<string, Uint8Array>();
  let recentBytes = 0;

  function take(sha256: string): Uint8Array | undefined {
    const bytes = recent.get(sha256);
    if (bytes !== undefined) {
      recent.delete(sha256);
      recentBytes -= bytes.length;
    }
    return bytes;
  }

  const receiveUpload = images.receiveUpload?.bind(images);
  const tidy = images.tidy?.bind(images);
  return {
    system: images.system,
    has: (sha256, signal) => images.has(sha256, signal),
    list: (signal) => images.list(signal),
    remove: (sha256, isUnused) => images.remove(sha256, isUnused),
    openUpload: (options) => images.openUpload(options),
    ...(receiveUpload && { receiveUpload }),
    readUpload: (id, maxBytes, signal) => images.readUpload(id, maxBytes, signal),
    removeUpload: (id) => images.removeUpload(id),
    removeExpiredUploads: (signal) => images.removeExpiredUploads(signal),
    ...(tidy && { tidy }),
    probe: (signal) => images.probe(signal),
    async put(sha256, bytes, signal) {
      const result = await images.put(sha256, bytes, signal);
      take(sha256);
      if (recentBytes + bytes.length <= maxBytes) {
        recent.set(sha256, bytes);
        recentBytes += bytes.length;
      }
      return result;
    },
    async get(sha256, signal) {
      return take(sha256) ?? await images.get(sha256, signal);
    },
  };
}
