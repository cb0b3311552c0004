/**
 * Small PNGs for tests and benchmarks: real ones, each with other bytes.
 *
 * @module
 */
import { crc32, deflateSync } from "node:zlib";

const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const encoder = new TextEncoder();

/** Of so many pixels that a worker examines it: smaller ones are decided with their arrival. */
export const examinedSize = { width: 1_025, height: 512 };

/** Options of {@linkcode smallPng}. */
export interface SmallPngOptions {
  /** A comment, in Latin letters: the bytes are others with each. @default none */
  comment?: string;
  /** Pixels in a row. @default 1 */
  width?: number;
  /** Rows. @default 1 */
  height?: number;
  /** Random pixels, which nothing makes smaller. @default black ones */
  isRandom?: boolean;
}

/**
 * A grey PNG.
 *
 * @example
 * ```ts
 * const image = smallPng({ comment: "image 7" });
 * ```
 */
export function smallPng(
  { comment, width = 1, height = 1, isRandom = false }: SmallPngOptions = {},
): Uint8Array<ArrayBuffer> {
  const rows = new Uint8Array(height * (width + 1));
  for (let row = 0; isRandom && row < height; row++) {
    crypto.getRandomValues(rows.subarray(row * (width + 1) + 1, (row + 1) * (width + 1)));
  }
  const size = new DataView(new ArrayBuffer(13));
  size.setUint32(0, width);
  size.setUint32(4, height);
  size.setUint8(8, 8);
  const parts = [
    signature,
    chunk("IHDR", new Uint8Array(size.buffer)),
    ...comment === undefined ? [] : [chunk("tEXt", encoder.encode(`Comment\0${comment}`))],
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", new Uint8Array()),
  ];
  const png = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    png.set(part, at);
    at += part.length;
  }
  return png;
}

/** A chunk with its length, type and CRC (ISO/IEC 15948, section 5.3). */
function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(encoder.encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}
