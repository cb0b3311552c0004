/**
 * The image store of a runtime that speaks the Container Runtime Interface (containerd, CRI-O), over
 * one connection that is kept: `StreamImages` where the runtime has it, else `ListImages`, then
 * `ImageFsInfo`.
 *
 * @module
 */
import {
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
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
import { KnownImages } from "./known_images.ts";
import {
  type FilesystemUsage,
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
  readonly #knownImages = new KnownImages((bytes) => storeImage(fromBinary(ImageSchema, bytes)));

  constructor(options: CriStoreOptions) {
    this.#options = options;
    const { endpoint, maxMessageBytes, onLost, world } = options;
    this.#kept = new KeptConnection({ endpoint, maxMessageBytes, onLost, world });
  }

  async poll({ signal, onMoment }: PollOptions): Promise<StoreSnapshot> {
    const connection = await this.#kept.get(signal, onMoment);
    try {
      const known = this.#knownOf(connection);
      const images = await this.#images(connection, known, signal, onMoment);
      const filesystems = await this.#filesystems(connection, known, signal);
      if (!known.askedForRuntime) {
        known.runtime = await runtimeInfo(connection, signal);
        known.askedForRuntime = true;
      }
      return { images, filesystems, runtime: known.runtime };
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
  ): Promise<StoreImage[]> {
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
  ): Promise<StoreImage[]> {
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
  ): Promise<FilesystemUse[]> {
    if (!known.filesystems) return [];
    return await this.#call("ImageFsInfo", async (headers) => {
      try {
        const answer = await connection.client(ImageService).imageFsInfo({}, { headers, signal });
        return answer.imageFilesystems.map(filesystemUse);
      } catch (error) {
        if (!isUnimplemented(error)) throw error;
        known.filesystems = false;
        return [];
      }
    });
  }
}

function isUnimplemented(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.Unimplemented;
}

/** Nice to know, no more: without an answer the poll is as good. */
async function runtimeInfo(
  connection: GrpcConnection,
  signal: AbortSignal,
): Promise<RuntimeInfo | undefined> {
  try {
    const answer = await connection.client(RuntimeService).version({}, { signal });
    return { name: answer.runtimeName, version: answer.runtimeVersion };
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
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
