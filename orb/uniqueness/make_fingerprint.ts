/**
 * How a fingerprint is made of an image, which is decoded for that.
 *
 * @module
 */
import { decodeImage } from "./decode_image.ts";
import { formOf, lengthOf, type NearMode } from "./fingerprint.ts";
import { type ImageLimits, imageLimits } from "./image_header.ts";
import { encodeIrisCode, irisCodeOf } from "./iris_code.ts";
import { perceptualHash } from "./perceptual_hash.ts";

/**
 * Makes an image's fingerprint.
 *
 * @throws {ImageError} the image cannot be used; why is in its message.
 */
export function fingerprintOf(
  image: Uint8Array,
  mode: NearMode,
  limits: ImageLimits = imageLimits,
): Uint8Array {
  const grey = decodeImage(image, limits);
  const bytes = new Uint8Array(lengthOf[mode]);
  bytes[0] = formOf[mode];
  if (mode === "iris") {
    bytes.set(encodeIrisCode(irisCodeOf(grey)), 1);
  } else {
    const view = new DataView(bytes.buffer);
    perceptualHash(grey).forEach((half, index) => view.setUint32(1 + 4 * index, half));
  }
  return bytes;
}
