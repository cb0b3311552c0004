/**
 * Where a page's worker is, as the build has written it into the page.
 *
 * @module
 */

/**
 * The address of the page's worker.
 *
 * @throws {Error} the page has no `worker.ts`
 *
 * @example
 * ```ts
 * const worker = new Worker(workerUrl(), { type: "module" });
 * ```
 */
export function workerUrl(): string {
  const meta = document.querySelector<HTMLMetaElement>('meta[name="orrery-worker"]');
  if (meta === null) throw new Error("This page was built without a worker.ts");
  return meta.content;
}
