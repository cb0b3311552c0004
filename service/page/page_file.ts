/**
 * A built page as it lies in `dist/pages/<program>.json`: one file, so that it is read at once,
 * replaced at once, and put in front of a bundled program as it is.
 *
 * @module
 */

/** A file of a page. */
export interface PageAsset {
  /** Its media type. */
  type: string;
  /** Its content, brotli, base64. */
  brotli: string;
}

/** A built page. */
export interface PageFile {
  /** What it was made of: SHA-256 by path, so that an unchanged page is not built again. */
  inputs: Record<string, string>;
  /** The HTML of every one of the page's routes. */
  html: string;
  /** Files by path below the page's base; a name carries the hash of its content. */
  assets: Record<string, PageAsset>;
}

declare global {
  /** Pages of a bundled program, set by the lines that `pageEmbedding()` makes. */
  var ORRERY_PAGES: Record<string, PageFile> | undefined;
}

/** Where a program's page lies once it is built. */
export function pageFileUrl(program: string): URL {
  return new URL(`../../dist/pages/${program}.json`, import.meta.url);
}
