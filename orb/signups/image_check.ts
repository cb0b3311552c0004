/**
 * Looks at what a PNG holds before it is taken for an image, where nobody decodes it: what is behind
 * its header is inflated with a limit.
 *
 * @module
 */
import { inflate } from "node:zlib";
import { readPngChunks, readPngPixels, wrongPngLength } from "../uniqueness/png.ts";
import { type CheckedImage, ImageRefusedError } from "./uniqueness.ts";

/** Whether there is anything that {@linkcode checkImageData} would look at. */
export function hasImageData({ mediaType }: CheckedImage): boolean {
  return mediaType === "image/png";
}

/**
 * Inflates what a PNG holds, up to what its header calls for. Other images have nothing to inflate.
 *
 * @throws {ImageRefusedError} it holds more or less than that, or is broken.
 */
export async function checkImageData(image: CheckedImage): Promise<void> {
  if (!hasImageData(image)) return;
  const { bytes, width, height } = image;
  const { uncompressedBytes: expectedBytes } = readPngPixels(bytes, width, height);
  const inflatedBytes = await inflatedLength(readPngChunks(bytes).data, expectedBytes);
  if (inflatedBytes !== expectedBytes) throw wrongPngLength(inflatedBytes, expectedBytes);
}

/** @returns `undefined` where it is more than `maxBytes`: then no more of it is made */
function inflatedLength(compressed: Uint8Array, maxBytes: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    inflate(compressed, { maxOutputLength: maxBytes }, (error, result) => {
      if (error === null) return resolve(result.length);
      const { code } = error as { code?: string };
      if (code === "ERR_BUFFER_TOO_LARGE") return resolve(undefined);
      reject(new ImageRefusedError(`it is a PNG whose data is broken: ${error.message}`));
    });
  });
}
