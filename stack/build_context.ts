/**
 * What an image's build is given: the project's files that `.dockerignore` lets through, as one hash,
 * so that images which are there are known to be of these files.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";

/** The hash of all files below `root` that a build gets, of their paths, and of what builds them. */
export async function contextHash(root: string): Promise<string> {
  const isIgnored = ignoring(await Deno.readTextFile(join(root, ".dockerignore")));
  const hash = createHash("sha256").update(Deno.version.deno);
  hash.update(await Deno.readTextFile(join(root, "Dockerfile")));
  for (const path of (await filesBelow(root, "", isIgnored)).sort()) {
    const content = await Deno.readFile(join(root, path));
    hash.update(`\0${path}\0${content.length}\0`).update(content);
  }
  return hash.digest("hex");
}

/**
 * Whether a path, from the root, is kept from the build by a `.dockerignore`. Of its language this
 * knows what ours is written in: paths from the root, and names at any depth with asterisks.
 *
 * @throws {RangeError} a line is written in another way
 */
export function ignoring(dockerignore: string): (path: string) => boolean {
  const lines = dockerignore.split("\n").map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  const paths = new Set<string>();
  const names: RegExp[] = [];
  for (const line of lines) {
    const [, name] = /^\*\*\/([\w.*-]+)$/.exec(line) ?? [];
    if (name !== undefined) {
      const source = name.replaceAll(".", "\\.").replaceAll("*", "[^/]*");
      names.push(new RegExp(`(^|/)${source}$`));
    } else if (/^[\w./-]+$/.test(line)) paths.add(line);
    else throw new RangeError(`.dockerignore has '${line}', which is not understood here`);
  }
  return (path) => paths.has(path) || names.some((name) => name.test(path));
}

async function filesBelow(
  root: string,
  folder: string,
  isIgnored: (path: string) => boolean,
): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(join(root, folder))) {
    const path = folder === "" ? name : `${folder}/${name}`;
    if (isIgnored(path)) continue;
    if (isDirectory) files.push(...await filesBelow(root, path, isIgnored));
    else files.push(path);
  }
  return files;
}
