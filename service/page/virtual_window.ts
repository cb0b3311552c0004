/**
 * Which rows of a long list are worth being in the document: the arithmetic behind
 * `VirtualList`.
 *
 * @module
 */

/** What is known of the list and of its scroll. */
export interface VirtualWindowOptions {
  /** Rows in the whole list. */
  count: number;
  /** Height of every row, in pixels. */
  rowHeight: number;
  /** How far the list is scrolled, in pixels. */
  scrollTop: number;
  /** Height of the visible part, in pixels. */
  viewHeight: number;
  /** Rows kept beyond either edge, so that a quick scroll shows no gap. @default 8 */
  overscan?: number;
}

/** The rows to render: `start` up to and without `end`. */
export interface VirtualWindow {
  /** Index of the first row. */
  readonly start: number;
  /** Index after the last row. */
  readonly end: number;
  /** Where the first row lies, in pixels. */
  readonly offset: number;
  /** Height of the whole list, in pixels. */
  readonly height: number;
}

/**
 * The rows that are visible, and a few beyond.
 *
 * @example
 * ```ts
 * virtualWindow({ count: 10_000, rowHeight: 40, scrollTop: 4_000, viewHeight: 400 });
 * // { start: 92, end: 118, offset: 3_680, height: 400_000 }
 * ```
 */
export function virtualWindow(options: VirtualWindowOptions): VirtualWindow {
  const { count, rowHeight, scrollTop, viewHeight, overscan = 8 } = options;
  const height = count * rowHeight;
  // A browser reports scrolls beyond either end while it bounces, and a list may have shrunk.
  const top = Math.min(Math.max(0, scrollTop), Math.max(0, height - viewHeight));
  const first = Math.floor(top / rowHeight);
  const start = Math.max(0, Math.min(count, first - overscan));
  const end = Math.min(count, Math.ceil((top + viewHeight) / rowHeight) + overscan);
  return { start, end: Math.max(start, end), offset: start * rowHeight, height };
}

/** The scroll that brings a row into view with the least movement; the same scroll if it is in view. */
export function scrollToRow(
  index: number,
  { rowHeight, scrollTop, viewHeight }: Omit<VirtualWindowOptions, "count" | "overscan">,
): number {
  const top = index * rowHeight;
  if (top < scrollTop) return top;
  if (top + rowHeight > scrollTop + viewHeight) return top + rowHeight - viewHeight;
  return scrollTop;
}
