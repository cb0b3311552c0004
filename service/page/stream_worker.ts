/**
 * The shared worker that holds the one connection of all of a browser's tabs to a program, and gives
 * each its events. Built for every page; `stream_source.ts` is the tabs' side, `../event_stream_mux.ts`
 * the server's.
 *
 * @module
 */
import { authorizationOf } from "./bearer.ts";
import { readEvents, StreamRefused } from "./event_reader.ts";

/** What a tab says. Numbers of streams are its own. */
export type ToStreamWorker =
  | { kind: "open"; stream: number; path: string; base: string; token: string }
  | { kind: "close"; stream: number }
  | { kind: "alive" };

/** What a tab hears. */
export type FromStreamWorker =
  | { kind: "event"; stream: number; name: string; data: string; lastEventId: string }
  /** It has ended, was refused, or the connection broke. */
  | { kind: "failed"; stream: number }
  /** The server shares no connection: the tab has to make its own. */
  | { kind: "unshared" };

/** Without a word for so long a tab is gone; one in the background speaks once a minute. */
const goneAfterMs = 180_000;
const muxPath = "/api/streams";

/** A stream of a tab. */
interface Stream {
  readonly tab: Tab;
  readonly stream: number;
  readonly path: string;
}

interface Tab {
  readonly port: MessagePort;
  heardMs: number;
}

/** A connection: one for each server address and token, which is one nearly always. */
class SharedConnection {
  readonly #base: string;
  readonly #token: string;
  readonly #onEmpty: () => void;
  readonly #streams = new Map<number, Stream>();
  #toOpen = new Set<number>();
  #toClose = new Set<number>();
  #id: string | undefined;
  #ended: AbortController | undefined;
  #lastChannel = 0;

  constructor(base: string, token: string, onEmpty: () => void) {
    this.#base = base;
    this.#token = token;
    this.#onEmpty = onEmpty;
  }

  open(stream: Stream): void {
    const channel = ++this.#lastChannel;
    this.#streams.set(channel, stream);
    this.#toOpen.add(channel);
    if (this.#ended === undefined) this.#connect();
    else this.#tellSoon();
  }

  close(tab: Tab, stream?: number): void {
    for (const [channel, one] of this.#streams) {
      if (one.tab !== tab || (stream !== undefined && one.stream !== stream)) continue;
      this.#streams.delete(channel);
      if (!this.#toOpen.delete(channel)) this.#toClose.add(channel);
    }
    if (this.#streams.size > 0) return this.#tellSoon();
    const ended = this.#ended;
    this.#ended = undefined;
    ended?.abort();
    this.#onEmpty();
  }

  #connect(): void {
    const ended = this.#ended = new AbortController();
    const options = { token: this.#token, signal: ended.signal };
    readEvents(this.#base + muxPath, options, (event) => {
      if (event.name === "mux") {
        this.#id = JSON.parse(event.data).id;
        this.#tell();
        return;
      }
      const to = this.#streams.get(event.channel ?? 0);
      if (to === undefined) return;
      if (event.name === "end") {
        this.#streams.delete(event.channel!);
        return send(to.tab, { kind: "failed", stream: to.stream });
      }
      const { name, data, lastEventId } = event;
      send(to.tab, { kind: "event", stream: to.stream, name, data, lastEventId });
    }).catch((error) => {
      if (this.#ended === ended) this.#broken(error);
    });
  }

  /** Each tab tries again in its own time; the first that does connects anew. */
  #broken(error: unknown): void {
    this.#ended?.abort();
    this.#ended = undefined;
    this.#id = undefined;
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    this.#toOpen.clear();
    this.#toClose.clear();
    const isUnshared = error instanceof StreamRefused && error.status === 404;
    for (const { tab, stream } of streams) {
      send(tab, isUnshared ? { kind: "unshared" } : { kind: "failed", stream });
    }
    this.#onEmpty();
  }

  /** What several tabs want at once is one request. */
  #tellSoon(): void {
    queueMicrotask(() => this.#tell());
  }

  async #tell(): Promise<void> {
    const id = this.#id;
    if (id === undefined || (this.#toOpen.size === 0 && this.#toClose.size === 0)) return;
    const body = JSON.stringify({
      open: [...this.#toOpen].map((channel) => ({
        channel,
        path: this.#streams.get(channel)!.path,
      })),
      close: [...this.#toClose],
    });
    this.#toOpen.clear();
    this.#toClose.clear();
    try {
      const response = await fetch(`${this.#base}${muxPath}/${id}`, {
        method: "POST",
        headers: { "content-type": "application/json", ...authorizationOf(this.#token) },
        body,
      });
      if (!response.ok) throw new StreamRefused(response.status);
    } catch {
      // The connection is another one, or none: all begin anew.
      if (this.#id === id) this.#broken(undefined);
    }
  }
}

function send({ port }: Tab, message: FromStreamWorker): void {
  port.postMessage(message);
}

const connections = new Map<string, SharedConnection>();
const tabs = new Set<Tab>();

function connectionOf(base: string, token: string): SharedConnection {
  const key = `${base} ${token}`;
  let connection = connections.get(key);
  if (connection === undefined) {
    const made = connection = new SharedConnection(base, token, () => {
      // Another one may have taken its place.
      if (connections.get(key) === made) connections.delete(key);
    });
    connections.set(key, made);
  }
  return connection;
}

function leave(tab: Tab): void {
  for (const connection of [...connections.values()]) connection.close(tab);
}

function take(tab: Tab, message: ToStreamWorker): void {
  tab.heardMs = performance.now();
  if (message.kind === "open") {
    const { base, token, stream, path } = message;
    connectionOf(base, token).open({ tab, stream, path });
  } else if (message.kind === "close") {
    for (const connection of [...connections.values()]) connection.close(tab, message.stream);
  }
}

if ("onconnect" in globalThis) {
  addEventListener("connect", (event) => {
    const tab: Tab = { port: (event as MessageEvent).ports[0]!, heardMs: performance.now() };
    tabs.add(tab);
    tab.port.onmessage = ({ data }: MessageEvent<ToStreamWorker>) => take(tab, data);
  });
  setInterval(() => {
    for (const tab of tabs) {
      if (performance.now() - tab.heardMs < goneAfterMs) continue;
      leave(tab);
      tabs.delete(tab);
    }
  }, 30_000);
}
