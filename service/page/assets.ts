/**
 * Serves a program's built page: from `dist/pages/<program>.json` (`deno task pages` makes it), or
 * from the copy that a bundled program carries in itself.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { brotliDecompressSync, gzipSync } from "node:zlib";
import { type Context, Hono } from "hono";
import { matchesEtag } from "../etag.ts";
import { acceptedEncodings } from "../http_encoding.ts";
import { ProblemError, problemResponse } from "../problem.ts";
import { askConsole, consoleUrl, programsPath } from "../program_list.ts";
import { type PageFile, pageFileUrl } from "./page_file.ts";
import type { SharedData } from "./shared_data.ts";
import { standaloneHtml } from "./standalone.ts";

/** Options of {@linkcode pageRoutes}. */
export interface PageRoutesOptions {
  /** Paths that answer with the page's HTML, as `/traces/{traceId}`; the page itself knows what to show there. */
  routes: readonly string[];
  /** Path in front of the page's assets, without a slash at the end. @default "" */
  base?: string;
  /** The path under which a proxy has the program, such as `/orrery`. @default "" */
  basePath?: string | undefined;
}

/** What keeps text of strangers harmless, should it ever become markup: nothing inline, nothing from elsewhere. */
const securityHeaders = {
  "content-security-policy":
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
} as const;

/**
 * The page, what runs beside it (`/api/programs`), and its assets as routes: compressed, cached for good where the name carries a hash, with
 * a strict Content-Security-Policy.
 *
 * @example
 * ```ts
 * app.route("/", pageRoutes("console", { routes: ["/", "/traces/{traceId}"] }));
 * ```
 */
export function pageRoutes(program: string, options: PageRoutesOptions): Hono {
  const { routes, base = "", basePath = "" } = options;
  const app = new Hono();
  let page: ServedPage | undefined;

  /** Read at the first request; a page that was not built is read again at the next. */
  function load(): ServedPage {
    return page ??= servedPage(readPageSync(program), base, basePath);
  }

  for (const route of routes) {
    app.get(route.replace(/\{(\w+)\}/g, ":$1"), (c) => {
      try {
        return answerHtml(c, load());
      } catch (error) {
        return notBuilt(c, program, error);
      }
    });
  }
  app.get(programsPath, async (c) => c.json(await askConsole(consoleUrl())));
  app.get(`${base}/assets/:name`, (c) => {
    let assets: ServedPage["assets"];
    try {
      assets = load().assets;
    } catch (error) {
      return notBuilt(c, program, error);
    }
    const asset = assets.get(`assets/${c.req.param("name")}`);
    return asset === undefined
      ? problemResponse(404, {
        title: "Not found",
        detail: "This page has no such file: it was built again. Reload the page.",
      }, { "cache-control": "no-store" })
      : answerAsset(c, asset);
  });
  return app;
}

/**
 * A page as one file that shows what is in it.
 *
 * @throws {ProblemError} 503: the page is not built
 */
export function standalonePage(program: string, data: SharedData, title: string): string {
  try {
    return standaloneHtml(readPageSync(program), data, title);
  } catch (error) {
    throw new ProblemError(503, {
      title: "Page not built",
      detail: notBuiltDetail(program, error),
    });
  }
}

interface ServedAsset {
  readonly type: string;
  readonly brotli: Uint8Array<ArrayBuffer>;
  /** Made at the first browser that does not take brotli. */
  gzip?: Uint8Array<ArrayBuffer>;
  identity?: Uint8Array<ArrayBuffer>;
}

interface ServedPage {
  readonly html: string;
  readonly etag: string;
  readonly assets: Map<string, ServedAsset>;
}

function readPageSync(program: string): PageFile {
  const embedded = globalThis.ORRERY_PAGES?.[program];
  return embedded ?? JSON.parse(Deno.readTextFileSync(pageFileUrl(program)));
}

function servedPage(file: PageFile, base: string, basePath: string): ServedPage {
  const prefix = basePath + base;
  const html =
    (prefix === "" ? file.html : file.html.replaceAll('="/assets/', `="${prefix}/assets/`))
      .replace(
        /(?=<link rel="icon")/,
        basePath === "" ? "" : `<meta name="orrery-base" content="${basePath}">\n`,
      );
  return {
    html,
    etag: `"${createHash("sha256").update(html).digest("base64url").slice(0, 22)}"`,
    assets: new Map(
      Object.entries(file.assets).map((
        [path, { type, brotli }],
      ) => [path, { type, brotli: Uint8Array.fromBase64(brotli) }]),
    ),
  };
}

function answerHtml(c: Context, { html, etag }: ServedPage): Response {
  const headers = { ...securityHeaders, etag, "cache-control": "no-cache" };
  if (matchesEtag(c.req.header("if-none-match"), etag)) {
    return new Response(null, { status: 304, headers });
  }
  return new Response(html, {
    headers: { ...headers, "content-type": "text/html; charset=utf-8" },
  });
}

function answerAsset(c: Context, asset: ServedAsset): Response {
  const headers = new Headers({
    ...securityHeaders,
    "content-type": asset.type,
    "cache-control": "public, max-age=31536000, immutable",
    vary: "accept-encoding",
  });
  const accepted = acceptedEncodings(c.req.header("accept-encoding"));
  if (accepted.has("br")) {
    headers.set("content-encoding", "br");
    return new Response(asset.brotli, { headers });
  }
  asset.identity ??= new Uint8Array(brotliDecompressSync(asset.brotli));
  if (accepted.has("gzip")) {
    headers.set("content-encoding", "gzip");
    asset.gzip ??= new Uint8Array(gzipSync(asset.identity));
    return new Response(asset.gzip, { headers });
  }
  return new Response(asset.identity, { headers });
}

function notBuiltDetail(program: string, error: unknown): string {
  return error instanceof Deno.errors.NotFound
    ? `The page of ${program} is not built yet. Run: deno task pages`
    : error instanceof Deno.errors.NotCapable
    ? `The page of ${program} may not be read. Start the program with --allow-read=dist/pages, or with its task.`
    : `The page of ${program} cannot be read (${
      error instanceof Error ? error.message : String(error)
    }). Run: deno task pages`;
}

function notBuilt(c: Context, program: string, error: unknown): Response {
  const detail = notBuiltDetail(program, error);
  const headers = { ...securityHeaders, "cache-control": "no-store" };
  if (!c.req.header("accept")?.includes("text/html")) {
    return problemResponse(503, { title: "Page not built", detail }, headers);
  }
  return new Response(`${detail}\n\nThe program itself works: only its page is missing.\n`, {
    status: 503,
    headers: { ...headers, "content-type": "text/plain; charset=utf-8" },
  });
}
