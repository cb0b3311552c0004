/**
 * The image store of a runtime that speaks the Container Runtime Interface (containerd, CRI-O), over
 * one connection that is kept: `StreamImages` where the runtime has it, else `ListImages`, then
 * `ImageFsInfo`.
 *
 * @module
 */
import type { DescMethodServerStreaming, DescMethodUnary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { timeoutSignal } from "../../service/resilience.ts";
import { timedOut } from "../grpc/failure.ts";
import type { GrpcConnection, OnMoment } from "../grpc/grpc_connection.ts";
import type {
  FilesystemUse,
  ImageStore,
  ImageStoreOptions,
  PollOptions,
  RuntimeInfo,
  StoreImage,
  StoreSnapshot,
} from "./image_store.ts";
import { KeptConnection } from "../grpc/kept_connection.ts";
import { KnownImages, readImage, type ReadImages } from "./known_images.ts";
import { decodeReadable } from "./readable_fields.ts";
import {
  type FilesystemUsage,
  FilesystemUsageSchema,
  type Image,
  ImageSchema,
  ImageService,
  RuntimeService,
} from "../proto/gen/cri_images_pb.ts";
import { RawImagesSchema } from "../proto/gen/raw_images_pb.ts";
import { tracedCall } from "../grpc/rpc_span.ts";

/** Options of {@linkcode CriStore}. */
export interface CriStoreOptions extends ImageStoreOptions {
  /** Called when the kept connection is gone: what was seen is not current any more. */
  onLost: (reason: Error) => void;
}

/** What is known of a runtime for the time of a connection: behind another one may be another version. */
interface Known {
  streams: boolean;
  filesystems: boolean;
  /** `undefined` also before it was asked. */
  runtime: RuntimeInfo | undefined;
  askedForRuntime: boolean;
}

/** A store behind the Container Runtime Interface. */
export class CriStore implements ImageStore {
  readonly #options: CriStoreOptions;
  readonly #kept: KeptConnection;
  readonly #known = new WeakMap<GrpcConnection, Known>();
  readonly #knownImages = new KnownImages((bytes) => readImage(ImageSchema, bytes, storeImage));

  constructor(options: CriStoreOptions) {
    this.#options = options;
    const { endpoint, maxMessageBytes, onLost, world } = options;
    this.#kept = new KeptConnection({ endpoint, maxMessageBytes, onLost, world });
  }

  async poll({ signal, onMoment }: PollOptions): Promise<StoreSnapshot> {
    const connection = await this.#kept.get(signal, onMoment);
    try {
      const known = this.#knownOf(connection);
      const listed = await this.#images(connection, known, signal, onMoment);
      // From here on there is a list, and what else is asked for costs no more than itself.
      const used = await this.#filesystems(connection, known, signal);
      if (!known.askedForRuntime) {
        known.runtime = await this.#runtimeInfo(connection, signal);
        known.askedForRuntime = true;
      }
      // A connection that is gone is another matter: nothing of this would be current.
      if (connection.lost.aborted) throw connection.lost.reason;
      const problems = [...listed.problems, ...used.problems];
      return { ...listed, ...used, problems, runtime: known.runtime };
    } catch (error) {
      // A runtime that hangs may do so on this connection only: the next poll gets a new one.
      if (signal.aborted) {
        connection.close();
        throw signal.reason;
      }
      throw error;
    }
  }

  stop(): void {
    this.#kept.stop();
  }

  #knownOf(connection: GrpcConnection): Known {
    let known = this.#known.get(connection);
    if (!known) {
      known = { streams: true, filesystems: true, runtime: undefined, askedForRuntime: false };
      this.#known.set(connection, known);
    }
    return known;
  }

  #call<T>(method: string, run: (metadata: Headers) => Promise<T>): Promise<T> {
    const { tracing, endpoint } = this.#options;
    return tracedCall(tracing, endpoint, `runtime.v1.ImageService/${method}`, run);
  }

  async #images(
    connection: GrpcConnection,
    known: Known,
    signal: AbortSignal,
    onMoment: OnMoment,
  ): Promise<ReadImages> {
    const { streamImages, listImages } = ImageService.method;
    const read = (method: DescMethodUnary | DescMethodServerStreaming, headers: Headers) =>
      this.#read(connection, method, { headers, signal, onMoment });
    if (known.streams) {
      const streamed = await this.#call("StreamImages", async (headers) => {
        try {
          return await read(streamImages, headers);
        } catch (error) {
          if (!isUnimplemented(error)) throw error;
          known.streams = false;
          return undefined;
        }
      });
      if (streamed) return streamed;
    }
    return await this.#call("ListImages", (headers) => read(listImages, headers));
  }

  async #read(
    connection: GrpcConnection,
    method: DescMethodUnary | DescMethodServerStreaming,
    { headers, signal, onMoment }: PollOptions & { headers: Headers },
  ): Promise<ReadImages> {
    const parts: Uint8Array[] = [];
    const answers = connection.read(method, RawImagesSchema, {
      headers,
      signal,
      onMoment: (moment, attributes) => {
        // A call that the runtime does not have was none.
        if (attributes?.["rpc.status_code"] !== "UNIMPLEMENTED") onMoment(moment, attributes);
      },
    });
    for await (const { images } of answers) for (const image of images) parts.push(image);
    return this.#knownImages.read(parts);
  }

  async #filesystems(
    connection: GrpcConnection,
    known: Known,
    signal: AbortSignal,
  ): Promise<Pick<StoreSnapshot, "filesystems" | "filesystemsUp" | "problems">> {
    const none = { filesystems: [], filesystemsUp: undefined, problems: [] };
    if (!known.filesystems) return none;
    using limit = this.#partLimit("ImageFsInfo", signal);
    try {
      return await this.#call("ImageFsInfo", async (headers) => {
        try {
          return await readFilesystems(connection, headers, limit.signal);
        } catch (error) {
          // `tracedCall` would say of a limit no more than that the call was cancelled.
          if (limit.signal.aborted) throw limit.signal.reason;
          if (!isUnimplemented(error)) throw error;
          known.filesystems = false;
          return none;
        }
      });
    } catch (error) {
      return { filesystems: [], filesystemsUp: false, problems: [(error as Error).message] };
    }
  }

  /** Nice to know, no more: without an answer the poll is as good. */
  async #runtimeInfo(
    connection: GrpcConnection,
    signal: AbortSignal,
  ): Promise<RuntimeInfo | undefined> {
    using limit = this.#partLimit("Version", signal);
    try {
      const { signal } = limit;
      const answer = await connection.client(RuntimeService).version({}, { signal });
      return { name: answer.runtimeName, version: answer.runtimeVersion };
    } catch {
      return undefined;
    }
  }

  #partLimit(method: string, signal: AbortSignal) {
    const { endpoint, partTimeoutMs, world } = this.#options;
    return timeoutSignal(
      partTimeoutMs,
      { world, signal },
      () => timedOut(endpoint, method, partTimeoutMs),
    );
  }
}

/** As bytes, as the images: of a file system whose mount point cannot be read only that is lost. */
async function readFilesystems(
  connection: GrpcConnection,
  headers: Headers,
  signal: AbortSignal,
): Promise<Pick<StoreSnapshot, "filesystems" | "filesystemsUp" | "problems">> {
  const { imageFsInfo } = ImageService.method;
  const filesystems: FilesystemUse[] = [];
  const problems: string[] = [];
  const options = { headers, signal, onMoment: () => {} };
  for await (const answer of connection.read(imageFsInfo, RawImagesSchema, options)) {
    for (const bytes of answer.images) {
      const { message, lost } = decodeReadable(FilesystemUsageSchema, bytes);
      if (lost.length === 0) filesystems.push(filesystemUse(message));
      // The first says enough: a runtime may have any number of them.
      else problems[0] ??= `ImageFsInfo has a file system that cannot be read, ${lost.join(", ")}`;
    }
  }
  return { filesystems, filesystemsUp: problems.length === 0, problems };
}

function isUnimplemented(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.Unimplemented;
}

function storeImage(image: Image): StoreImage {
  return {
    id: image.id,
    tags: image.repoTags,
    digests: image.repoDigests,
    sizeBytes: Number(image.size),
    importedAtMs: undefined,
    pinned: image.pinned,
  };
}

function filesystemUse(usage: FilesystemUsage): FilesystemUse {
  return {
    mountpoint: usage.fsId?.mountpoint ?? "",
    usedBytes: Number(usage.usedBytes?.value ?? 0n),
    inodesUsed: usage.inodesUsed && Number(usage.inodesUsed.value),
  };
}
