/**
 * Removes what nobody needs: images without a signup, as a server that was killed between the two
 * leaves them, and uploads whose time is up.
 *
 * @module
 */
import type { Log } from "../../service/log.ts";
import { pause, reasonOf } from "../../service/resilience.ts";
import type { World } from "../../service/world/world.ts";
import { type ImageStore, ImageStoreError } from "../stores/image_store.ts";
import type { RecordStore } from "../stores/record_store.ts";
import { StoreError } from "../stores/store_error.ts";

/** Options of {@linkcode sweepImages}. */
export interface SweepOptions {
  store: Pick<RecordStore, "run">;
  images: ImageStore;
  /** Only images that were put before: a younger one may belong to a signup that is being taken in. */
  putBeforeMs: number;
  /** Ends it early. */
  signal: AbortSignal;
}

/** Images asked about at once. */
const batchSize = 500;

/**
 * Goes through all images once.
 *
 * @returns how many were removed
 * @throws {StoreError | ImageStoreError} a store cannot be reached
 */
export async function sweepImages(options: SweepOptions): Promise<number> {
  const { store, images, putBeforeMs, signal } = options;
  let removed = 0;
  let batch: string[] = [];

  async function removeUnused(): Promise<void> {
    const referenced = new Set(await store.run({ type: "referenced", sha256s: batch }));
    for (const sha256 of batch) {
      if (referenced.has(sha256)) continue;
      const isUnused = async () =>
        (await store.run({ type: "referenced", sha256s: [sha256] })).length === 0;
      if (await images.remove(sha256, isUnused)) removed++;
    }
    batch = [];
  }

  for await (const { sha256, putMs } of images.list(signal)) {
    if (signal.aborted) break;
    if (putMs < putBeforeMs) batch.push(sha256);
    if (batch.length >= batchSize) await removeUnused();
  }
  if (batch.length > 0 && !signal.aborted) await removeUnused();
  return removed;
}

/** Options of {@linkcode keepSweeping}. */
export interface KeepSweepingOptions extends Omit<SweepOptions, "putBeforeMs"> {
  log: Log;
  world: World;
  /**
   * True where no other server uses the images: then what was put before this one started belongs
   * to nobody that is still at work.
   */
  isAlone: boolean;
  /** How long an image may be without its signup, in milliseconds. @default 3_600_000 */
  graceMs?: number;
  /** How often, in milliseconds. @default 3_600_000 */
  intervalMs?: number;
}

/** Sweeps at the start and then now and again, until the signal aborts. */
export async function keepSweeping(options: KeepSweepingOptions): Promise<void> {
  const { images, log, world, isAlone, signal } = options;
  const { graceMs = 3_600_000, intervalMs = 3_600_000 } = options;
  let putBeforeMs = isAlone ? world.nowMs() : world.nowMs() - graceMs;
  while (!signal.aborted) {
    try {
      const removed = await sweepImages({ ...options, putBeforeMs });
      const uploads = await images.removeExpiredUploads(signal);
      await images.tidy?.(signal);
      if (removed + uploads > 0) {
        log.info("Removed what nobody needs", { images: removed, uploads });
      }
    } catch (error) {
      if (!(error instanceof StoreError || error instanceof ImageStoreError)) throw error;
      log.warn("Unused images could not be removed; it is tried again", {
        reason: reasonOf(error),
      });
    }
    await pause(intervalMs, { signal, world });
    putBeforeMs = world.nowMs() - graceMs;
  }
}
