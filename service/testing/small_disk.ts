/**
 * For tests: a disk so small that it can be filled.
 *
 * @module
 */
import assert from "node:assert/strict";
import { missingPermissions } from "./permissions.ts";

/** Why a small disk cannot be mounted here, if so. */
function whyNot(): string | undefined {
  const needed = ["net", "read", "write", "run", "env", "sys"] as const;
  const missing = missingPermissions(needed.map((name) => ({ name })));
  if (missing.length > 0) return missing.map((name) => `--allow-${name}`).join(" ");
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return "Linux and root, to mount a small disk";
  return undefined;
}

/** `Deno.test` for what mounts a disk; ignored, with the reason in its name, where that cannot be. */
export function testWithSmallDisk(name: string, fn: () => Promise<void>): void {
  const obstacle = whyNot();
  Deno.test({
    name: obstacle === undefined ? name : `${name} (ignored: needs ${obstacle})`,
    ignore: obstacle !== undefined,
    fn,
  });
}

/** Runs a command, which must succeed. */
export async function run(...command: [string, ...string[]]): Promise<void> {
  const [program, ...args] = command;
  const { success, stderr } = await new Deno.Command(program, { args }).output();
  assert.ok(success, `${command.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** Takes all the space that is left. */
export async function fillDisk(path: string): Promise<void> {
  using file = await Deno.open(path, { create: true, write: true });
  // The last bytes in small pieces: a write that does not fit at all takes nothing.
  for (let size = 65_536; size >= 1; size = Math.floor(size / 4)) {
    try {
      for (;;) await file.write(new Uint8Array(size));
    } catch (error) {
      assert.match(String(error), /space/);
    }
  }
}

/** Runs with a disk of this size, in the words of `mount` (`512k`), which is gone afterwards. */
export async function withSmallDisk(
  size: string,
  work: (disk: string) => Promise<void>,
): Promise<void> {
  const disk = await Deno.makeTempDir({ prefix: "small-disk-" });
  await run("mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", disk);
  try {
    await work(disk);
  } finally {
    await run("umount", disk);
    await Deno.remove(disk);
  }
}
