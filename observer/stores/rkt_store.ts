/**
 * rkt's image store, asked as the original asks it: a new connection for every poll, and one call,
 * `/v1alpha.PublicAPI/ListImages` without detail.
 *
 * @module
 */
import { timeoutSignal } from "../../service/resilience.ts";
import { GrpcConnection } from "../grpc/grpc_connection.ts";
import type { ImageStore, ImageStoreOptions, RuntimeInfo, StoreImage } from "./image_store.ts";
import { KnownImages, readImage } from "./known_images.ts";
import { RawImagesSchema } from "../proto/gen/raw_images_pb.ts";
import { type Image, ImageSchema, PublicAPI } from "../proto/gen/rkt_api_pb.ts";
import { tracedCall } from "../grpc/rpc_span.ts";

/** Makes the store. */
export function rktStore(
  { endpoint, maxMessageBytes, partTimeoutMs, tracing, world }: ImageStoreOptions,
): ImageStore {
  /** Asked for once: the original never does. */
  let runtime: RuntimeInfo | undefined;
  let askForRuntime = true;
  const known = new KnownImages((bytes) => readImage(ImageSchema, bytes, storeImage));

  return {
    async poll({ signal, onMoment }) {
      const connection = await GrpcConnection.open(endpoint, {
        signal,
        maxMessageBytes,
        onMoment,
        world,
      });
      try {
        const listed = await tracedCall(
          tracing,
          endpoint,
          "v1alpha.PublicAPI/ListImages",
          async (headers) => {
            const parts: Uint8Array[] = [];
            // The empty request asks for all images, without detail.
            const { listImages } = PublicAPI.method;
            for await (
              const answer of connection.read(listImages, RawImagesSchema, {
                headers,
                signal,
                onMoment,
              })
            ) {
              for (const image of answer.images) parts.push(image);
            }
            return known.read(parts);
          },
        );
        if (askForRuntime) {
          using limit = timeoutSignal(partTimeoutMs, { world, signal });
          runtime = await runtimeInfo(connection, limit.signal);
          askForRuntime = false;
        }
        connection.close();
        return { ...listed, filesystems: [], filesystemsUp: undefined, runtime };
      } catch (error) {
        askForRuntime = true;
        connection.close();
        if (signal.aborted) throw signal.reason;
        throw error;
      }
    },
    stop() {},
  };
}

/** Nice to know, no more: without an answer the poll is as good. */
async function runtimeInfo(
  connection: GrpcConnection,
  signal: AbortSignal,
): Promise<RuntimeInfo | undefined> {
  try {
    const { info } = await connection.client(PublicAPI).getInfo({}, { signal });
    return info && { name: "rkt", version: info.rktVersion };
  } catch {
    return undefined;
  }
}

function storeImage(image: Image): StoreImage {
  return {
    id: image.id,
    tags: image.name === ""
      ? []
      : [image.version === "" ? image.name : `${image.name}:${image.version}`],
    digests: [],
    sizeBytes: image.size > 0n ? Number(image.size) : undefined,
    importedAtMs: image.importTimestamp > 0n ? Number(image.importTimestamp) * 1_000 : undefined,
    pinned: undefined,
  };
}
