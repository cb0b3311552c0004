/**
 * Where a page's events come from: the one connection that all tabs of the browser share, or, where
 * there are no shared workers or the server has no such connection, one of its own.
 *
 * @module
 */
import { basePath, withBase } from "./base_path.ts";
import { bearerToken } from "./bearer.ts";
import { readEvents } from "./event_reader.ts";
import type { FromStreamWorker, ToStreamWorker } from "./stream_worker.ts";

/** The part of EventSource that is used. */
export interface EventSourceLike {
  addEventListener(
    name: string,
    listen: (event: { data?: unknown; lastEventId?: string }) => void,
  ): void;
  close(): void;
}

/** An alive tab says so; its worker forgets one that has not for three minutes. */
export const aliveEveryMs = 20_000;

/**
 * Opens a stream of the page's program.
 *
 * @param path such as `/api/stream?signals=traces`, without what a proxy puts in front
 *
 * @example
 * ```ts
 * const source = openSource("/api/live");
 * source.addEventListener("stores", ({ data }) => {});
 * ```
 */
export function openSource(path: string): EventSourceLike {
  const port = sharedPort();
  return port === undefined ? ownSource(path) : sharedSource(port, path);
}

/** A connection of this page alone. It does not connect again by itself. */
function ownSource(path: string): EventSourceLike {
  const ended = new AbortController();
  const listeners = new Map<string, (event: { data?: unknown; lastEventId?: string }) => void>();
  readEvents(
    withBase(path),
    { token: bearerToken(), signal: ended.signal },
    (event) => listeners.get(event.name)?.(event),
  ).catch(() => {
    if (!ended.signal.aborted) listeners.get("error")?.({});
  });
  return {
    addEventListener: (name, listen) => void listeners.set(name, listen),
    close: () => ended.abort(),
  };
}

/** What a page's streams have come to, by their numbers. */
const open = new Map<number, (message: FromStreamWorker) => void>();
let lastStream = 0;
let port: MessagePort | undefined;
/** The server has no connection to share. */
let unshared = false;

function sharedPort(): MessagePort | undefined {
  if (unshared || port !== undefined) return unshared ? undefined : port;
  const script = globalThis.document
    ?.querySelector<HTMLMetaElement>('meta[name="orrery-streams"]')?.content;
  if (script === undefined || !("SharedWorker" in globalThis)) return undefined;
  const worker = new SharedWorker(script, { type: "module", name: "orrery-streams" });
  worker.onerror = () => leave();
  port = worker.port;
  port.onmessage = ({ data }: MessageEvent<FromStreamWorker>) => {
    if (data.kind === "unshared") leave();
    else open.get(data.stream)?.(data);
  };
  setInterval(() => say({ kind: "alive" }), aliveEveryMs);
  // A page that is left says so; one that comes back by the back button opens its streams again.
  addEventListener("pagehide", () => {
    for (const stream of open.keys()) say({ kind: "close", stream });
  });
  addEventListener("pageshow", ({ persisted }) => {
    if (persisted) failAll();
  });
  return port;
}

/** From now on each stream has a connection of its own. */
function leave(): void {
  unshared = true;
  failAll();
}

function failAll(): void {
  for (const [stream, take] of [...open]) take({ kind: "failed", stream });
}

function say(message: ToStreamWorker): void {
  port?.postMessage(message);
}

function sharedSource(port: MessagePort, path: string): EventSourceLike {
  const stream = ++lastStream;
  const listeners = new Map<string, (event: { data?: unknown; lastEventId?: string }) => void>();
  open.set(stream, (message) => {
    if (message.kind === "event") listeners.get(message.name)?.(message);
    else if (open.delete(stream)) listeners.get("error")?.({});
  });
  const request: ToStreamWorker = {
    kind: "open",
    stream,
    path,
    base: basePath(),
    token: bearerToken(),
  };
  port.postMessage(request);
  return {
    addEventListener: (name, listen) => void listeners.set(name, listen),
    close() {
      if (open.delete(stream)) say({ kind: "close", stream });
    },
  };
}
