/**
 * Greyscale images as the uniqueness check works on them: one level a pixel, row by row.
 *
 * @module
 */

/** An image. */
export interface GreyImage {
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** Grey levels from 0 to 255, row by row. */
  readonly levels: Uint8Array | Float32Array;
}

/**
 * Makes an image smaller or larger: each pixel is the mean of the area that it covers.
 *
 * @example
 * ```ts
 * const small = resized(image, 32, 32);
 * ```
 */
export function resized(image: GreyImage, width: number, height: number): GreyImage {
  // First the rows, then the columns: the mean over a rectangle is the mean of means.
  const rows = shrunkRows(image.levels, image.width, image.height, width);
  const columns = shrunkRows(transposed(rows, width, image.height), image.height, width, height);
  return { width, height, levels: transposed(columns, height, width) };
}

function shrunkRows(
  levels: GreyImage["levels"],
  width: number,
  height: number,
  target: number,
): Float32Array {
  const result = new Float32Array(target * height);
  const scale = width / target;
  for (let x = 0; x < target; x++) {
    const from = x * scale;
    const to = Math.min(width, from + scale);
    const first = Math.floor(from);
    const last = Math.min(width - 1, Math.ceil(to) - 1);
    for (let y = 0; y < height; y++) {
      let sum = 0;
      for (let column = first; column <= last; column++) {
        const share = Math.min(to, column + 1) - Math.max(from, column);
        sum += levels[y * width + column]! * share;
      }
      result[y * target + x] = sum / (to - from);
    }
  }
  return result;
}

function transposed(levels: Float32Array, width: number, height: number): Float32Array {
  const result = new Float32Array(levels.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) result[x * height + y] = levels[y * width + x]!;
  }
  return result;
}

/** The level between pixels, by the four around it; outside of the image that of its border. */
export function levelAt({ width, height, levels }: GreyImage, x: number, y: number): number {
  const left = Math.min(Math.max(Math.floor(x), 0), width - 1);
  const top = Math.min(Math.max(Math.floor(y), 0), height - 1);
  const right = Math.min(left + 1, width - 1);
  const bottom = Math.min(top + 1, height - 1);
  const shareX = Math.min(Math.max(x - left, 0), 1);
  const shareY = Math.min(Math.max(y - top, 0), 1);
  const upper = levels[top * width + left]! * (1 - shareX) + levels[top * width + right]! * shareX;
  const lower = levels[bottom * width + left]! * (1 - shareX) +
    levels[bottom * width + right]! * shareX;
  return upper * (1 - shareY) + lower * shareY;
}
