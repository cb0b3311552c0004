/**
 * For tests and tools that look at the project's own code: its files, and what each imports of it.
 *
 * @module
 */
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { filesBelow } from "../found_files.ts";

/** A file of ours. */
export interface SourceFile {
  /** From the root, with `/`. */
  readonly path: string;
  /** The files of ours that it names, by paths from the root. */
  readonly imports: readonly string[];
  /** It can be run: `import.meta.main`. */
  readonly isEntry: boolean;
}

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Not ours, or made by a generator. */
const skipped = new Set(["node_modules", "dist", "cov", ".git", ".cache", "gen"]);

/** `from "./x"`, `import "./x"`, `import("./x")`, and a worker's `new URL("./x.ts", import.meta.url)`. */
const naming = /(from |import |import\(|new Worker\(\s*new URL\()"(\.{1,2}\/[^"]+)"/g;

let found: Promise<SourceFile[]> | undefined;

/**
 * Every source file, read once.
 *
 * @example
 * ```ts
 * const entries = (await sourceFiles()).filter(({ isEntry }) => isEntry);
 * ```
 */
export function sourceFiles(): Promise<SourceFile[]> {
  return found ??= Array.fromAsync(sourcePaths(), async (path) => {
    const text = withoutComments(await Deno.readTextFile(path));
    return {
      path: fromRoot(path),
      imports: [...text.matchAll(naming)].map(([, , named]) => fromRoot(join(path, "..", named!))),
      isEntry: text.includes("import.meta.main"),
    };
  });
}

async function* sourcePaths(): AsyncIterable<string> {
  for await (const path of filesBelow(root, (name) => skipped.has(name))) {
    if (/\.tsx?$/.test(path)) yield path;
  }
}

function fromRoot(path: string): string {
  return relative(root, path).replaceAll("\\", "/");
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*\*?[^]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "");
}
