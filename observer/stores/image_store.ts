/**
 * What an image store answers when it is polled, whatever API it speaks.
 *
 * @module
 */
import type { Endpoint } from "../grpc/endpoint.ts";
import type { OnMoment } from "../grpc/grpc_connection.ts";
import type { RpcTracing } from "../grpc/rpc_span.ts";
import type { World } from "../../service/world/world.ts";

/** An image. */
export interface StoreImage {
  /** The store's name for it, a digest: `sha256:…`, `sha512-…`. */
  readonly id: string;
  /** Names with their tags: `docker.io/library/busybox:1.36`. */
  readonly tags: readonly string[];
  /** Names with their digests. */
  readonly digests: readonly string[];
  /** Bytes in the store, where it says so. */
  readonly sizeBytes: number | undefined;
  /** When it was imported, in milliseconds since the epoch, where the store says so. */
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
  /** Not known of every file system. */
  readonly inodesUsed: number | undefined;
}

/** Which program a store belongs to, in its own words. */
export interface RuntimeInfo {
  readonly name: string;
  readonly version: string;
}

/** What one poll of a store saw: the list of its images; all else may be missing by itself. */
export interface StoreSnapshot {
  readonly images: readonly StoreImage[];
  /** Names and images that came and could not be read. */
  readonly unreadable: number;
  /** Empty where the store does not say. */
  readonly filesystems: readonly FilesystemUse[];
  /** Whether the store said what its file systems have in use; `undefined` if it never does. */
  readonly filesystemsUp: boolean | undefined;
  /** What was amiss with the parts, a sentence each. */
  readonly problems: readonly string[];
  /** `undefined` where the store does not say. */
  readonly runtime: RuntimeInfo | undefined;
}

/** Options of {@linkcode ImageStore.poll}. */
export interface PollOptions {
  /** Ends the poll; its reason, an `ObservationError`, is what the poll rejects with. */
  signal: AbortSignal;
  /** Called at each of the transport's steps of the call that lists the images. */
  onMoment: OnMoment;
}

/** Options of every image store. */
export interface ImageStoreOptions {
  endpoint: Endpoint;
  /** Larger messages fail their call, in bytes. */
  maxMessageBytes: number;
  /** How long a call beside the one for the images may take, in milliseconds. */
  partTimeoutMs: number;
  /** For the calls' spans and durations. */
  tracing: RpcTracing;
  /** Time and chance. */
  world: World;
}

/** An image store behind an endpoint. */
export interface ImageStore {
  /**
   * Asks the store what it holds.
   *
   * @throws {ObservationError} the store did not answer, or not well.
   */
  poll(options: PollOptions): Promise<StoreSnapshot>;
  /** Closes what it holds open. */
  stop(): void;
}
