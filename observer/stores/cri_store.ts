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
  RuntimeInfo,
  StoreImage,
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

/** Options of {@linkcode criStore}. */
export interface CriStoreOptions extends ImageStoreOptions {
  /** Told when the kept connection is gone: what was seen is not current any more. */
  onLost: (reason: Error) => void;
}

/** What is learnt of a runtime once a connection: another one may be another version. */
interface Known {
  streams: boolean;
  filesystems: boolean;
  runtime: RuntimeInfo | undefined;
}

/** Makes the store. */
export function criStore(options: CriStoreOptions): ImageStore {
  const { endpoint, maxMessageBytes, tracing, onLost } = options;
  const kept = new KeptConnection({ endpoint, maxMessageBytes, onLost });
  const learnt = new WeakMap<GrpcConnection, Known>();
  const knownImages = new KnownImages((bytes) => storeImage(fromBinary(ImageSchema, bytes)));
  const call = <T>(method: string, run: (metadata: Headers) => Promise<T>) =>
    tracedCall(tracing, endpoint, `runtime.v1.ImageService/${method}`, run);

  async function listImages(
    connection: GrpcConnection,
    known: Known,
    signal: AbortSignal,
    onMoment: OnMoment,
  ): Promise<StoreImage[]> {
    const { streamImages, listImages } = ImageService.method;
    async function read(
      method: DescMethodUnary | DescMethodServerStreaming,
      headers: Headers,
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
      return knownImages.read(parts);
    }
    if (known.streams) {
      const streamed = await call("StreamImages", async (headers) => {
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
    return await call("ListImages", (headers) => read(listImages, headers));
  }

  async function filesystems(
    connection: GrpcConnection,
    known: Known,
    signal: AbortSignal,
  ): Promise<FilesystemUse[]> {
    if (!known.filesystems) return [];
    return await call("ImageFsInfo", async (headers) => {
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

  return {
    async look({ signal, onMoment }) {
      const connection = await kept.get(signal, onMoment);
      try {
        let known = learnt.get(connection);
        const images = await listImages(
          connection,
          known ??= { streams: true, filesystems: true, runtime: undefined },
          signal,
          onMoment,
        );
        const used = await filesystems(connection, known, signal);
        if (!learnt.has(connection)) {
          known.runtime = await runtimeInfo(connection, signal);
          learnt.set(connection, known);
        }
        return { images, filesystems: used, runtime: known.runtime };
      } catch (error) {
        // A runtime that hangs may do so on this connection only: the next look gets a new one.
        if (signal.aborted) {
          connection.close();
          throw signal.reason;
        }
        throw error;
      }
    },
    stop: () => kept.stop(),
  };
}

function isUnimplemented(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.Unimplemented;
}

/** Nice to know, no more: without an answer the look is as good. */
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
