/**
 * The path that a proxy puts in front of a program's page, as the server has written it into the
 * page (`--base-path`).
 *
 * @module
 */

let known: string | undefined;

/** The prefix, without a slash at its end; empty if there is none. */
export function basePath(): string {
  return known ??= globalThis.document
    ?.querySelector<HTMLMetaElement>('meta[name="orrery-base"]')?.content ?? "";
}

/**
 * A path of the program as the browser asks for it.
 *
 * @example
 * ```ts
 * await fetch(withBase("/api/stats")); // "/orrery/api/stats" behind such a proxy
 * ```
 */
export function withBase(path: string): string {
  return basePath() + path;
}

/** A path of the browser as the program knows it. */
export function withoutBase(path: string): string {
  const base = basePath();
  if (base === "" || !(path === base || path.startsWith(`${base}/`))) return path;
  return path.slice(base.length) || "/";
}
