/**
 * Where a program keeps what must survive it: the folder the operating system has for that.
 *
 * @module
 */
import { join } from "node:path";
import { StartError } from "./life_cycle.ts";

/** The OS data folder of Orrery: XDG data home on Linux, Application Support on macOS, LOCALAPPDATA on Windows. */
export function defaultDataFolder(
  program: string,
  os: typeof Deno.build.os = Deno.build.os,
  environment: (name: string) => string | undefined = (name) => Deno.env.get(name),
): string {
  const home = environment("HOME") ?? environment("USERPROFILE");
  const base = os === "windows"
    ? environment("LOCALAPPDATA")
    : os === "darwin"
    ? home && join(home, "Library", "Application Support")
    : environment("XDG_DATA_HOME") || (home && join(home, ".local", "share"));
  if (!base) {
    throw new StartError(
      "Cannot tell where to keep data: neither HOME nor a data folder variable is set. Give a folder with --data-dir.",
    );
  }
  return join(base, "orrery", program);
}

/**
 * Makes the folder if need be (for its owner only) and proves that it can be written to.
 *
 * @throws {StartError} it cannot be made or written, with the reason and the flag to change.
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
      }. Mend the folder's permissions or free space, or give another one with --data-dir.`,
    );
  }
}
