/**
 * How large a PNG's pixels are, from what its header says: known before anything is inflated.
 *
 * @module
 */

/** First column and row of each pass of Adam7, and the steps between (PNG, section 8.1). */
const adam7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

/** Bytes of the rows before compression: each has a filter's byte before it, in each pass (section 7.2). */
export function uncompressedPngBytes(
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
