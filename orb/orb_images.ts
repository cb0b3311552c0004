/**
 * Where an orb's images come from: always the same one, a fresh one each time, or a folder's files.
 *
 * @module
 */
import { join } from "node:path";
import { StartError } from "../service/life_cycle.ts";
import { pause, reasonOf } from "../service/resilience.ts";
import { realWorld, type World } from "../service/world/world.ts";
import { irisImage, randomSource } from "./iris_image.ts";

/**
 * Reads one image, the same each time. It is not held in between: a fleet whose signups wait would
 * hold hundreds of megabytes.
 */
export type ReadImage = () => Promise<Uint8Array>;

/** Chooses the next image. */
export type ImageSource = () => ReadImage;

/** Options of {@linkcode openImages}. */
export interface ImagesOptions {
  /** `same` (one for ever), `fresh` (a new one each time), or a folder whose files are taken in turns. */
  from: string;
  /** Share of images, 0 to 1, that repeat one of the last few. @default 0 */
  repeatRatio?: number;
  /** Seed of the fresh images and of the repeats, 0 to 2^32 - 1. @default a random one */
  seed?: number;
  /** Ends the drawing of fresh images: those that wait for their turn are not drawn. @default nothing does */
  signal?: AbortSignal;
  /** Time and chance. @default the real world */
  world?: ImageWorld;
}

type ImageWorld = Pick<World, "random" | "setTimeout" | "clearTimeout">;

/** Images that a repeat is chosen from. */
const rememberedImages = 8;
/** Greatest file of a folder, in bytes: what fits into the server's default body as base64. */
const maxFileBytes = 7 * 1024 ** 2;

/**
 * Opens a source of images.
 *
 * @throws {StartError} the folder cannot be read or holds no file.
 *
 * @example
 * ```ts
 * const nextImage = await openImages({ from: "fresh", repeatRatio: .1 });
 * const image = await nextImage()(); // a PNG
 * ```
 */
export async function openImages(options: ImagesOptions): Promise<ImageSource> {
  const { from, repeatRatio = 0, world = realWorld } = options;
  const { seed = Math.floor(world.random() * 2 ** 32) } = options;
  const random = randomSource(seed);
  const next = from === "same"
    ? sameImage()
    : from === "fresh"
    ? freshImages(random, world, options.signal)
    : await folderImages(from);
  if (repeatRatio === 0) return next;

  const remembered: ReadImage[] = [];
  return function repeatSometimes() {
    const repeated = remembered[Math.floor(random() * remembered.length)];
    if (repeated !== undefined && random() < repeatRatio) return repeated;
    const image = next();
    remembered.push(image);
    if (remembered.length > rememberedImages) remembered.shift();
    return image;
  };
}

function sameImage(): ImageSource {
  const image = irisImage(1);
  return () => () => Promise.resolve(image);
}

/**
 * Drawn one at a time, and the event loop turns in between: a large fleet asks for more than a core
 * can draw, and its calls, its spool and its time-outs would wait until all were done.
 */
function freshImages(
  random: () => number,
  world: ImageWorld,
  signal: AbortSignal | undefined,
): ImageSource {
  let last: Promise<unknown> = Promise.resolve();
  return function nextSeed() {
    const seed = Math.floor(random() * 2 ** 32);
    return function drawInTurn() {
      const turn = last.then(() => pause(0, { world }));
      last = turn;
      return turn.then(() => {
        signal?.throwIfAborted();
        return irisImage(seed);
      });
    };
  };
}

/** The folder's files in the order of their names, round and round. */
async function folderImages(folder: string): Promise<ImageSource> {
  let paths: string[];
  try {
    const entries = await Array.fromAsync(Deno.readDir(folder));
    paths = entries.filter((entry) => entry.isFile).map((entry) => join(folder, entry.name)).sort();
  } catch (error) {
    throw new StartError(
      `Cannot read images from ${folder}: ${
        reasonOf(error)
      }. Give 'same', 'fresh' or a folder of images with --images.`,
    );
  }
  if (paths.length === 0) {
    throw new StartError(
      `There is no file in ${folder}. Give 'same', 'fresh' or a folder of images with --images.`,
    );
  }
  let index = 0;
  return function nextFile() {
    const path = paths[index++ % paths.length]!;
    return () => readImageFile(path);
  };
}

async function readImageFile(path: string): Promise<Uint8Array> {
  const { size } = await Deno.stat(path);
  if (size > maxFileBytes) {
    throw new Error(`${path} has ${size} bytes, an image may have at most ${maxFileBytes}`);
  }
  return await Deno.readFile(path);
}
