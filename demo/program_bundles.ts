/**
 * The demo's programs, bundled together before they start: what several of them import is read,
 * compiled and kept in Deno's cache once, and what none of them uses is left out.
 *
 * Of one program on one core: 0.11 s of processor time to its command line in place of 0.38 (the
 * console), 29 MB in place of 42 once Deno has the compiled code in its cache. All of them are
 * bundled in 1.3 s of processor time, and only when a source has changed.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { join, relative } from "node:path";
import { embedWasm } from "../service/embedded_wasm.ts";
import { exists, filesBelow } from "../service/found_files.ts";
import { pageEmbedding, pagesOf } from "../service/page/built_pages.ts";

/** A program to bundle: part of one of the table of `programs.ts`. */
export interface BundledProgram {
  /** Its entry file, from the root: `console/server.ts`. */
  entry: string;
  /** The folder whose pages it serves: `console`. */
  page?: string | undefined;
}

/** Options of {@linkcode bundlePrograms}. */
export interface BundleProgramsOptions {
  /** The project's folder. */
  root: string;
  /**
   * Where the bundles go, each state of the sources in a folder of its own.
   *
   * @default `dist/demo` below the root
   */
  folder?: string;
  /** Aborting it ends the bundling. */
  signal?: AbortSignal;
}

/** The bundles, by the entry file of each program. */
export type Bundles = ReadonlyMap<string, string>;

/** As many states of the sources are kept as two demos at once can need, one begun before a change. */
const KEPT_STATES = 2;

/**
 * Bundles programs together unless their sources are as they were.
 *
 * @throws {Error} they do not bundle; the message is what `deno bundle` says.
 *
 * @example
 * ```ts
 * const bundles = await bundlePrograms([{ entry: "console/server.ts", page: "console" }], { root });
 * bundles.get("console/server.ts"); // "/…/dist/demo/4f1c…/console/server.js"
 * ```
 */
export async function bundlePrograms(
  programs: readonly BundledProgram[],
  { root, folder = join(root, "dist", "demo"), signal }: BundleProgramsOptions,
): Promise<Bundles> {
  const entries = programs.map(({ entry }) => entry).sort();
  const sources = await sourcesOf(entries, root);
  const target = join(folder, stateOf(entries, sources));
  const path = (base: string, entry: string) => join(base, entry.replace(/\.ts$/, ".js"));
  if (!await exists(target)) {
    await Deno.mkdir(folder, { recursive: true });
    const aside = await Deno.makeTempDir({ dir: folder, prefix: "." });
    try {
      // A worker starts from its own file: without one that holds nothing else it would load all.
      const workers = sources.filter(({ startsItself }) => startsItself);
      const files = [...entries, ...workers.map(({ path }) => path)];
      await bundle(files, { root, target: aside, signal });
      await complete(aside);
      for (const { entry, page } of programs) {
        if (page !== undefined) await embedPages(path(aside, entry), page);
      }
      await Deno.rename(aside, target);
    } catch (error) {
      await Deno.remove(aside, { recursive: true }).catch(() => {});
      // Another demo has made the same meanwhile.
      if (!await exists(target)) throw error;
    }
    await removeOld(folder, target);
  }
  return new Map(entries.map((entry) => [entry, path(target, entry)]));
}

/**
 * Not minified: Deno 2.9.6's `--minify` puts what a `using` names into the one place that uses it, and
 * what should end with the block never ends (a lock of the keys' folder was held for ever). It saves
 * nothing either: 0.13 s to the console's command line, with and without.
 */
async function bundle(
  files: readonly string[],
  { root, target, signal }: { root: string; target: string; signal: AbortSignal | undefined },
): Promise<void> {
  const { code, stderr } = await new Deno.Command("deno", {
    args: [
      ...["bundle", "--quiet", "--platform", "deno", "--code-splitting"],
      ...["--outdir", target, ...files],
    ],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    ...(signal && { signal }),
  }).output();
  if (code !== 0) throw new Error(`deno bundle: ${new TextDecoder().decode(stderr).trim()}`);
}

/**
 * What code lacks where it lies now. CommonJS modules in a bundle ask for Node's by `require`: `deno
 * bundle` defines it for a bundle of one file, but not where it splits the code, and esbuild's
 * stand-in throws. The Kafka client reads its WebAssembly from beside itself.
 */
async function complete(folder: string): Promise<void> {
  const defined =
    'import{createRequire as createRequire_}from"node:module";const require=createRequire_(import.meta.url);\n';
  for await (const path of filesBelow(folder)) {
    const code = await Deno.readTextFile(path);
    const whole = (code.includes("Dynamic require of ") ? defined : "") + await embedWasm(code);
    if (whole !== code) await Deno.writeTextFile(path, whole);
  }
}

/** A bundle lies elsewhere than its source, so it does not find `dist/pages`. */
async function embedPages(path: string, page: string): Promise<void> {
  const code = await Deno.readTextFile(path);
  const pages = await pageEmbedding(await pagesOf(page));
  await Deno.writeTextFile(path, pages + code.replace(/^#!.*\n/, ""));
}

/** A file that a bundle can be made of. */
interface Source {
  /** From the root. */
  path: string;
  sha256: string;
  /** Whether it is a worker's file, too. */
  startsItself: boolean;
}

/**
 * What the programs can import, sorted: the arrows of ARCHITECTURE.md allow nothing but their own
 * folders and `service/`. The pages are built of further files: what came of them is what counts.
 */
async function sourcesOf(entries: readonly string[], root: string): Promise<Source[]> {
  const rooms = new Set([...entries.map((entry) => entry.split("/", 1)[0]!), "service"]);
  const paths = [join(root, "deno.json"), join(root, "deno.lock")];
  for (const folder of [...rooms, join("dist", "pages")]) {
    // Pages that are not built are said where they are embedded.
    if (!await exists(join(root, folder))) continue;
    for await (const path of filesBelow(join(root, folder), (name) => name.startsWith("."))) {
      if (/\.(ts|tsx|json)$/.test(path) && !/_test\.tsx?$/.test(path)) paths.push(path);
    }
  }
  const sources: Source[] = [];
  // One after the other: all of them at once would stay in the demo's memory for as long as it runs.
  for (const path of paths.sort()) {
    const bytes = await Deno.readFile(path);
    sources.push({
      path: relative(root, path).replaceAll("\\", "/"),
      sha256: createHash("sha256").update(bytes).digest("hex"),
      startsItself: Buffer.from(bytes.buffer).includes("new Worker(import.meta.url"),
    });
  }
  return sources;
}

/** Names a state of the sources. */
function stateOf(entries: readonly string[], sources: readonly Source[]): string {
  const state = JSON.stringify([Deno.version.deno, entries, sources]);
  return createHash("sha256").update(state).digest("hex").slice(0, 16);
}

async function removeOld(folder: string, target: string): Promise<void> {
  const states: { path: string; madeMs: number }[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (name.startsWith(".") || path === target) continue;
    states.push({ path, madeMs: (await Deno.stat(path)).mtime?.getTime() ?? 0 });
  }
  states.sort((one, other) => other.madeMs - one.madeMs);
  for (const { path } of states.slice(KEPT_STATES - 1)) {
    await Deno.remove(path, { recursive: true });
  }
}
