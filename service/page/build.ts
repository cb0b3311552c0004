#!/usr/bin/env -S deno run --allow-read=. --allow-write=dist/pages --allow-run --allow-env
/**
 * Builds the programs' pages: `<program>/page/main.tsx` and `main.css` with npm `esbuild` into
 * `dist/pages/<program>.json`, where `pageRoutes()` of `assets.ts` finds them. A further page of a
 * program lies in `<program>/<name>_page/` and is called `<program>-<name>`; a page's `worker.ts` is
 * built beside it, and its address stands in the HTML (`workerUrl()` of `worker_url.ts`), as does that
 * of the worker which holds the connection that a browser's tabs share (`stream_worker.ts`). A page none
 * of whose sources has changed is left as it is, which takes some milliseconds.
 *
 * esbuild is a native program of its own: it is started (`--allow-run`) and inherits the
 * environment (`--allow-env`).
 *
 * Exports {@linkcode buildPage} and {@linkcode findPages}; can also be used as a CLI from the project's root:
 *
 * ```sh
 * deno task pages            # every page
 * deno task pages console    # one
 * ```
 *
 * @module
 */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";
import { commandLine } from "../command_line.ts";
import { exists } from "../found_files.ts";
import { runCommand, StartError } from "../life_cycle.ts";
import { folderOf, pagesOf, readPage } from "./built_pages.ts";
import { type PageAsset, type PageFile, pageFileUrl } from "./page_file.ts";

const root = new URL("../..", import.meta.url);

/** What came of {@linkcode buildPage}. */
export interface BuildResult {
  /** False if the page was up to date. */
  readonly built: boolean;
  /** Bytes that a browser loads at first: HTML, and assets in brotli. */
  readonly compressedBytes: number;
}

/** Names of all pages, sorted. */
export async function findPages(): Promise<string[]> {
  const pages: string[] = [];
  for await (const entry of Deno.readDir(root)) {
    if (!entry.isDirectory || entry.name.startsWith(".") || entry.name === "node_modules") continue;
    pages.push(...await pagesOf(entry.name));
  }
  return pages.sort();
}

/**
 * Builds a program's page unless it is up to date.
 *
 * @throws {StartError} its sources do not compile (the message has the places), or there are none.
 *
 * @example
 * ```ts
 * await buildPage("console"); // writes dist/pages/console.json
 * ```
 */
export async function buildPage(program: string): Promise<BuildResult> {
  const before = await readPage(program);
  if (before !== undefined && await isUpToDate(before)) {
    return { built: false, compressedBytes: compressedBytes(before) };
  }
  const page = await bundlePage(program);
  const target = pageFileUrl(program);
  await Deno.mkdir(new URL(".", target), { recursive: true });
  // Written aside and renamed: a program that starts meanwhile reads the old page or the new one.
  const aside = new URL(`./.${program}-${crypto.randomUUID()}`, target);
  await Deno.writeTextFile(aside, JSON.stringify(page));
  await Deno.rename(aside, target);
  return { built: true, compressedBytes: compressedBytes(page) };
}

function compressedBytes(page: PageFile): number {
  return Object.values(page.assets).reduce(
    (sum, asset) => sum + Math.floor(asset.brotli.length * 3 / 4),
    page.html.length,
  );
}

async function isUpToDate(page: PageFile): Promise<boolean> {
  for (const [path, hash] of Object.entries(page.inputs)) {
    if (await hashOf(path) !== hash) return false;
  }
  return true;
}

async function hashOf(path: string): Promise<string | undefined> {
  try {
    return sha256(await Deno.readFile(new URL(path, root)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function sha256(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

async function bundlePage(program: string): Promise<PageFile> {
  const folder = folderOf(program);
  if (!await exists(new URL(`${folder}/main.tsx`, root))) {
    throw new StartError(`There is no page of ${program}: ${folder}/main.tsx does not exist.`);
  }
  const worker = `${folder}/worker.ts`;
  // Loaded only now: an up-to-date page costs nothing of it.
  const esbuild = await import("esbuild");
  try {
    const result = await esbuild.build({
      absWorkingDir: fileURLToPath(root),
      entryPoints: {
        theme: "service/page/theme_early.ts",
        main: `${folder}/main.tsx`,
        style: `${folder}/main.css`,
        ...(await exists(new URL(worker, root)) && { worker }),
        streams: "service/page/stream_worker.ts",
        icon: "service/page/icon.svg",
      },
      outdir: "assets",
      entryNames: "[name]-[hash]",
      bundle: true,
      format: "esm",
      target: ["es2023"],
      minify: true,
      charset: "utf8",
      legalComments: "none",
      jsx: "automatic",
      jsxImportSource: "preact",
      loader: { ".svg": "copy" },
      tsconfigRaw: {},
      write: false,
      metafile: true,
      logLevel: "silent",
    });
    const assets: Record<string, PageAsset> = {};
    for (const file of result.outputFiles) {
      assets[`assets/${basename(file.path)}`] = {
        type: mediaType(file.path),
        brotli: brotliCompressSync(file.contents, {
          params: { [constants.BROTLI_PARAM_SIZE_HINT]: file.contents.length },
        }).toString("base64"),
      };
    }
    return {
      inputs: await hashInputs(Object.keys(result.metafile.inputs)),
      html: htmlOf(program, Object.keys(assets)),
      assets,
    };
  } catch (error) {
    throw new StartError(`Cannot build the page of ${program}: ${messageOf(error)}`);
  } finally {
    await esbuild.stop();
  }
}

/** The project's own sources one by one; libraries by the lock file, which knows their content. */
async function hashInputs(paths: string[]): Promise<Record<string, string>> {
  const own = paths.filter((path) => !path.includes("node_modules/"));
  const inputs: Record<string, string> = {};
  for (const path of [...own, "deno.lock", "service/page/build.ts"].sort()) {
    const hash = await hashOf(path);
    if (hash !== undefined) inputs[path] = hash;
  }
  return inputs;
}

function htmlOf(program: string, paths: string[]): string {
  const path = (name: string) => `/${paths.find((path) => path.startsWith(`assets/${name}-`))}`;
  const name = program.slice(program.indexOf("-") + 1);
  const title = `${name[0]!.toUpperCase()}${name.slice(1)} · Orrery`;
  const worker = paths.some((path) => path.startsWith("assets/worker-"))
    ? `<meta name="orrery-worker" content="${path("worker")}">\n`
    : "";
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
${worker}<meta name="orrery-streams" content="${path("streams")}">
<link rel="icon" href="${path("icon")}" type="image/svg+xml">
<link rel="stylesheet" href="${path("style")}">
<script src="${path("theme")}"></script>
<script type="module" src="${path("main")}"></script>
<body>
<div id="page"></div>
<noscript>This page needs JavaScript. The same data is at /api/ as JSON.</noscript>
`;
}

function mediaType(path: string): string {
  if (path.endsWith(".js")) return "text/javascript; charset=utf-8";
  if (path.endsWith(".css")) return "text/css; charset=utf-8";
  if (path.endsWith(".svg")) return "image/svg+xml";
  throw new Error(`No media type is known for ${path}`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function main(): Promise<void> {
  const command = commandLine({
    name: "pages",
    summary: "Builds the programs' web pages into dist/pages, those whose sources have changed.",
    examples: [
      ["deno task pages", "every page"],
      ["deno task pages console", "the console's"],
    ],
  }).argument(
    "[programs...]",
    "folders that have a page/main.tsx (all of them when none is given)",
  );
  command.action(async (programs) => {
    for (const program of programs.length > 0 ? programs : await findPages()) {
      const start = performance.now();
      const { built, compressedBytes } = await buildPage(program);
      if (!built) continue;
      const ms = Math.round(performance.now() - start);
      const kB = (compressedBytes / 1e3).toFixed(1);
      await Deno.stderr.write(
        new TextEncoder().encode(`Built the page of ${program} in ${ms} ms: ${kB} kB compressed\n`),
      );
    }
  });
  await runCommand(command);
}

if (import.meta.main) await main();
