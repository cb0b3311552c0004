/**
 * The observer's HTTP: `/metrics`, `POST /observe`, the page's JSON and its live stream. Every
 * answer but that of `POST /observe` is made from what is known and waits for no runtime.
 *
 * @module
 */
import type { Context, Hono } from "hono";
import { EventStreamHub } from "../service/event_stream.ts";
import { serveStreamMux } from "../service/event_stream_mux.ts";
import { httpApp } from "../service/http_app.ts";
import { encodedText } from "../service/http_encoding.ts";
import type { ServiceContext } from "../service/life_cycle.ts";
import { ProblemError } from "../service/problem.ts";
import {
  imageName,
  type ImagesAnswer,
  imageView,
  type ObserveAnswer,
  type StoresAnswer,
} from "./api.ts";
import { contentTypes, expositionText, negotiate } from "./metrics/exposition.ts";
import type { StoreImage } from "./stores/image_store.ts";
import type { Observatory } from "./stores/observatory.ts";

/** Options of {@linkcode httpApi}. */
export interface HttpApiOptions {
  observatory: Observatory;
  /** The address listened on; it is a good host name too. */
  host: string;
  /** Names the observer is known by, beside loopback's. @default none */
  allowedHosts?: readonly string[] | undefined;
  /** Origins whose pages may call. @default none */
  allowedOrigins?: readonly string[] | undefined;
  /** Live streams at once; one more is answered 503. @default 64 */
  maxStreams?: number;
}

/** What the routes take from the program's context. */
export type HttpApiContext = Pick<
  ServiceContext,
  "health" | "log" | "stopping" | "telemetry" | "world"
>;

const maxImagesAnswered = 50_000;
/** A live page says so when nothing has come for 5 s; a heartbeat may be late by as much again. */
const heartbeatMs = 2_000;
/** Changes closer together than this are sent as one. */
const liveDelayMs = 50;

/** Makes the routes. */
export function httpApi(options: HttpApiOptions, context: HttpApiContext): Hono {
  const { observatory, host, allowedHosts, allowedOrigins } = options;
  const app = httpApp({
    name: "observer",
    host,
    allowedHosts,
    allowedOrigins,
    untraced: ["/api/live"],
  }, context);
  const live = liveStream(options, context);
  serveStreamMux(app, { paths: ["/api/live"], ...context });

  app.get("/metrics", (c) => {
    const format = negotiate(c.req.header("accept"));
    const text = expositionText(observatory.metrics.families(), format);
    return encodedText(c.req.raw, text, { "content-type": contentTypes[format] }, ["accept"]);
  });

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

  app.get("/api/images", (c) => c.json(imagesAnswer(observatory, c)));
  app.get("/api/live", () => live());
  return app;
}

/** The state of all stores, at once and at every change; a reader that does not keep up gets the newest. */
function liveStream(
  { observatory, maxStreams = 64 }: HttpApiOptions,
  { stopping, world }: HttpApiContext,
): () => Response {
  let eventId = 0;
  const state = () => ({ id: String(++eventId), name: "stores", data: observatory.view() });
  const hub = new EventStreamHub<undefined>({
    maxClients: maxStreams,
    heartbeatMs,
    heartbeatEvent: state,
    stopping,
    world,
  });
  let pending = false;
  observatory.subscribe(() => {
    if (pending || hub.size === 0) return;
    pending = true;
    world.setTimeout(() => {
      pending = false;
      hub.broadcast(state(), { latest: true });
    }, liveDelayMs);
  });
  return () =>
    hub.open({
      state: undefined,
      greet: (client) => void client.send(state(), { latest: true }),
    });
}

/** `GET /api/images?store=&q=&sort=&offset=&limit=`. */
function imagesAnswer(observatory: Observatory, c: Context): ImagesAnswer {
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
  if (!inventory) return { total: 0, images: [] };
  const text = (c.req.query("q") ?? "").toLowerCase();
  const fitting = text === ""
    ? inventory.images
    : inventory.images.filter(({ id, tags, digests }) =>
      [id, ...tags, ...digests].some((name) => name.toLowerCase().includes(text))
    );
  const sorted = sortImages(fitting, c.req.query("sort") ?? "name");
  const offset = wholeNumber(c.req.query("offset"), "offset", 0);
  const limit = Math.min(wholeNumber(c.req.query("limit"), "limit", 200), maxImagesAnswered);
  return {
    atMs: inventory.atMs,
    total: fitting.length,
    images: sorted.slice(offset, offset + limit)
      .map((image) => imageView(image, inventory.firstSeenMs.get(image.id)!)),
  };
}

/** By name, or the largest or youngest first; those of which that is not known at the end. */
function sortImages(images: readonly StoreImage[], by: string): readonly StoreImage[] {
  const name = (image: StoreImage) => image.tags[0] ?? `\uffff${imageName(image)}`;
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
