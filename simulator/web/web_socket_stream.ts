/**
 * `/ws`: every event to every client, or those that a client asks for. What comes in within one
 * turn of the event loop goes out as one message, made once for all who want everything; where that
 * takes long, as there are many clients, what comes meanwhile gathers ({@linkcode Pace}). A client that
 * does not read is dropped with a reason; none slows another.
 *
 * @module
 */
import type { TimerId, World } from "../../service/world/world.ts";
import { textFrame, type Upgraded, upgradeWebSocket } from "../../service/http_upgrade.ts";
import { ProblemError } from "../../service/problem.ts";
import { closeCodes, type Hello, type Stats } from "../api.ts";
import type { EventLog, LoggedEvent } from "../events/event_log.ts";
import { Pace } from "./pace.ts";
import { type EventFilter, eventTest, filterOf, readSubscribe } from "./event_filter.ts";

/** Options of {@linkcode WebSocketStream}. */
export interface WebSocketStreamOptions {
  log: EventLog;
  /** What `hello` says, but for how the replay went. */
  hello: () => Omit<Hello, "type" | "replay" | "missing">;
  /** What `stats` says. */
  stats: () => Stats;
  world: World;
  /** Clients at once; one more is answered 503. @default 256 */
  maxClients?: number;
  /** Bytes that wait for a client that does not read; beyond it is dropped. @default 8_388_608 */
  maxQueuedBytes?: number;
  /** Time between two `stats`, which are the heartbeat, in milliseconds. @default 2_000 */
  statsIntervalMs?: number;
  /** A client from which not even a pong has come for so long is dropped, in seconds. @default 30 */
  idleTimeoutS?: number;
}

interface SocketClient extends Pick<Upgraded, "socket" | "sendFrame"> {
  /** Which events it gets; all where there is none. */
  wants: ((event: LoggedEvent) => boolean) | undefined;
}

/** Events of a replay that go into one message. */
const eventsPerMessage = 500;

/** Serves the clients of `/ws`. */
export class WebSocketStream {
  readonly #options: Required<WebSocketStreamOptions>;
  readonly #clients = new Set<SocketClient>();
  /** Delivers, no more often than it can be afforded. */
  readonly #pace: Pace<LoggedEvent>;
  readonly #unsubscribe: () => void;
  readonly #timer: TimerId;
  #turn = 0;
  /** Clients dropped since the start, by reason. */
  readonly dropped = { "too slow": 0, "bad message": 0 };

  constructor(options: WebSocketStreamOptions) {
    this.#options = {
      maxClients: 256,
      maxQueuedBytes: 8_388_608,
      statsIntervalMs: 2_000,
      idleTimeoutS: 30,
      ...options,
    };
    const { log, world, statsIntervalMs } = this.#options;
    this.#pace = new Pace((events) => this.#deliver(events), world);
    this.#unsubscribe = log.subscribe((events) => {
      if (this.#clients.size > 0) this.#pace.take(events);
    });
    this.#timer = world.setInterval(() => this.#sendStats(), statsIntervalMs);
  }

  /** Clients that are connected. */
  get clients(): number {
    return this.#clients.size;
  }

  /**
   * Takes a client in.
   *
   * @throws {ProblemError} 426 when it asks for no WebSocket, 503 when there are too many
   */
  async open(request: Request): Promise<Response> {
    const { maxClients, idleTimeoutS } = this.#options;
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      throw new ProblemError(426, {
        title: "Upgrade required",
        detail: "This is a WebSocket: connect to it with ws:, or read GET / as server-sent events.",
      }, { upgrade: "websocket" });
    }
    if (this.#clients.size >= maxClients) {
      throw new ProblemError(503, {
        title: "Too many clients",
        detail: `${maxClients} clients listen already. Close a page, or try again later.`,
      }, { "retry-after": "5" });
    }
    const { after, ...filter } = filterOf(new URL(request.url).searchParams);
    const { socket, response, sendFrame } = await upgradeWebSocket(request, {
      idleTimeoutS,
      // A client only ever says which events it wants.
      maxMessageBytes: 65_536,
    });
    const client: SocketClient = { socket, sendFrame, wants: eventTest(filter) };
    socket.onopen = () => {
      // What gathers is not for it: it is greeted with all that is logged.
      this.#pace.flush();
      this.#clients.add(client);
      this.#greet(client, after);
    };
    socket.onmessage = ({ data }) => this.#subscribe(client, data);
    socket.onclose = () => this.#clients.delete(client);
    return response;
  }

  /** Closes every client's connection. */
  stop(): void {
    this.#unsubscribe();
    this.#pace.flush();
    this.#options.world.clearInterval(this.#timer);
    for (const { socket } of this.#clients) socket.close(1001, "the server stops");
    this.#clients.clear();
  }

  #greet(client: SocketClient, after: string | undefined): void {
    const { log, hello, stats } = this.#options;
    const position = after === undefined
      ? undefined
      : after === ""
      ? { kind: "reset" as const }
      : log.position(after);
    const greeting: Hello = {
      type: "hello",
      ...hello(),
      replay: position?.kind ?? "none",
      missing: position?.kind === "gap" ? position.missing : 0,
    };
    client.socket.send(JSON.stringify(greeting));
    client.socket.send(JSON.stringify(stats()));
    if (position) this.#replay(client, "after" in position ? position.after : 0);
  }

  #replay(client: SocketClient, after: number): void {
    const { wants } = client;
    const all = this.#options.log.since(after);
    const events = wants ? all.filter(wants) : all;
    for (let from = 0; from < events.length; from += eventsPerMessage) {
      client.sendFrame(eventsFrame(events.slice(from, from + eventsPerMessage)));
    }
  }

  #subscribe(client: SocketClient, data: unknown): void {
    const message = readSubscribe(data);
    if (typeof message === "string") {
      this.dropped["bad message"]++;
      return this.#drop(client, closeCodes.badMessage, message);
    }
    // What gathers is still for what it wanted before.
    this.#pace.flush();
    const filter: EventFilter = message;
    client.wants = eventTest(filter);
    if (message.after !== undefined) this.#greet(client, message.after);
  }

  #deliver(events: readonly LoggedEvent[]): void {
    let whole: Uint8Array | undefined;
    for (const client of this.#inTurn()) {
      if (client.wants === undefined) this.#send(client, whole ??= eventsFrame(events));
      else {
        const wanted = events.filter(client.wants);
        if (wanted.length > 0) this.#send(client, eventsFrame(wanted));
      }
    }
  }

  /** All clients, and another one first each time: none is always the last to know. */
  #inTurn(): SocketClient[] {
    const clients = [...this.#clients];
    const first = this.#turn++ % Math.max(1, clients.length);
    return [...clients.slice(first), ...clients.slice(0, first)];
  }

  #sendStats(): void {
    if (this.#clients.size === 0) return;
    const frame = textFrame(JSON.stringify(this.#options.stats()));
    for (const client of this.#clients) this.#send(client, frame);
  }

  #send(client: SocketClient, frame: Uint8Array): void {
    const { socket } = client;
    if (socket.bufferedAmount > this.#options.maxQueuedBytes) {
      this.dropped["too slow"]++;
      const mebibytes = Math.round(this.#options.maxQueuedBytes / 1_048_576);
      return this.#drop(client, closeCodes.tooSlow, `more than ${mebibytes} MiB waited to be read`);
    }
    client.sendFrame(frame);
  }

  #drop(client: SocketClient, code: number, reason: string): void {
    this.#clients.delete(client);
    // A close reason has at most 123 bytes (RFC 6455, section 5.5).
    client.socket.close(code, reason.slice(0, 120));
  }
}

/** One message; the events' JSON goes in as it came. */
function eventsFrame(events: readonly LoggedEvent[]): Uint8Array {
  let text = '{"type":"events","events":[';
  for (let i = 0; i < events.length; i++) {
    const { id, client, atMs, json } = events[i]!;
    text += `${i === 0 ? "" : ","}{"id":"${id}","client":${client},"atMs":${atMs},"data":${json}}`;
  }
  return textFrame(`${text}]}`);
}
