/**
 * Looks at what a PNG holds before it is taken for an image, where nobody decodes it: what is behind
 * its header is inflated with a limit; most with their arrival, large ones by a worker in a thread.
 *
 * @module
 */
import { inflateSync } from "node:zlib";
import { ImageError } from "../uniqueness/image_header.ts";
import { readPngChunks, readPngPixels, wrongPngLength } from "../uniqueness/png.ts";
import type { ArrivalVerdict } from "../stores/record_commands.ts";
import { type CheckedImage, ImageRefusedError } from "./uniqueness.ts";

/**
 * A PNG whose pixels take more is left to a worker: one image must not keep the others waiting. An
 * orb's has 628 by 628 grey ones, which take 0.3 to 2 ms; a place in the queue takes two transactions more.
 */
const maxArrivalBytes = 524_288;
/** Bytes that are inflated at once. */
const [minPieceBytes, maxPieceBytes] = [64, 1024 ** 2];

/**
 * What becomes of an image that is not compared with others, where that is quickly said: then it needs
 * no place in the queue.
 *
 * @returns `undefined` for one that a worker is to examine
 */
export function arrivalVerdict(image: CheckedImage): ArrivalVerdict | undefined {
  if (!hasImageData(image)) return { state: "accepted" };
  try {
    const pixels = pixelsOf(image);
    if (pixels.expectedBytes > maxArrivalBytes) return undefined;
    checkLength(inflatedLength(pixels), pixels);
    return { state: "accepted" };
  } catch (error) {
    if (!(error instanceof ImageRefusedError)) throw error;
    return { state: "rejected", reason: error.message };
  }
}

/** Whether there is something to inflate. */
export function hasImageData({ mediaType }: CheckedImage): boolean {
  return mediaType === "image/png";
}

/**
 * Inflates what a PNG holds, up to what its header calls for. Other images have nothing to inflate.
 * A large one keeps its thread for a tenth of a second, as `node:zlib` knows no other under Deno.
 *
 * @throws {ImageError} `broken`: it holds more or less than that, or what is no compressed data.
 */
export function checkImageData(image: CheckedImage): void {
  if (!hasImageData(image)) return;
  const pixels = pixelsOf(image);
  checkLength(inflatedLength(pixels), pixels);
}

/** A PNG's pixels, compressed, and how long they are to become. */
interface Pixels {
  readonly compressed: Uint8Array;
  readonly expectedBytes: number;
}

function pixelsOf({ bytes, width, height }: CheckedImage): Pixels {
  const { uncompressedBytes: expectedBytes } = readPngPixels(bytes, width, height);
  return { compressed: readPngChunks(bytes).data, expectedBytes };
}

function checkLength(inflatedBytes: number | undefined, { expectedBytes }: Pixels): void {
  if (inflatedBytes !== expectedBytes) throw wrongPngLength(inflatedBytes, expectedBytes);
}

/** In one piece, where it is not large. One byte more, as a piece that is full asks for another one. */
function inflateOptions(expectedBytes: number) {
  const chunkSize = Math.max(minPieceBytes, Math.min(expectedBytes + 1, maxPieceBytes));
  return { maxOutputLength: expectedBytes, chunkSize };
}

/** @returns `undefined` where it is more than expected: then no more of it is made */
function inflatedLength({ compressed, expectedBytes }: Pixels): number | undefined {
  try {
    return inflateSync(compressed, inflateOptions(expectedBytes)).length;
  } catch (error) {
    return lengthOfFailed(error as Error);
  }
}

function lengthOfFailed(error: Error & { code?: string }): undefined {
  if (error.code === "ERR_BUFFER_TOO_LARGE") return undefined;
  throw new ImageError("broken", `it is a PNG whose data is broken: ${error.message}`);
}
