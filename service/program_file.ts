/**
 * An entry file as others start it: its shebang is the one true list of the permissions it needs.
 *
 * @module
 */

/**
 * The arguments for `deno` that run a program: those of its shebang, the file, and `args`.
 *
 * @param bundle a file made of it, which is run in its place
 * @throws {Error} the file's first line is not `#!/usr/bin/env -S deno run …`
 *
 * @example
 * ```ts
 * const args = await programArguments("orb/server.ts", ["--orb-api-port", "0"]);
 * const child = new Deno.Command(Deno.execPath(), { args }).spawn();
 * ```
 */
export async function programArguments(
  path: string,
  args: readonly string[] = [],
  bundle: string = path,
): Promise<string[]> {
  const [firstLine = ""] = (await Deno.readTextFile(path)).split("\n", 1);
  return [...shebangArguments(firstLine, path), bundle, ...args];
}

/** `run --allow-net …` of `#!/usr/bin/env -S deno run --allow-net …`. */
export function shebangArguments(firstLine: string, path: string): string[] {
  const match = /^#!\/usr\/bin\/env -S deno (run( --?\S+)*)\s*$/.exec(firstLine);
  if (!match) {
    throw new Error(
      `Cannot start ${path}: its first line must be a shebang such as '#!/usr/bin/env -S deno run --allow-net', but is '${firstLine}'`,
    );
  }
  // Without a terminal a permission prompt could not be answered.
  return [...match[1]!.split(" "), "--no-prompt"];
}
