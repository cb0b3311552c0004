/**
 * Decodes what orbs send, PNG by `fast-png` and JPEG by `jpeg-js`, to grey levels, and bounded: an
 * image may use as much memory as its own header says, and that is limited first.
 *
 * `fast-png` inflates whatever a chunk holds, of pixels and of colour profiles: 10 MB may become
 * 10 GB. So a PNG is given to it with its critical chunks only, its pixels inflated beforehand by
 * `node:zlib`, which stops at the length that the header promises, and packed again without
 * compression.
 *
 * @module
 */
import { deflateSync, inflateSync } from "node:zlib";
import { convertIndexedToRgb, decode as decodePng, type DecodedPng } from "fast-png";
import jpeg from "jpeg-js";
import { reasonOf } from "../../service/resilience.ts";
import type { GreyImage } from "./grey_image.ts";
import { ImageError, type ImageLimits, imageLimits, readImageHeader } from "./image_header.ts";
import { joined, type PngPixels, readPngChunks, readPngPixels, wrongPngLength } from "./png.ts";

/** JPEG's decoder keeps 4 bytes a sample of each component before it makes pixels of them. */
const maxJpegMegabytes = 512;

/**
 * Decodes an image to grey levels.
 *
 * @throws {ImageError} it is neither PNG nor JPEG, has too many pixels, or is broken.
 *
 * @example
 * ```ts
 * const { width, height, levels } = decodeImage(await Deno.readFile("iris.png"));
 * ```
 */
export function decodeImage(image: Uint8Array, limits: ImageLimits = imageLimits): GreyImage {
  const { format, width, height } = readImageHeader(image, limits);
  try {
    return format === "png" ? greyOfPng(image, width, height) : greyOfJpeg(image, limits);
  } catch (error) {
    if (error instanceof ImageError) throw error;
    throw new ImageError(
      "broken",
      `The ${format.toUpperCase()} cannot be decoded: ${reasonOf(error)}.`,
      { cause: error },
    );
  }
}

function greyOfJpeg(image: Uint8Array, limits: ImageLimits): GreyImage {
  const { width, height, data } = jpeg.decode(image, {
    useTArray: true,
    formatAsRGBA: false,
    tolerantDecoding: false,
    maxResolutionInMP: limits.maxPixels / 1e6,
    maxMemoryUsageInMB: maxJpegMegabytes,
  });
  // A second frame header may say something else than the first, which was looked at.
  if (width > limits.maxSide || height > limits.maxSide) {
    throw new ImageError("size", `The JPEG has ${width} × ${height} pixels after all.`);
  }
  return { width, height, levels: greyOf(data, 3, 255) };
}

function greyOfPng(image: Uint8Array, width: number, height: number): GreyImage {
  const { bytes, depth, colourType } = boundedPng(image, width, height);
  const decoded = decodePng(bytes);
  if (colourType === 3) {
    const rgb = convertIndexedToRgb(decoded);
    return { width, height, levels: greyOf(rgb, rgb.length / (width * height), 255) };
  }
  const data = depth < 8 ? unpacked(decoded, width, height) : decoded.data;
  return { width, height, levels: greyOf(data, decoded.channels, 2 ** depth - 1) };
}

/** Rec. 601's weights; a last channel that is alpha counts for nothing. */
function greyOf(data: ArrayLike<number>, channels: number, max: number): Uint8Array {
  const count = data.length / channels;
  const levels = new Uint8Array(count);
  const scale = 255 / max;
  for (let pixel = 0, at = 0; pixel < count; pixel++, at += channels) {
    const grey = channels < 3
      ? data[at]!
      : .299 * data[at]! + .587 * data[at + 1]! + .114 * data[at + 2]!;
    levels[pixel] = Math.round(grey * scale);
  }
  return levels;
}

/** Grey levels of 1, 2 or 4 bits: each row begins with a byte of its own. */
function unpacked({ data, depth }: DecodedPng, width: number, height: number): Uint8Array {
  const levels = new Uint8Array(width * height);
  const rowBytes = Math.ceil(width * depth / 8);
  const mask = 2 ** depth - 1;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const bit = x * depth;
      levels[at] = (data[y * rowBytes + (bit >> 3)]! >> (8 - depth - (bit & 7))) & mask;
    }
  }
  return levels;
}

/** The same PNG: critical chunks only, and pixels that are no longer than they must be. */
function boundedPng(
  image: Uint8Array,
  width: number,
  height: number,
): { bytes: Uint8Array } & PngPixels {
  const pixels = readPngPixels(image, width, height);
  if (pixels.isInterlaced && pixels.depth < 8) {
    throw new ImageError("format", "Interlaced PNGs of less than 8 bits a sample are not taken.");
  }
  const { palette, data } = readPngChunks(image);
  const raw = inflated(data, pixels.uncompressedBytes);
  const chunks = [image.subarray(0, 33)];
  if (palette) chunks.push(pngChunk("PLTE", palette));
  // The library inflates it again, which of stored blocks costs no more than a copy.
  chunks.push(pngChunk("IDAT", deflateSync(raw, { level: 0 })), pngChunk("IEND", new Uint8Array()));
  return { bytes: joined(chunks), ...pixels };
}

function inflated(data: Uint8Array, expectedBytes: number): Uint8Array {
  let raw: Uint8Array;
  try {
    raw = inflateSync(data, { maxOutputLength: expectedBytes });
  } catch (error) {
    if ((error as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE") {
      throw wrongPngLength(undefined, expectedBytes);
    }
    throw error;
  }
  if (raw.length === expectedBytes) return raw;
  throw wrongPngLength(raw.length, expectedBytes);
}

/** Without check sum: the library does not ask for it, as the data were not checked before either. */
function pngChunk(type: string, data: Uint8Array): Uint8Array {
  const chunk = new Uint8Array(12 + data.length);
  new DataView(chunk.buffer).setUint32(0, data.length);
  for (let index = 0; index < 4; index++) chunk[4 + index] = type.charCodeAt(index);
  chunk.set(data, 8);
  return chunk;
}
