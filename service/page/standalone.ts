/**
 * A page as one HTML file that opens anywhere, without a server: its answers are in it.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { brotliDecompressSync } from "node:zlib";
import type { PageFile } from "./page_file.ts";
import type { SharedData } from "./shared_data.ts";

/**
 * Puts a built page and the answers it will ask for into one file. Nothing in it is loaded from
 * elsewhere, and its policy lets nothing run but the page's own scripts.
 *
 * @example
 * ```ts
 * const html = standaloneHtml(page, { path: "/traces/4bf9", answers: { "/api/traces/4bf9": answer } });
 * ```
 */
export function standaloneHtml(page: PageFile, data: SharedData, title: string): string {
  const part = (name: string) => {
    const path = Object.keys(page.assets).find((path) => path.startsWith(`assets/${name}-`));
    if (path === undefined) throw new Error(`The page has no ${name}`);
    return brotliDecompressSync(Uint8Array.fromBase64(page.assets[path]!.brotli)).toString();
  };
  // What ends a script's element ends it wherever it stands in it.
  const script = (code: string) => code.replace(/<\/(?=script)/gi, "<\\/");
  const theme = script(part("theme"));
  const main = script(part("main"));
  const style = part("style").replace(/<\/(?=style)/gi, "<\\/");
  const json = JSON.stringify(data).replaceAll("<", "\\u003c");
  const policy = `default-src 'none'; script-src ${hash(theme)} ${hash(main)}; ` +
    `style-src ${hash(style)}; img-src data:; base-uri 'none'; form-action 'none'`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="content-security-policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title.replace(/[<>&]/g, " ")}</title>
<style>${style}</style>
<script>${theme}</script>
<body>
<div id="page"></div>
<noscript>This page needs JavaScript.</noscript>
<script type="application/json" id="orrery-shared">${json}</script>
<script type="module">${main}</script>
`;
}

function hash(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}
