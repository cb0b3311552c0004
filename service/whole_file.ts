/**
 * Files that are there whole or not at all, also after the power has failed.
 *
 * @module
 */
import { dirname } from "node:path";
import { realWorld, type World } from "./world/world.ts";

/** Options of {@linkcode writeWholeFile}. */
export interface WriteWholeFileOptions {
  /** Its permissions. @default 0o600, its owner's only */
  mode?: number;
  /** Draws the name that it has until it is whole. @default the real world */
  world?: Pick<World, "randomUuid">;
}

/**
 * Writes a file under another name, and gives it its own once the disk has it; the one before is
 * replaced. When it resolves, the name is on the disk, too. What fails leaves nothing behind.
 *
 * @throws the reason of the file system; then the one before is as it was
 *
 * @example
 * ```ts
 * await writeWholeFile("keys/v0001.jwk.json", JSON.stringify(jwk));
 * ```
 */
export async function writeWholeFile(
  path: string,
  content: string,
  { mode = 0o600, world = realWorld }: WriteWholeFileOptions = {},
): Promise<void> {
  const unfinished = `${path}.${world.randomUuid().slice(0, 8)}.tmp`;
  try {
    await writeSynced(unfinished, new TextEncoder().encode(content), mode);
    await Deno.rename(unfinished, path);
  } catch (error) {
    // What is half written takes space; on a full disk that is what is missing.
    await Deno.remove(unfinished).catch(() => {});
    throw error;
  }
  await syncFolder(dirname(path));
}

/**
 * Makes the names in a folder durable: those of files that were made, renamed or removed. Windows has
 * no such call, and does it itself.
 */
export async function syncFolder(path: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  using folder = await Deno.open(path);
  await folder.sync();
}

async function writeSynced(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  using file = await Deno.open(path, { createNew: true, write: true, mode });
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
  await file.sync();
}
