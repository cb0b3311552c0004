/**
 * The built pages in `dist/pages`: which a program has, and how they get into a bundle of it.
 *
 * @module
 */
import { exists } from "../found_files.ts";
import { StartError } from "../life_cycle.ts";
import { type PageFile, pageFileUrl } from "./page_file.ts";

const root = new URL("../..", import.meta.url);

/**
 * Names of the pages that a program's folder has, sorted.
 *
 * @example
 * ```ts
 * await pagesOf("simulator"); // ["simulator", "simulator-simulation"]
 * ```
 */
export async function pagesOf(program: string): Promise<string[]> {
  const pages: string[] = [];
  for await (const { name } of Deno.readDir(new URL(`${program}/`, root))) {
    const [, more] = /^(?:(.+)_)?page$/.exec(name) ?? [undefined, undefined];
    const page = name === "page" ? program : more === undefined ? undefined : `${program}-${more}`;
    if (page !== undefined && await exists(new URL(`${folderOf(page)}/main.tsx`, root))) {
      pages.push(page);
    }
  }
  return pages.sort();
}

/** `console/page`, `simulator/simulation_page`. */
export function folderOf(page: string): string {
  const dash = page.indexOf("-");
  return dash < 0 ? `${page}/page` : `${page.slice(0, dash)}/${page.slice(dash + 1)}_page`;
}

/**
 * Lines of JavaScript that carry built pages: put in front of a bundled program, they serve it in
 * place of `dist/pages`.
 *
 * @throws {StartError} a page was not built.
 *
 * @example
 * ```ts
 * const bundled = await pageEmbedding(["console"]) + code;
 * ```
 */
export async function pageEmbedding(programs: readonly string[]): Promise<string> {
  const pages: Record<string, PageFile> = {};
  for (const program of programs) {
    const page = await readPage(program);
    if (page === undefined) {
      throw new StartError(`The page of ${program} is not built. Run: deno task pages`);
    }
    pages[program] = { ...page, inputs: {} };
  }
  return `globalThis.ORRERY_PAGES = ${JSON.stringify(pages)};\n`;
}

/** A page as it was built; undefined if it was not. */
export async function readPage(program: string): Promise<PageFile | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(pageFileUrl(program)));
  } catch (error) {
    // A file that was cut short is built again like one that is missing.
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
