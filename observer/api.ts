/**
 * What the observer's page and `observer list` get to know: the shapes of its JSON.
 *
 * @module
 */
import type { RuntimeKind } from "./grpc/endpoint.ts";
import type { FilesystemUse, RuntimeInfo, StoreImage } from "./stores/image_store.ts";
import type { Observation, StoreState } from "./stores/store_watch.ts";

/** An image as the page shows it. */
export interface ImageView {
  readonly id: string;
  readonly tags: readonly string[];
  readonly digests: readonly string[];
  readonly sizeBytes?: number;
  readonly pinned?: boolean;
  /** When it was imported, where the store says so; milliseconds since the epoch. */
  readonly importedAtMs?: number;
  /** When the observer saw it first: where the store does not say its age, it is at least that old. */
  readonly firstSeenMs: number;
}

/** A store without its images. */
export interface StoreView {
  /** `kind=address`, as `--endpoint` takes it. */
  readonly id: string;
  readonly kind: RuntimeKind;
  readonly address: string;
  readonly up: boolean;
  /** Why it is not up. */
  readonly reason?: string;
  readonly runtime?: RuntimeInfo;
  /** Whether the store says of itself that it is simulated. */
  readonly simulated: boolean;
  /** What the last good observation saw; absent before it. */
  readonly seen?: {
    readonly atMs: number;
    readonly images: number;
    readonly sizeBytes: number;
    /** Absent where the store knows of no pinning. */
    readonly pinned?: number;
    readonly filesystems: readonly FilesystemUse[];
    /** What was amiss with a part of it, a sentence each: file systems not told, names not readable. */
    readonly problems: readonly string[];
    /** What came and went since the good observation before; absent at the first. */
    readonly changes?: {
      readonly sinceMs: number;
      readonly added: number;
      readonly removed: number;
      /** The first of them, at most {@linkcode maxChangesShown} each. */
      readonly addedImages: readonly ImageView[];
      readonly removedImages: readonly ImageView[];
    };
  };
  /** The newest last, at most {@linkcode maxHistoryShown}. */
  readonly history: readonly Observation[];
}

/** `GET /api/stores`, and the event `stores` of `GET /api/live`. */
export interface StoresAnswer {
  /** Where to send the signal. */
  readonly pid: number;
  /** Signals received. */
  readonly signals: number;
  /** 0: on demand only. */
  readonly intervalMs: number;
  /** When the answer was made, in milliseconds since the epoch. */
  readonly atMs: number;
  readonly stores: readonly StoreView[];
}

/** `GET /api/images?store=ID&q=TEXT&sort=name|size|age&offset=N&limit=N`. */
export interface ImagesAnswer {
  /** When the store was seen like this; absent before the first good observation. */
  readonly atMs?: number;
  /** How many fit `q`. */
  readonly total: number;
  readonly images: readonly ImageView[];
}

/** `POST /observe`. */
export interface ObserveAnswer {
  readonly observations: readonly (Observation & { readonly store: string })[];
}

/** The most images of a change that are listed. */
export const maxChangesShown = 50;
/** The most observations that a {@linkcode StoreView} carries. */
export const maxHistoryShown = 200;

/** Makes the view of a store. */
export function storeView({ endpoint, up, reason, inventory, history }: StoreState): StoreView {
  const { kind, address } = endpoint;
  return {
    id: `${kind}=${address}`,
    kind,
    address,
    up,
    ...(reason !== undefined && { reason }),
    ...(inventory?.runtime && { runtime: inventory.runtime }),
    simulated: /\bsimulated\b/.test(JSON.stringify(inventory?.runtime ?? "")),
    ...(inventory && {
      seen: {
        atMs: inventory.atMs,
        images: inventory.images.length,
        sizeBytes: inventory.images.reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0),
        ...(kind === "cri" && { pinned: inventory.images.filter(({ pinned }) => pinned).length }),
        filesystems: inventory.filesystems,
        problems: inventory.problems,
        ...(inventory.changes && { changes: changesView(inventory.changes, inventory) }),
      },
    }),
    history: history.slice(-maxHistoryShown),
  };
}

function changesView(
  { sinceMs, added, removed }: NonNullable<NonNullable<StoreState["inventory"]>["changes"]>,
  { atMs }: { atMs: number },
) {
  const views = (images: readonly StoreImage[]) =>
    images.slice(0, maxChangesShown).map((image) => imageView(image, atMs));
  return {
    sinceMs,
    added: added.length,
    removed: removed.length,
    addedImages: views(added),
    removedImages: views(removed),
  };
}

/** What an image is called: by its first tag, else by a name with its digest, else by its id. */
export function imageName(
  { tags, digests, id }: Pick<ImageView, "tags" | "digests" | "id">,
): string {
  return tags[0] ?? digests[0] ?? id;
}

/** Makes the view of an image. */
export function imageView(image: StoreImage, firstSeenMs: number): ImageView {
  const { id, tags, digests, sizeBytes, pinned, importedAtMs } = image;
  return {
    id,
    tags,
    digests,
    ...(sizeBytes !== undefined && { sizeBytes }),
    ...(pinned !== undefined && { pinned }),
    ...(importedAtMs !== undefined && { importedAtMs }),
    firstSeenMs,
  };
}
