/**
 * The observer's HTTP: `/metrics`, `POST /observe`, the page's JSON and its live stream. Every
 * answer but that of `POST /observe` is made from what is known and waits for no runtime.
 *
 * @module
 */
import { Hono, type MiddlewareHandler } from "hono";
import { isLoopback } from "../service/http_server.ts";
import { ProblemError } from "../service/problem.ts";
import { type ImagesAnswer, imageView, type ObserveAnswer, type StoresAnswer } from "./api.ts";
import { contentTypes, expositionText, negotiate } from "./metrics/exposition.ts";
import type { StoreImage } from "./stores/image_store.ts";
import type { Observatory } from "./stores/observatory.ts";

/** Options of {@linkcode httpApi}. */
export interface HttpApiOptions {
  observatory: Observatory;
  /** The address listened on; it is a good host name too. */
  host: string;
  /** Takes any host name: the operator has said that strangers may come. @default false */
  anyHost?: boolean;
  /** Live streams at once; one more is answered 503. @default 64 */
  maxStreams?: number;
  /** Ends the live streams. */
  stopping: AbortSignal;
}

const maxImagesAnswered = 50_000;
/** A live page counts a silence of 15 s as a broken stream. */
const heartbeatMs = 5_000;
/** Changes closer together than this are told as one. */
const liveDelayMs = 50;

/** Makes the routes. */
export function httpApi(options: HttpApiOptions): Hono {
  const { observatory, maxStreams = 64, stopping } = options;
  const app = new Hono();
  let streams = 0;

  app.get("/metrics", (c) => {
    const format = negotiate(c.req.header("accept"));
    return c.body(expositionText(observatory.metrics.families(), format), 200, {
      "content-type": contentTypes[format],
      vary: "accept",
    });
  });

  app.use(siteGuard(options));

  app.post("/observe", async (c) => {
    const observations = await observatory.trigger("http");
    if (observations.length === 0) {
      throw new ProblemError(409, {
        title: "Nothing to observe",
        detail:
          "No image store is known. Name one with --endpoint, or start a runtime that --runtime auto finds.",
      });
    }
    return c.json<ObserveAnswer>({ observations });
  });

  app.get("/api/stores", (c) => c.json<StoresAnswer>(observatory.view()));

  app.get("/api/images", (c) => {
    const id = c.req.query("store") ?? "";
    const state = observatory.states().find(({ endpoint }) =>
      `${endpoint.kind}=${endpoint.address}` === id
    );
    if (!state) {
      throw new ProblemError(404, {
        title: "No such store",
        detail: `There is no store '${id.slice(0, 200)}'. GET /api/stores names them.`,
      });
    }
    const { inventory } = state;
    if (!inventory) return c.json<ImagesAnswer>({ total: 0, images: [] });
    const text = (c.req.query("q") ?? "").toLowerCase();
    const fitting = text === ""
      ? inventory.images
      : inventory.images.filter(({ id, tags, digests }) =>
        [id, ...tags, ...digests].some((name) => name.toLowerCase().includes(text))
      );
    const sorted = sortImages(fitting, c.req.query("sort") ?? "name");
    const offset = wholeNumber(c.req.query("offset"), "offset", 0);
    const limit = Math.min(wholeNumber(c.req.query("limit"), "limit", 200), maxImagesAnswered);
    return c.json<ImagesAnswer>({
      atMs: inventory.atMs,
      total: fitting.length,
      images: sorted.slice(offset, offset + limit)
        .map((image) => imageView(image, inventory.firstSeenMs.get(image.id)!)),
    });
  });

  app.get("/api/live", () => {
    if (streams >= maxStreams) {
      throw new ProblemError(503, {
        title: "Too many live pages",
        detail: `${maxStreams} live streams are open already. Close a page, or try again later.`,
      }, { "retry-after": "5" });
    }
    streams++;
    return liveStream(observatory, stopping, () => streams--);
  });

  return app;
}

function liveStream(
  observatory: Observatory,
  stopping: AbortSignal,
  onEnd: () => void,
): Response {
  const encoder = new TextEncoder();
  let end = () => {};
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      let eventId = 0;
      let timer: ReturnType<typeof setTimeout> | undefined;
      function send(): void {
        clearTimeout(timer);
        timer = setTimeout(send, heartbeatMs);
        pending = false;
        // A reader that does not keep up gets the newest state later, not all that were.
        if ((controller.desiredSize ?? 0) <= 0) return;
        const data = JSON.stringify(observatory.view());
        controller.enqueue(encoder.encode(`id: ${++eventId}\nevent: stores\ndata: ${data}\n\n`));
      }
      let pending = false;
      const unsubscribe = observatory.subscribe(() => {
        if (pending) return;
        pending = true;
        clearTimeout(timer);
        timer = setTimeout(send, liveDelayMs);
      });
      let ended = false;
      end = () => {
        if (ended) return;
        ended = true;
        clearTimeout(timer);
        unsubscribe();
        stopping.removeEventListener("abort", close);
        onEnd();
      };
      function close(): void {
        end();
        controller.close();
      }
      stopping.addEventListener("abort", close, { once: true });
      send();
    },
    cancel: () => end(),
  }, { highWaterMark: 4 });
  return new Response(body, {
    headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store" },
  });
}

/**
 * Keeps other web sites away from a port that asks nobody for a password: refuses with 403 a
 * request for a host name that is not this machine's (a name made to point to loopback, "DNS
 * rebinding"), and one that another origin's page makes.
 */
function siteGuard({ host, anyHost = false }: HttpApiOptions): MiddlewareHandler {
  return async function guardSite(c, next) {
    const url = new URL(c.req.url);
    if (!anyHost && !isLoopback(url.hostname) && url.hostname !== host) {
      throw new ProblemError(403, {
        title: "Foreign host name",
        detail: `The observer answers to 127.0.0.1 and localhost, not to ${url.hostname}.`,
      });
    }
    const origin = c.req.header("origin");
    const site = c.req.header("sec-fetch-site");
    const crossSite = site === "cross-site" || site === "same-site";
    if (crossSite && c.req.method === "GET" && c.req.header("sec-fetch-mode") === "navigate") {
      // A link to the page from elsewhere: nothing is asked for and nothing can be read.
      return await next();
    }
    if (crossSite || (origin !== undefined && !isOwn(origin, c.req.header("host")))) {
      throw new ProblemError(403, {
        title: "Foreign origin",
        detail: "Pages of other origins may not use the observer.",
      });
    }
    await next();
  };
}

function isOwn(origin: string, host: string | undefined): boolean {
  try {
    return new URL(origin).host === host;
  } catch {
    return false;
  }
}

/** By name, or the largest or youngest first; those of which that is not known at the end. */
function sortImages(images: readonly StoreImage[], by: string): readonly StoreImage[] {
  const name = ({ tags, id }: StoreImage) => tags[0] ?? `\uffff${id}`;
  const keys: Record<string, (image: StoreImage) => number> = {
    name: () => 0,
    size: ({ sizeBytes }) => -(sizeBytes ?? -1),
    age: ({ importedAtMs }) => -(importedAtMs ?? -1),
  };
  const key = Object.hasOwn(keys, by) ? keys[by]! : undefined;
  if (!key) {
    throw new ProblemError(400, {
      title: "No such order",
      detail: `'sort' is one of ${Object.keys(keys).join(", ")}.`,
    });
  }
  // The code units' order: a locale's would take a second for 20,000 names.
  return images.toSorted((a, b) =>
    key(a) - key(b) || (name(a) < name(b) ? -1 : name(a) > name(b) ? 1 : 0)
  );
}

function wholeNumber(text: string | undefined, name: string, fallback: number): number {
  if (text === undefined) return fallback;
  if (!/^\d{1,9}$/.test(text)) {
    throw new ProblemError(400, {
      title: "Not a whole number",
      detail: `'${name}' must be a whole number of at least 0.`,
    });
  }
  return Number(text);
}
