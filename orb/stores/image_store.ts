/**
 * Where images are kept: by the SHA-256 of their bytes. `image_folder.ts` is one (the default),
 * `image_bucket.ts` (S3) another; both pass `image_suite.ts`.
 *
 * Promises every store keeps:
 *
 * - what {@linkcode ImageStore.put} has resolved for is durable;
 * - an image is there whole or not at all, whatever breaks in between;
 * - what {@linkcode ImageStore.get} gives has the hash that it was asked by.
 *
 * @module
 */

/** Why an image store did not do what it was asked; `kind` is stable, the message is for logs. */
export class ImageStoreError extends Error {
  override name = "ImageStoreError";
  readonly kind: ImageStoreErrorKind;

  constructor(kind: ImageStoreErrorKind, message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

/**
 * - `missing`: there is no such image, or no such upload
 * - `corrupt`: what is there has another hash
 * - `unavailable`: it cannot be read or written for now; may work later
 * - `too-large`: an upload is over the limit
 * - `full`: too many uploads are open
 */
export type ImageStoreErrorKind = "missing" | "corrupt" | "unavailable" | "too-large" | "full";

/** What is known of a stored image without reading it. */
export interface StoredImage {
  /** SHA-256 of its bytes, in hex. */
  readonly sha256: string;
  readonly bytes: number;
  /** When it was put last, in milliseconds since the epoch, by the store's clock. */
  readonly putMs: number;
}

/** Where a device sends the bytes of one upload. */
export interface UploadTicket {
  /** Names it, when it signs up. */
  readonly id: string;
  /** Takes one `PUT` with the bytes: an address of the store itself, or a path of this server. */
  readonly url: string;
  /** Headers that the `PUT` must have. */
  readonly headers: Readonly<Record<string, string>>;
  readonly expiresMs: number;
}

/** A store of images. */
export interface ImageStore {
  readonly system: "folder" | "s3";
  /**
   * Keeps an image under its hash, durable when it resolves. Of one that is there already
   * (`present`) only the time is set anew.
   *
   * @throws {ImageStoreError} `unavailable`
   */
  put(sha256: string, bytes: Uint8Array, signal?: AbortSignal): Promise<"new" | "present">;
  /** The image. @throws {ImageStoreError} `missing`, `corrupt`, `unavailable` */
  get(sha256: string, signal?: AbortSignal): Promise<Uint8Array>;
  /** Whether it is there. */
  has(sha256: string, signal?: AbortSignal): Promise<boolean>;
  /** Every image, in no order. */
  list(signal?: AbortSignal): AsyncIterable<StoredImage>;
  /** Removes an image, unless `isUnused` says otherwise at the last moment. */
  remove(sha256: string, isUnused: () => Promise<boolean>): Promise<boolean>;
  /** Opens an upload of at most `maxBytes`. @throws {ImageStoreError} `full`, `unavailable` */
  openUpload(options: { maxBytes: number; mediaType: string }): Promise<UploadTicket>;
  /** For a store whose uploads come through this server: keeps the bytes. @throws {ImageStoreError} `missing` */
  receiveUpload?(id: string, bytes: Uint8Array): Promise<void>;
  /** The bytes of an upload. @throws {ImageStoreError} `missing`, `too-large`, `unavailable` */
  readUpload(id: string, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** Forgets an upload; one that is not there is fine. */
  removeUpload(id: string): Promise<void>;
  /** Forgets uploads that nobody named within their time. */
  removeExpiredUploads(signal?: AbortSignal): Promise<number>;
  /** Gives back space of what was removed, where that is not at once. @throws {ImageStoreError} `unavailable` */
  tidy?(signal?: AbortSignal): Promise<void>;
  /** Proves that it can be written. @throws {ImageStoreError} `unavailable` */
  probe(signal?: AbortSignal): Promise<void>;
}
