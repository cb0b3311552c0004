/**
 * An image store whose state is known: notified when it cannot be reached, probed until it can.
 *
 * @module
 */
import type { World } from "../../service/world/world.ts";
import { DiskState } from "./disk_state.ts";
import { type ImageStore, ImageStoreError } from "./image_store.ts";

/** Options of {@linkcode watchImages}. */
export interface WatchImagesOptions {
  /** Notified when it cannot be reached (the reason) and when it works again, once each. */
  onState: (state: "ok" | ImageStoreError) => void;
  /** How long between attempts while it cannot be reached, in milliseconds. @default 1_000 */
  probeIntervalMs?: number;
  world: World;
}

/**
 * The same store, watched. `close` ends its probes.
 *
 * @example
 * ```ts
 * const { images, close } = watchImages(await openImageFolder({ path }), { onState, world });
 * ```
 */
export function watchImages(
  images: ImageStore,
  { onState, probeIntervalMs = 1_000, world }: WatchImagesOptions,
): { images: ImageStore; close: () => void } {
  const state = new DiskState<ImageStoreError>({
    onState,
    probeIntervalMs,
    world,
    probe: () => void watched(images.probe()).catch(() => {}),
  });

  async function watched<Result>(work: Promise<Result>): Promise<Result> {
    try {
      const result = await work;
      state.wrote();
      return result;
    } catch (error) {
      if (error instanceof ImageStoreError && error.kind === "unavailable") state.failed(error);
      throw error;
    }
  }

  const receiveUpload = images.receiveUpload?.bind(images);
  const tidy = images.tidy?.bind(images);
  return {
    close: () => state.close(),
    images: {
      system: images.system,
      put: (sha256, bytes, signal) => watched(images.put(sha256, bytes, signal)),
      get: (sha256, signal) => images.get(sha256, signal),
      has: (sha256, signal) => images.has(sha256, signal),
      list: (signal) => images.list(signal),
      remove: (sha256, isUnused) => images.remove(sha256, isUnused),
      openUpload: (options) => watched(images.openUpload(options)),
      ...(receiveUpload && {
        receiveUpload: (id: string, bytes: Uint8Array) => watched(receiveUpload(id, bytes)),
      }),
      readUpload: (id, maxBytes, signal) => images.readUpload(id, maxBytes, signal),
      removeUpload: (id) => images.removeUpload(id),
      removeExpiredUploads: (signal) => images.removeExpiredUploads(signal),
      ...(tidy && { tidy: (signal?: AbortSignal) => watched(tidy(signal)) }),
      probe: (signal) => watched(images.probe(signal)),
    },
  };
}
