/**
 * Conditional requests (RFC 9110, section 13.1.2).
 *
 * @module
 */

/**
 * Whether `If-None-Match` names this entity tag: a list, weak or not, or `*` for whatever there is.
 *
 * @example
 * ```ts
 * matchesEtag('W/"a", "b"', '"a"'); // true
 * ```
 */
export function matchesEtag(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch.trim() === "*") return true;
  // Not by commas: a tag may have one in it (section 8.8.3).
  const tags = ifNoneMatch.match(/(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g) ?? [];
  return tags.some((tag) => tag.replace(/^W\//, "") === etag.replace(/^W\//, ""));
}
