/**
 * Several event streams of a server over one connection. A browser has six connections for a host
 * and port, and each page with a stream takes one for good: with this, all tabs of a browser share one
 * (`page/stream_worker.ts` is its other end).
 *
 * `GET /api/streams` is the connection; its first event, `mux`, says its id. `POST /api/streams/<id>`
 * opens streams in it and closes them: `{"open":[{"channel":1,"path":"/api/stream?…"}],"close":[2]}`.
 * Each stream is asked for within the server, with what the POST says of who asks, and passed on event
 * by event, with a first line `channel: 1`. One that ends or is refused has a last event `end` with its
 * status.
 *
 * @module
 */
import type { Context, Env, Hono } from "hono";
import { ProblemError } from "./problem.ts";
import { readText } from "./request_body.ts";
import { aborted, reasonOf } from "./resilience.ts";
import { realWorld, type TimerId, type World } from "./world/world.ts";

/** Where it is served. */
export const streamMuxPath = "/api/streams";

/** Options of {@linkcode serveStreamMux}. */
export interface StreamMuxOptions {
  /** The paths of the streams, without their query. */
  paths: readonly string[];
  /** Connections at once; one more is answered 503. @default 128 */
  maxConnections?: number;
  /** Streams of one connection; one more ends with the status 503. @default 64 */
  maxChannels?: number;
  /** A connection without streams is closed after so long, in milliseconds. @default 10_000 */
  emptyTimeoutMs?: number;
  /** Ends every connection. @default nothing does */
  stopping?: AbortSignal | undefined;
  /** Time and chance. @default the real world */
  world?: Pick<World, "randomBytes" | "setTimeout" | "clearTimeout">;
}

/** What a POST asks for. */
export interface MuxRequest {
  open?: { channel: number; path: string }[];
  close?: number[];
}

/** What says who asks, and so who may: it goes on to the stream. */
const passedOn = ["authorization", "cookie", "host", "origin", "sec-fetch-site"];
const encoder = new TextEncoder();

/**
 * Adds the routes.
 *
 * @example
 * ```ts
 * serveStreamMux(app, { paths: ["/api/stream"], stopping, world });
 * ```
 */
export function serveStreamMux<AppEnv extends Env>(
  app: Hono<AppEnv>,
  options: StreamMuxOptions,
): void {
  const { maxConnections = 128, stopping, world = realWorld } = options;
  const connections = new Map<string, MuxConnection>();
  // One listener for all: one a connection would stay until the stop, with its connection.
  stopping?.addEventListener("abort", () => {
    for (const connection of connections.values()) connection.end();
  }, { once: true });

  app.get(streamMuxPath, () => {
    if (connections.size >= maxConnections || stopping?.aborted) {
      throw new ProblemError(503, {
        title: "Too many connections",
        detail: `${maxConnections} browsers are here already. Try again later.`,
      }, { "retry-after": "5" });
    }
    const id = world.randomBytes(16).toHex();
    const connection = new MuxConnection(id, options, () => connections.delete(id));
    connections.set(id, connection);
    return new Response(connection.body, {
      headers: {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store",
        // Proxies must not collect events before they pass them on.
        "x-accel-buffering": "no",
      },
    });
  });

  app.post(`${streamMuxPath}/:id`, async (c) => {
    const connection = connections.get(c.req.param("id"));
    if (connection === undefined) {
      throw new ProblemError(404, {
        title: "No such connection",
        detail: `It has ended. Open another one at ${streamMuxPath}.`,
      });
    }
    const { open = [], close = [] } = await muxRequest(c.req.raw);
    for (const channel of close) connection.close(channel);
    for (const { channel, path } of open) {
      connection.open(channel, () => innerResponse(app, c, path, options.paths));
    }
    return c.body(null, 204);
  });
}

async function muxRequest(request: Request): Promise<MuxRequest> {
  const text = await readText(request, { limitBytes: 256 * 1024, timeoutMs: 10_000 });
  try {
    const { open = [], close = [] } = JSON.parse(text);
    const isChannel = (one: unknown) => Number.isSafeInteger(one);
    const good = Array.isArray(open) && Array.isArray(close) && close.every(isChannel) &&
      open.every((one) => isChannel(one?.channel) && typeof one.path === "string");
    if (good) return { open, close };
  } catch {
    // Said below, as for everything else that it may be.
  }
  throw new ProblemError(400, {
    title: "Malformed",
    detail: 'Send {"open":[{"channel":1,"path":"/…"}],"close":[2]}; both may be left out.',
  });
}

/** Asks the server itself, guard and authentication included. */
async function innerResponse<AppEnv extends Env>(
  app: Hono<AppEnv>,
  c: Context,
  path: string,
  paths: readonly string[],
): Promise<Response> {
  const url = new URL(c.req.url);
  const target = URL.canParse(path, url) ? new URL(path, url) : undefined;
  if (target === undefined || target.origin !== url.origin || !paths.includes(target.pathname)) {
    return new Response(null, { status: 404 });
  }
  const headers = new Headers({ accept: "text/event-stream" });
  for (const name of passedOn) {
    const value = c.req.header(name);
    if (value !== undefined) headers.set(name, value);
  }
  return await app.fetch(new Request(target, { headers }), c.env);
}

/** One browser's connection. It is read as its client reads: what a slow one costs is its streams' matter. */
class MuxConnection {
  readonly body: ReadableStream<Uint8Array>;
  readonly #options: StreamMuxOptions;
  readonly #world: Pick<World, "setTimeout" | "clearTimeout">;
  readonly #onEnd: () => void;
  readonly #channels = new Map<number, AbortController>();
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  /** Streams that wait until the client takes more. */
  #wanted: PromiseWithResolvers<void> | undefined;
  #emptyTimer: TimerId | undefined;
  #ended = false;

  constructor(id: string, options: StreamMuxOptions, onEnd: () => void) {
    this.#options = options;
    this.#world = options.world ?? realWorld;
    this.#onEnd = onEnd;
    this.body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
        controller.enqueue(encoder.encode(`event: mux\ndata: ${JSON.stringify({ id })}\n\n`));
      },
      pull: () => this.#goOn(),
      cancel: () => this.#forget(),
    }, { highWaterMark: 2 });
    this.#watchEmpty();
  }

  open(channel: number, ask: () => Promise<Response>): void {
    const { maxChannels = 64 } = this.#options;
    if (this.#ended || this.#channels.has(channel)) return;
    const closed = new AbortController();
    this.#channels.set(channel, closed);
    this.#world.clearTimeout(this.#emptyTimer);
    const answer = this.#channels.size > maxChannels
      ? () => Promise.resolve(new Response(null, { status: 503 }))
      : ask;
    this.#pump(channel, answer, closed.signal).then(
      (status) => this.#endChannel(channel, closed, { status }),
      (error) => this.#endChannel(channel, closed, { status: 500, reason: reasonOf(error) }),
    );
  }

  close(channel: number): void {
    this.#channels.get(channel)?.abort();
    this.#channels.delete(channel);
    this.#watchEmpty();
  }

  /** Ends all of it, in order. */
  end(): void {
    if (this.#ended) return;
    this.#forget();
    this.#controller.close();
  }

  #forget(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#world.clearTimeout(this.#emptyTimer);
    for (const closed of this.#channels.values()) closed.abort();
    this.#channels.clear();
    this.#goOn();
    this.#onEnd();
  }

  #watchEmpty(): void {
    if (this.#channels.size > 0 || this.#ended) return;
    const { emptyTimeoutMs = 10_000 } = this.#options;
    this.#world.clearTimeout(this.#emptyTimer);
    this.#emptyTimer = this.#world.setTimeout(() => this.end(), emptyTimeoutMs);
  }

  /** Passes a stream on; resolves with its status when it has ended. */
  async #pump(
    channel: number,
    ask: () => Promise<Response>,
    closed: AbortSignal,
  ): Promise<number> {
    const response = await ask();
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      return response.status;
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const left = aborted(closed).then(() => reader.cancel());
    let rest = "";
    try {
      while (!closed.aborted) {
        const { done, value } = await reader.read();
        if (done) return response.status;
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop()!;
        if (blocks.length === 0) continue;
        const text = blocks.map((block) => `channel: ${channel}\n${block}\n\n`).join("");
        await this.#write(text, closed);
      }
      return response.status;
    } finally {
      // Who went away is no reason to complain.
      if (closed.aborted) await left.catch(() => {});
    }
  }

  async #write(text: string, closed: AbortSignal): Promise<void> {
    while (!this.#ended && !closed.aborted && this.#controller.desiredSize! <= 0) {
      this.#wanted ??= Promise.withResolvers();
      await this.#wanted.promise;
    }
    if (!this.#ended && !closed.aborted) this.#controller.enqueue(encoder.encode(text));
  }

  #goOn(): void {
    this.#wanted?.resolve();
    this.#wanted = undefined;
  }

  #endChannel(channel: number, closed: AbortController, end: object): void {
    if (this.#ended || this.#channels.get(channel) !== closed) return;
    this.#channels.delete(channel);
    this.#controller.enqueue(
      encoder.encode(`channel: ${channel}\nevent: end\ndata: ${JSON.stringify(end)}\n\n`),
    );
    this.#watchEmpty();
  }
}
