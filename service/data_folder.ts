/**
 * Where a program keeps what must survive it: the folder the operating system has for that.
 *
 * @module
 */
import { join } from "node:path";
import { StartError } from "./life_cycle.ts";

/** Options of {@linkcode defaultDataFolder}. */
export interface DataFolderOptions {
  /** Whose rules hold. @default this machine's operating system */
  os?: typeof Deno.build.os;
  /** Reads an environment variable. @default this process's environment */
  environment?: (name: string) => string | undefined;
}

/**
 * The folder for a program's data: in the XDG data home on Linux, Application Support on macOS,
 * LOCALAPPDATA on Windows.
 *
 * @throws {StartError} the environment names neither that folder nor a home
 *
 * @example
 * ```ts
 * const folder = options.dataDir ?? defaultDataFolder("orb-server");
 * await openDataFolder(folder);
 * ```
 */
export function defaultDataFolder(
  program: string,
  { os = Deno.build.os, environment = (name) => Deno.env.get(name) }: DataFolderOptions = {},
): string {
  const home = environment("HOME") ?? environment("USERPROFILE");
  const base = os === "windows"
    ? environment("LOCALAPPDATA")
    : os === "darwin"
    ? home && join(home, "Library", "Application Support")
    : environment("XDG_DATA_HOME") || (home && join(home, ".local", "share"));
  if (!base) {
    throw new StartError(
      "Cannot find a folder for data: neither HOME nor a data folder variable is set. Give a folder with --data-dir.",
    );
  }
  return join(base, "orrery", program);
}

/**
 * Makes the folder if need be (for its owner only) and proves that it can be written to.
 *
 * @throws {StartError} it cannot be made or written, with the reason and the flag to change.
 *
 * @example
 * ```ts
 * await openDataFolder("/var/lib/orrery/orb-server");
 * ```
 */
export async function openDataFolder(path: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true, mode: 0o700 });
    const probe = await Deno.makeTempFile({ dir: path, prefix: ".write-probe-" });
    await Deno.remove(probe);
  } catch (error) {
    throw new StartError(
      `Cannot keep data in ${path}: ${
        error instanceof Error ? error.message : String(error)
      }. Correct its permissions or free some space, or give another folder with --data-dir.`,
    );
  }
}

/**
 * Keeps other processes from what this one has: it holds a lock of the operating system, which goes
 * with the process, on a file of that name. Whoever is second is told so, and does not begin.
 *
 * @param path the lock's file, made if need be
 * @param flag what names another place
 * @returns the lock; closing it lets go
 * @throws {StartError} another process has it, or the file cannot be made
 *
 * @example
 * ```ts
 * using lock = await lockForThisProcess("/var/lib/orrery/issuer/.lock", "--data-dir");
 * ```
 */
export async function lockForThisProcess(path: string, flag: string): Promise<Deno.FsFile> {
  const place = path.replace(/[/\\]?\.lock$/, "");
  let lock: Deno.FsFile;
  try {
    lock = await Deno.open(path, { create: true, write: true, mode: 0o600 });
  } catch (error) {
    throw new StartError(
      `Cannot keep data in ${place}: ${
        error instanceof Error ? error.message : String(error)
      }. Correct its permissions, or give another place with ${flag}.`,
    );
  }
  if (await lock.tryLock(true)) return lock;
  lock.close();
  throw new StartError(
    `Cannot keep data in ${place}: another process has it. Stop that one, or give each its own with ${flag}.`,
  );
}
