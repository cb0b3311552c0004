#!/usr/bin/env -S deno run --allow-net --allow-env=OTEL_*,IMAGE_SERVICE_*
/**
 * A stand-in for a container runtime's image store, for machines without one: the same gRPC, from
 * a small list of images that do not exist and change now and then. It says of itself, as runtime
 * name, that it is simulated.
 *
 * Exports {@linkcode startImageService}; can also be used as a CLI:
 *
 * ```sh
 * deno task observer:image-service                        # rkt's API on 15441, CRI on 15442
 * deno task observer:image-service --images 20000 --change-interval-ms 0
 * ```
 *
 * A unix socket for CRI needs `--allow-read` and `--allow-write` with its path.
 *
 * @module
 */
import type { ConnectRouter } from "@connectrpc/connect";
import { commandLine, flag, parseDuration, parseInteger } from "../service/command_line.ts";
import { hostFlags, isLoopback, portFlag } from "../service/http_server.ts";
import {
  runService,
  type Service,
  type ServiceContext,
  StartError,
} from "../service/life_cycle.ts";
import { version } from "../service/version.ts";
import type { World } from "../service/world/world.ts";
import { serveGrpc } from "./grpc/grpc_server.ts";
import { ImageService, RuntimeService } from "./proto/gen/cri_images_pb.ts";
import { ImageType, PublicAPI } from "./proto/gen/rkt_api_pb.ts";
import { SimulatedImages } from "./stores/simulated_images.ts";

/** Options of {@linkcode startImageService}. */
export interface ImageServiceOptions {
  /** Address of both APIs. @default "127.0.0.1" */
  host?: string;
  /** Lets it listen beyond loopback. Nobody has to authenticate. @default false */
  allowRemoteWithoutAuth?: true;
  /** Port of rkt's API; 0 takes a free one. @default 15441 */
  rktPort?: number;
  /** Port of CRI; 0 takes a free one. @default 15442 */
  criPort?: number;
  /** A unix socket for CRI instead of the port. @default none */
  criSocket?: string;
  /** Images at the start. @default 18 */
  images?: number;
  /** Time between two changes of the list, in milliseconds; 0 for none. @default 10_000 */
  changeIntervalMs?: number;
  /** Answers `StreamImages`, as newer runtimes do; without it UNIMPLEMENTED. @default true */
  streaming?: boolean;
  /** The same seed, the same images and changes. @default 1 */
  seed?: number;
}

/** A running image service. */
export interface ImageServiceService extends Service {
  /** rkt's API, `host:port`. */
  readonly rktAddress: string;
  /** CRI, `host:port` or `unix:///path`. */
  readonly criAddress: string;
  /** The images it has. */
  readonly images: SimulatedImages;
}

/**
 * Starts the image service.
 *
 * @throws {StartError} a port is taken, or the address is not loopback.
 */
export async function startImageService(
  options: ImageServiceOptions,
  { health, log, telemetry, world }: Pick<
    ServiceContext,
    "health" | "log" | "telemetry" | "world"
  >,
): Promise<ImageServiceService> {
  const { host = "127.0.0.1", criSocket, changeIntervalMs = 10_000, streaming = true } = options;
  if (!options.allowRemoteWithoutAuth && !isLoopback(host)) {
    throw new StartError(
      `Refuses to listen on ${host}: it is not a loopback address and nobody has to authenticate. Listen on 127.0.0.1, or say --allow-remote-without-auth.`,
    );
  }
  const images = new SimulatedImages({
    count: options.images ?? 18,
    seed: options.seed ?? 1,
    nowMs: world.nowMs(),
  });
  const { tracer } = telemetry;
  const rkt = await serveGrpc({
    address: { host, port: options.rktPort ?? 15441 },
    routes: (router) => rktRoutes(router, images),
    tracer,
  });
  const cri = await serveGrpc({
    address: criSocket !== undefined
      ? { path: criSocket }
      : { host, port: options.criPort ?? 15442 },
    routes: (router) => criRoutes(router, images, { streaming, world }),
    tracer,
  }).catch(async (error) => {
    await rkt.stop(AbortSignal.abort());
    throw error;
  });

  const timer = changeIntervalMs > 0
    ? world.setInterval(() => {
      const { added, removed } = images.change(world.nowMs());
      const image = (added ?? removed)!;
      log.info(added ? "Simulated the pull of an image" : "Simulated the removal of an image", {
        image: `${image.name}:${image.tag}`,
        images: images.images.length,
      });
    }, changeIntervalMs)
    : undefined;
  health.set("images", "ok");
  log.info("The simulated image store is ready", {
    rkt: rkt.address,
    cri: cri.address,
    images: images.images.length,
  });
  return {
    rktAddress: rkt.address,
    criAddress: cri.address,
    images,
    async stop(deadline) {
      world.clearInterval(timer);
      await Promise.all([rkt.stop(deadline), cri.stop(deadline)]);
    },
  };
}

function rktRoutes(router: ConnectRouter, store: SimulatedImages): void {
  router.service(PublicAPI, {
    getInfo: () => ({
      info: {
        rktVersion: `${version} (simulated)`,
        appcVersion: "0.8.11",
        apiVersion: "1.0.0-alpha",
      },
    }),
    listImages: () => ({
      images: store.images.map(({ digest, name, tag, sizeBytes, importedAtMs }) => ({
        baseFormat: { type: ImageType.OCI, version: "1.0.0" },
        id: `sha512-${digest}${digest}`,
        name,
        version: tag,
        importTimestamp: BigInt(Math.floor(importedAtMs / 1_000)),
        size: BigInt(sizeBytes),
      })),
    }),
  });
}

/** A streamed answer's images in one message. */
const imagesPerMessage = 500;

function criRoutes(
  router: ConnectRouter,
  store: SimulatedImages,
  { streaming, world }: { streaming: boolean; world: Pick<World, "nowMs"> },
): void {
  const images = () =>
    store.images.map(({ digest, name, tag, sizeBytes, pinned }) => ({
      id: `sha256:${digest}`,
      repoTags: [`${name}:${tag}`],
      repoDigests: [`${name}@sha256:${digest}`],
      size: BigInt(sizeBytes),
      pinned,
    }));
  router.service(RuntimeService, {
    version: () => ({
      version: "0.1.0",
      runtimeName: "orrery-image-service (simulated)",
      runtimeVersion: version,
      runtimeApiVersion: "v1",
    }),
  });
  router.service(ImageService, {
    listImages: () => ({ images: images() }),
    ...(streaming && {
      async *streamImages() {
        const all = images();
        for (let at = 0; at < all.length; at += imagesPerMessage) {
          yield { images: all.slice(at, at + imagesPerMessage) };
        }
      },
    }),
    imageFsInfo: () => ({
      imageFilesystems: [{
        timestamp: BigInt(world.nowMs()) * 1_000_000n,
        fsId: { mountpoint: "/var/lib/simulated" },
        usedBytes: { value: BigInt(store.usage.bytes) },
        inodesUsed: { value: BigInt(store.usage.inodes) },
      }],
    }),
  });
}

async function main(): Promise<void> {
  const command = commandLine({
    name: "image-service",
    summary: "Stands in for a container runtime's image store: the same gRPC, simulated images.",
    examples: [
      ["deno task observer:image-service", "rkt's API on 15441, CRI on 15442"],
      ["deno task observer:image-service --images 20000", "a large store"],
    ],
  })
    .addOption(hostFlags.host().default("127.0.0.1", "127.0.0.1"))
    .addOption(hostFlags.allowRemoteWithoutAuth())
    .addOption(portFlag("--rkt-port <port>", "port of rkt's API", 15441))
    .addOption(portFlag("--cri-port <port>", "port of the Container Runtime Interface", 15442))
    .addOption(flag("--cri-socket <path>", "a unix socket for CRI instead of the port"))
    .addOption(
      flag("--images <count>", "images at the start")
        .argParser(parseInteger({ min: 0, max: 1_000_000 })).default(18),
    )
    .addOption(
      flag("--change-interval-ms <ms>", "time between two changes of the list; 0: none")
        .argParser(parseDuration({ unit: "ms", minMs: 0, maxMs: 86_400_000 })).default(10_000),
    )
    .addOption(
      flag("--no-streaming", "answers StreamImages with UNIMPLEMENTED, as most runtimes do"),
    )
    .addOption(
      flag("--seed <number>", "the same seed, the same images and changes")
        .argParser(parseInteger({ max: 2 ** 32 - 1 })).default(1),
    );
  await runService(command, startImageService);
}

if (import.meta.main) await main();
