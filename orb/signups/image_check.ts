/**
 * Looks at what a PNG holds before it is taken for an image, where nobody decodes it: what is behind
 * its header is inflated with a limit, so that a "decompression bomb" costs what an honest image of
 * its size would (ISO/IEC 15948).
 *
 * @module
 */
import { uncompressedPngBytes } from "../png_size.ts";
import { Buffer } from "node:buffer";
import { inflate } from "node:zlib";
import { type CheckedImage, ImageRefusedError } from "./uniqueness.ts";

/**
 * Inflates what a PNG holds, up to what its header calls for. Other images have nothing to inflate.
 *
 * @throws {ImageRefusedError} it holds more than that, or is broken.
 */
export async function checkImageData(image: CheckedImage): Promise<void> {
  if (image.mediaType !== "image/png") return;
  const expectedBytes = pngDataBytes(image);
  const compressed = joined(pngData(image.bytes));
  // One byte more than it may have: then it is too much, and no more of it is made.
  const inflatedBytes = await inflatedLength(compressed, expectedBytes + 1);
  if (inflatedBytes > expectedBytes) {
    throw new ImageRefusedError("it holds more data than its size calls for");
  }
  if (inflatedBytes < expectedBytes) {
    throw new ImageRefusedError("it holds less data than its size calls for");
  }
}

/** Samples a pixel by colour type (section 11.2.2). */
const pngChannels: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** The bytes that its scan lines take, each with a byte for its filter (section 7.2). */
function pngDataBytes({ bytes, width, height }: CheckedImage): number {
  const [bitDepth = 0, colourType = 0] = bytes.subarray(24, 26);
  const isInterlaced = bytes[28] === 1;
  const channels = pngChannels[colourType];
  if (channels === undefined || ![1, 2, 4, 8, 16].includes(bitDepth)) {
    throw new ImageRefusedError("it is a PNG of an unknown kind of pixels");
  }
  return uncompressedPngBytes(width, height, channels * bitDepth, isInterlaced);
}

/** The contents of its IDAT chunks, which are one stream in pieces (section 10.1). */
function pngData(bytes: Uint8Array): Uint8Array[] {
  const view = viewOf(bytes);
  const pieces: Uint8Array[] = [];
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    if (at + 12 + length > bytes.length) throw new ImageRefusedError("it is a PNG that is cut off");
    const name = chunkName(bytes, at);
    if (name === "IDAT") pieces.push(bytes.subarray(at + 8, at + 8 + length));
    if (name === "IEND") return pieces;
    at += 12 + length;
  }
  throw new ImageRefusedError("it is a PNG without an end");
}

function chunkName(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at + 4, at + 8));
}

function inflatedLength(compressed: Uint8Array, maxBytes: number): Promise<number> {
  return new Promise((resolve, reject) => {
    inflate(compressed, { maxOutputLength: maxBytes }, (error, result) => {
      if (error === null) return resolve(result.length);
      const { code } = error as { code?: string };
      if (code === "ERR_BUFFER_TOO_LARGE") return resolve(maxBytes);
      reject(new ImageRefusedError(`it is a PNG whose data is broken: ${error.message}`));
    });
  });
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}
