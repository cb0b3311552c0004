/**
 * What is in the file system: whether something is there, and which files a folder holds.
 *
 * @module
 */
import { join } from "node:path";

/**
 * Whether a file or folder is there. Where a file stands in the place of a folder of its path, it is not.
 *
 * @example
 * ```ts
 * if (!await exists(target)) await build(target);
 * ```
 */
export async function exists(path: string | URL): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    const { NotFound, NotADirectory } = Deno.errors;
    if (error instanceof NotFound || error instanceof NotADirectory) return false;
    throw error;
  }
}

/**
 * The paths of all files below a folder, in no order.
 *
 * @param isSkipped leaves out files and whole folders, by their names
 * @throws {Deno.errors.NotFound} there is no such folder
 *
 * @example
 * ```ts
 * for await (const path of filesBelow("deploy", (name) => name.startsWith("."))) check(path);
 * ```
 */
export async function* filesBelow(
  folder: string,
  isSkipped: (name: string) => boolean = () => false,
): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isSkipped(name)) continue;
    const path = join(folder, name);
    if (isDirectory) yield* filesBelow(path, isSkipped);
    else yield path;
  }
}
