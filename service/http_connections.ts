/**
 * The connections of one HTTP server: so many and no more, in total and of one peer; the oldest that
 * does nothing goes first, and one whose peer takes nothing is cut.
 *
 * @module
 */
import type { Server, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { rawAnswer } from "./http1/answer.ts";
import { Connection } from "./http1/connection.ts";
import { Http2Connection } from "./http2/connection.ts";
import { resumeAccepting, watchDescriptors } from "./http_descriptors.ts";
import type { ConnectionOwner, HttpConnection, HttpExchange } from "./http_exchange.ts";
import { limitedLog } from "./limited_log.ts";
import type { Log } from "./log.ts";
import { realWorld, type TimerId, type World } from "./world/world.ts";

/** Options of {@linkcode HttpConnections}. */
export interface HttpConnectionsOptions {
  /** Connections at once, WebSockets not among them; beyond it 503. @default 4_096 */
  maxConnections?: number | undefined;
  /**
   * The same from one address; beyond it 503. A proxy is one address, and so is everybody on this
   * machine.
   *
   * @default 1_024
   */
  maxConnectionsPerPeer?: number | undefined;
  /** A peer that takes nothing of its answer for so long is cut, in milliseconds. @default 30_000 */
  writeTimeoutMs?: number | undefined;
  /**
   * How long a request may take to arrive with its body, in milliseconds, whatever its handler
   * allows, and the rest of one that was answered before it had come whole; then it is closed.
   *
   * @default 60_000
   */
  requestTimeoutMs?: number | undefined;
  /** How long a request's line and header may take, from the connection's first moment for the first one, in milliseconds; then 408, and it is closed. @default 15_000 */
  headerTimeoutMs?: number | undefined;
  /** How long a connection may wait for its next request, in milliseconds; then it is closed. @default 75_000 */
  idleTimeoutMs?: number | undefined;
  /** Gets what the operator should know. @default nobody */
  log?: Pick<Log, "warn" | "info"> | undefined;
  /** Whose time it is. @default the real world */
  world?: World | undefined;
}

/** Time between two looks at the connections, in milliseconds. */
const lookMs = 250;

/** What is done with a connection's requests. */
export type ConnectionEvents = Pick<ConnectionOwner, "handle" | "isUpgraded" | "onHttp2">;

/** Keeps the connections of a server, or of its two on loopback, within bounds. */
export class HttpConnections implements ConnectionOwner {
  readonly timeouts: ConnectionOwner["timeouts"];
  readonly #maxConnections: number;
  readonly #maxConnectionsPerPeer: number;
  readonly #world: World;
  readonly #events: ConnectionEvents;
  readonly #warn: ReturnType<typeof limitedLog> | undefined;
  readonly #open = new Set<HttpConnection>();
  /** Those that have been closed for another's sake, until their peers have closed them, too. */
  readonly #ending = new Set<HttpConnection>();
  readonly #byPeer = new Map<string, number>();
  readonly #timer: TimerId;
  readonly #unwatch: () => void;
  #onEmpty: (() => void) | undefined;
  #isDraining = false;

  /** @param host an address of this machine that may be listened on, by which is seen whether a descriptor is left */
  constructor(
    servers: readonly Server[],
    host: string,
    events: ConnectionEvents,
    options: HttpConnectionsOptions = {},
  ) {
    const { log, world = realWorld, requestTimeoutMs = 60_000 } = options;
    this.timeouts = {
      headerTimeoutMs: Math.min(options.headerTimeoutMs ?? 15_000, requestTimeoutMs),
      requestTimeoutMs,
      idleTimeoutMs: options.idleTimeoutMs ?? 75_000,
      writeTimeoutMs: options.writeTimeoutMs ?? 30_000,
    };
    this.#maxConnections = options.maxConnections ?? 4_096;
    this.#maxConnectionsPerPeer = options.maxConnectionsPerPeer ?? 1_024;
    this.#events = events;
    this.#world = world;
    this.#warn = log && limitedLog(log as Log, { maxLinesPerSecond: 1, world });
    this.#timer = world.setInterval(() => this.#look(), lookMs);
    this.#unwatch = watchDescriptors({
      host,
      log,
      world,
      closeIdle: (count) => this.closeIdle(count),
      resume: () => servers.forEach(resumeAccepting),
    });
  }

  /** Connections that are open, WebSockets not among them. */
  get size(): number {
    return this.#open.size;
  }

  /** Takes a connection in, or turns it away; with TLS it has agreed on the version of HTTP. */
  add(socket: Socket): void {
    const isHttp2 = (socket as TLSSocket).alpnProtocol === "h2";
    const peer = socket.remoteAddress ?? "";
    const ofPeer = this.#byPeer.get(peer) ?? 0;
    const maxOfPeer = this.#maxConnectionsPerPeer;
    if (ofPeer >= maxOfPeer && !this.closeIdle(1, peer)) {
      return this.#refuse(socket, isHttp2, `${maxOfPeer} connections of ${peer}`);
    }
    if (this.#open.size >= this.#maxConnections && !this.closeIdle(1)) {
      return this.#refuse(socket, isHttp2, `${this.#maxConnections} connections`);
    }
    this.#byPeer.set(peer, (this.#byPeer.get(peer) ?? 0) + 1);
    this.#open.add(isHttp2 ? new Http2Connection(socket, this) : new Connection(socket, this));
  }

  monotonicMs(): number {
    return this.#world.monotonicMs();
  }

  handle(exchange: HttpExchange): void {
    this.#events.handle(exchange);
  }

  isUpgraded(response: Response): boolean {
    return this.#events.isUpgraded(response);
  }

  onHttp2(): void {
    this.#events.onHttp2();
  }

  onCut({ peer }: HttpConnection, reason: string): void {
    this.#warn?.(`A connection was cut: ${reason}`, { peer: peer.hostname });
  }

  onEnd(connection: HttpConnection): void {
    this.#ending.delete(connection);
    if (!this.#open.delete(connection)) return;
    const { hostname } = connection.peer;
    const left = this.#byPeer.get(hostname)! - 1;
    if (left > 0) this.#byPeer.set(hostname, left);
    else this.#byPeer.delete(hostname);
    if (this.#open.size === 0) this.#onEmpty?.();
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Closes what does nothing, the rest behind the answer that is under way; resolves when all are closed. */
  drain(): Promise<void> {
    this.#isDraining = true;
    this.closeIdle(Infinity);
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onEmpty = resolve);
  }

  /** Closes all at once. */
  cut(): void {
    for (const connection of [...this.#open]) connection.cut();
  }

  /** Looks at nothing any more. */
  stop(): void {
    this.#world.clearInterval(this.#timer);
    this.#unwatch();
  }

  #refuse(socket: Socket, isHttp2: boolean, what: string): void {
    this.#warn?.("A connection was refused", { open: this.#open.size, reason: `${what} are open` });
    const detail = `${what} are open already, and all are in use. Try again later.`;
    socket.on("error", () => {});
    // Before the first frames there is no request that could be answered.
    if (isHttp2) {
      socket.destroy();
      return;
    }
    socket.end(rawAnswer(503, "Overloaded", detail));
    // It has its answer; whether it takes it is its own affair.
    socket.destroySoon();
  }

  /** Closes connections on which nothing is asked, the one that has been so for longest first. */
  closeIdle(count: number, peer?: string): number {
    const idle = [...this.#open]
      .filter((one) => one.isIdle && (peer === undefined || one.peer.hostname === peer))
      .sort((a, b) => a.idleSinceMs - b.idleSinceMs)
      .slice(0, count);
    for (const connection of idle) {
      this.onEnd(connection);
      this.#ending.add(connection);
      connection.end();
    }
    return idle.length;
  }

  #look(): void {
    const nowMs = this.#world.monotonicMs();
    for (const connection of [...this.#open, ...this.#ending]) connection.look(nowMs);
  }
}
