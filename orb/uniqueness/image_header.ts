/**
 * What an image says of itself, read without decoding it: its kind and size. Whoever wants to send
 * an image that would need gigabytes is refused here, before anything is allocated for it.
 *
 * @module
 */
import { type CheckedImage, ImageRefusedError } from "../signups/uniqueness.ts";

/** The most that is decoded. An orb's image has 628 by 628 pixels. */
export interface ImageLimits {
  /** The longest side, in pixels. @default 4096 */
  maxSide: number;
  /** The most pixels. @default 8_388_608 (2^23) */
  maxPixels: number;
}

/** What is decoded unless an option says otherwise. */
export const imageLimits: ImageLimits = { maxSide: 4_096, maxPixels: 2 ** 23 };

/** What an image says of itself. */
export interface ImageHeader {
  /** How it is encoded. */
  readonly format: "png" | "jpeg";
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
}

/**
 * Why an image is refused: its format is none that is decoded (`format`), it has more pixels than
 * are allowed (`size`), its data do not fit to what it says of itself (`broken`), it took too long
 * (`time`), or there is no iris in it (`iris`).
 */
export type ImageErrorKind = "format" | "size" | "broken" | "time" | "iris";

/** An image that cannot be used; its message says why, to its sender. */
export class ImageError extends ImageRefusedError {
  override name = "ImageError";
  readonly kind: ImageErrorKind;

  constructor(kind: ImageErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

const pngSignature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/**
 * Reads an image's header.
 *
 * @throws {ImageError} it is neither PNG nor JPEG, is broken, or has more pixels than are allowed.
 *
 * @example
 * ```ts
 * readImageHeader(await Deno.readFile("iris.png")); // { format: "png", width: 628, height: 628 }
 * ```
 */
export function readImageHeader(image: Uint8Array, limits: ImageLimits = imageLimits): ImageHeader {
  const header = isPng(image) ? pngHeader(image) : isJpeg(image) ? jpegHeader(image) : undefined;
  if (header === undefined) {
    throw new ImageError("format", "The image is neither PNG nor JPEG.");
  }
  const { width, height } = header;
  if (width === 0 || height === 0) {
    throw new ImageError("broken", `The image has ${width} × ${height} pixels.`);
  }
  if (width > limits.maxSide || height > limits.maxSide || width * height > limits.maxPixels) {
    throw new ImageError(
      "size",
      `The image has ${width} × ${height} pixels; at most ${limits.maxSide} a side and ${limits.maxPixels} together are taken.`,
    );
  }
  return header;
}

/**
 * Looks at what was handed in: what it is by its first bytes, and whether it asks for too much. It
 * costs microseconds, so it can be asked before anything is stored.
 *
 * @throws {ImageError} it begins as a PNG or a JPEG does, but is broken or has too many pixels.
 *
 * @example
 * ```ts
 * checkImage(png); // { bytes: png, mediaType: "image/png", width: 628, height: 628 }
 * checkImage(Uint8Array.of(1, 2, 3)).mediaType; // "application/octet-stream"
 * ```
 */
export function checkImage(bytes: Uint8Array, limits: ImageLimits = imageLimits): CheckedImage {
  if (!isPng(bytes) && !isJpeg(bytes)) {
    return { bytes, mediaType: "application/octet-stream", width: 0, height: 0 };
  }
  const { format, width, height } = readImageHeader(bytes, limits);
  return { bytes, mediaType: `image/${format}`, width, height };
}

/** True where the bytes begin as a PNG does. */
export function isPng(image: Uint8Array): boolean {
  return pngSignature.every((byte, index) => image[index] === byte);
}

/** True where the bytes begin as a JPEG does. */
export function isJpeg(image: Uint8Array): boolean {
  return image[0] === 0xff && image[1] === 0xd8 && image[2] === 0xff;
}

/** PNG, section 11.2.1: IHDR comes first, 13 bytes. */
function pngHeader(image: Uint8Array): ImageHeader {
  const view = viewOf(image);
  if (image.length < 33 || view.getUint32(8) !== 13 || view.getUint32(12) !== 0x49484452) {
    throw new ImageError("broken", "The PNG does not begin with its header (IHDR).");
  }
  return { format: "png", width: view.getUint32(16), height: view.getUint32(20) };
}

/** ITU-T T.81, B.2.2: the frame header, after any number of other segments. */
function jpegHeader(image: Uint8Array): ImageHeader {
  const view = viewOf(image);
  for (let at = 2; at + 9 < image.length;) {
    if (image[at] !== 0xff) break;
    const marker = image[at + 1]!;
    // Fill bytes before a marker.
    if (marker === 0xff) {
      at++;
      continue;
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) {
      return { format: "jpeg", height: view.getUint16(at + 5), width: view.getUint16(at + 7) };
    }
    at += 2 + view.getUint16(at + 2);
  }
  throw new ImageError("broken", "The JPEG has no frame header.");
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
