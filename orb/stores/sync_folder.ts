/**
 * Makes the names in a folder durable: those of files that were made, renamed or removed. Windows has
 * no such call, and does it itself.
 *
 * @example
 * ```ts
 * await Deno.rename("half-written", "images/whole");
 * await syncFolder("images");
 * ```
 *
 * @module
 */
export async function syncFolder(path: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  using folder = await Deno.open(path);
  await folder.sync();
}
