/**
 * What a PNG is made of, read without inflating anything (ISO/IEC 15948): so that whoever inflates
 * its pixels knows beforehand how long they may become. A "decompression bomb" then costs what an
 * honest image of its size would.
 *
 * @module
 */
import { ImageError } from "./image_header.ts";

/** How a PNG's pixels are kept, as its header says. */
export interface PngPixels {
  /** Bits of a sample. */
  readonly depth: number;
  /** PNG's colour type; 3 is a palette's index. */
  readonly colourType: number;
  /** Rows come in the seven passes of Adam7. */
  readonly isInterlaced: boolean;
  /** Bytes of all rows before compression. */
  readonly uncompressedBytes: number;
}

/** Samples a pixel, by colour type (section 11.2.2): grey, RGB, a palette's index, grey and alpha, RGB and alpha. */
const channelsOf: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/**
 * Reads how the pixels are kept of a PNG whose header was checked.
 *
 * @throws {ImageError} `broken`: it has pixels of an unknown kind.
 */
export function readPngPixels(image: Uint8Array, width: number, height: number): PngPixels {
  const [depth = 0, colourType = 0] = image.subarray(24, 26);
  const isInterlaced = image[28] === 1;
  const channels = channelsOf[colourType];
  if (channels === undefined || ![1, 2, 4, 8, 16].includes(depth)) {
    throw new ImageError(
      "broken",
      `The PNG's colour type ${colourType} of ${depth} bits is unknown.`,
    );
  }
  const uncompressedBytes = uncompressedPngBytes(width, height, channels * depth, isInterlaced);
  return { depth, colourType, isInterlaced, uncompressedBytes };
}

/**
 * The contents of its critical chunks: the palette, and the pixels, which are one compressed stream
 * in pieces (section 10.1).
 *
 * @throws {ImageError} `broken`: it is cut off.
 */
export function readPngChunks(
  image: Uint8Array,
): { palette: Uint8Array | undefined; data: Uint8Array } {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  let palette: Uint8Array | undefined;
  const data: Uint8Array[] = [];
  for (let at = 33; at + 12 <= image.length;) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...image.subarray(at + 4, at + 8));
    const end = at + 8 + length;
    if (end + 4 > image.length) break;
    if (type === "IEND") return { palette, data: joined(data) };
    if (type === "PLTE") palette = image.subarray(at + 8, end);
    if (type === "IDAT") data.push(image.subarray(at + 8, end));
    at = end + 4;
  }
  throw new ImageError("broken", "The PNG ends before its end (IEND).");
}

/**
 * What is wrong with pixels that do not have the length that the header calls for.
 *
 * @param bytes what was inflated; `undefined` where that was stopped as it became too much
 */
export function wrongPngLength(bytes: number | undefined, expectedBytes: number): ImageError {
  return new ImageError(
    "broken",
    bytes === undefined
      ? `The PNG's data inflate to more than the ${expectedBytes} bytes that its size asks for.`
      : `The PNG's data inflate to ${bytes} bytes, its size asks for ${expectedBytes}.`,
  );
}

/** The bytes one after the other; a single piece is not copied. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0]!;
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** First column and row of each pass of Adam7, and the steps between (section 8.1). */
const adam7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

/** Each row has a filter's byte before it, in each pass (section 7.2). */
function uncompressedPngBytes(
  width: number,
  height: number,
  bitsPerPixel: number,
  isInterlaced: boolean,
): number {
  const passBytes = (columns: number, rows: number) =>
    columns === 0 || rows === 0 ? 0 : rows * (1 + Math.ceil(columns * bitsPerPixel / 8));
  if (!isInterlaced) return passBytes(width, height);
  return adam7.reduce((sum, [x, y, stepX, stepY]) => {
    const columns = Math.max(0, Math.ceil((width - x) / stepX));
    const rows = Math.max(0, Math.ceil((height - y) / stepY));
    return sum + passBytes(columns, rows);
  }, 0);
}
