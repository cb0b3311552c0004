/**
 * What an image store tells when it is looked at, whatever API it speaks.
 *
 * @module
 */
import type { Endpoint } from "../grpc/endpoint.ts";
import type { OnMoment } from "../grpc/grpc_connection.ts";
import type { RpcTracing } from "../grpc/rpc_span.ts";

/** An image. */
export interface StoreImage {
  /** The store's name for it, a digest: `sha256:…`, `sha512-…`. */
  readonly id: string;
  /** Names with their tags: `docker.io/library/busybox:1.36`. */
  readonly tags: readonly string[];
  /** Names with their digests. */
  readonly digests: readonly string[];
  /** Bytes in the store, where it tells. */
  readonly sizeBytes: number | undefined;
  /** When it was imported, in milliseconds since the epoch, where the store tells. */
  readonly importedAtMs: number | undefined;
  /** Whether garbage collection leaves it, where the store knows of that. */
  readonly pinned: boolean | undefined;
}

/** What a file system with images has in use. */
export interface FilesystemUse {
  /** Where it is mounted, or the store's folder in it. */
  readonly mountpoint: string;
  /** Bytes. */
  readonly usedBytes: number;
  /** Not told by every file system. */
  readonly inodesUsed: number | undefined;
}

/** Which program a store belongs to, in its own words. */
export interface RuntimeInfo {
  readonly name: string;
  readonly version: string;
}

/** What one look at a store saw. */
export interface StoreLook {
  readonly images: readonly StoreImage[];
  /** Empty where the store does not tell. */
  readonly filesystems: readonly FilesystemUse[];
  /** `undefined` where the store does not tell. */
  readonly runtime: RuntimeInfo | undefined;
}

/** Options of {@linkcode ImageStore.look}. */
export interface LookOptions {
  /** Ends the look; its reason, an `ObservationError`, is what the look rejects with. */
  signal: AbortSignal;
  /** Told of the transport's steps of the call that lists the images. */
  onMoment: OnMoment;
}

/** Options of every image store. */
export interface ImageStoreOptions {
  endpoint: Endpoint;
  /** Larger messages fail their call. */
  maxMessageBytes: number;
  /** For the calls' spans and durations. */
  tracing: RpcTracing;
}

/** An image store behind an endpoint. */
export interface ImageStore {
  /**
   * Asks the store what it holds.
   *
   * @throws {ObservationError} the store did not answer, or not well.
   */
  look(options: LookOptions): Promise<StoreLook>;
  /** Closes what it holds open. */
  stop(): void;
}
