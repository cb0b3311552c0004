/**
 * The connections of one HTTP server: so many and no more, in total and of one peer; the oldest that
 * does nothing goes first, and one whose peer takes nothing is cut.
 *
 * @module
 */
import type { IncomingMessage } from "node:http";
import type { Server, Socket } from "node:net";
import { resumeAccepting, watchDescriptors } from "./http_descriptors.ts";
import { rawAnswer } from "./http_exchange.ts";
import { limitedLog } from "./limited_log.ts";
import type { Log } from "./log.ts";
import { realWorld, type TimerId, type World } from "./world/world.ts";

/** How long a request that has been answered may go on sending a body that nobody reads, in milliseconds. */
const lingerTimeoutMs = 5_000;

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
  /** Gets what the operator should know. @default nobody */
  log?: Pick<Log, "warn" | "info"> | undefined;
  /** Whose time it is. @default the real world */
  world?: World | undefined;
}

interface Bounds {
  readonly maxConnections: number;
  readonly maxConnectionsPerPeer: number;
  readonly writeTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly world: World;
}

interface Connection {
  readonly socket: Socket;
  readonly peer: string;
  /** Requests that are being answered on it. */
  requests: number;
  /** The request that was answered before its body had come whole: what still comes is thrown away. */
  unread: IncomingMessage | undefined;
  /** Since when none is, in milliseconds. */
  idleSinceMs: number;
  /** Bytes that waited for the peer when it was looked at last, and since when it has taken none. */
  waitingBytes: number;
  stuckSinceMs: number | undefined;
}

/** Time between two looks at the connections, in milliseconds. */
const lookMs = 250;

/** Keeps the connections of a server within bounds. */
export class HttpConnections {
  readonly #options: Bounds;
  readonly #warn: ReturnType<typeof limitedLog> | undefined;
  readonly #open = new Map<Socket, Connection>();
  readonly #byPeer = new Map<string, number>();
  readonly #timer: TimerId;
  readonly #unwatch: () => void;
  #onEmpty: (() => void) | undefined;

  /** @param host an address of this machine that may be listened on, by which is seen whether a descriptor is left */
  constructor(server: Server, host: string, options: HttpConnectionsOptions = {}) {
    const { log } = options;
    this.#options = {
      maxConnections: options.maxConnections ?? 4_096,
      maxConnectionsPerPeer: options.maxConnectionsPerPeer ?? 1_024,
      writeTimeoutMs: options.writeTimeoutMs ?? 30_000,
      requestTimeoutMs: options.requestTimeoutMs ?? 60_000,
      world: options.world ?? realWorld,
    };
    const { world } = this.#options;
    this.#warn = log && limitedLog(log as Log, { maxLinesPerSecond: 1, world });
    this.#timer = world.setInterval(() => this.#cutStuck(), lookMs);
    this.#unwatch = watchDescriptors({
      host,
      log,
      world,
      closeIdle: (count) => this.closeIdle(count),
      resume: () => resumeAccepting(server),
    });
  }

  /** Connections that are open, WebSockets not among them. */
  get size(): number {
    return this.#open.size;
  }

  /** Takes a connection in, or turns it away. */
  add(socket: Socket): void {
    const { maxConnections, maxConnectionsPerPeer, world } = this.#options;
    const peer = socket.remoteAddress ?? "";
    const ofPeer = this.#byPeer.get(peer) ?? 0;
    if (ofPeer >= maxConnectionsPerPeer && !this.closeIdle(1, peer)) {
      return this.#refuse(socket, `${maxConnectionsPerPeer} connections of ${peer}`);
    }
    if (this.#open.size >= maxConnections && !this.closeIdle(1)) {
      return this.#refuse(socket, `${maxConnections} connections`);
    }
    this.#byPeer.set(peer, (this.#byPeer.get(peer) ?? 0) + 1);
    this.#open.set(socket, {
      socket,
      peer,
      requests: 0,
      unread: undefined,
      idleSinceMs: world.monotonicMs(),
      waitingBytes: 0,
      stuckSinceMs: undefined,
    });
    socket.once("close", () => this.remove(socket));
  }

  /** Lets go of a connection that is HTTP's no longer. */
  remove(socket: Socket): void {
    const connection = this.#open.get(socket);
    if (!connection) return;
    this.#open.delete(socket);
    const left = this.#byPeer.get(connection.peer)! - 1;
    if (left > 0) this.#byPeer.set(connection.peer, left);
    else this.#byPeer.delete(connection.peer);
    if (this.#open.size === 0) this.#onEmpty?.();
  }

  /** A request has begun on the connection. */
  begin(socket: Socket): void {
    const connection = this.#open.get(socket);
    if (connection) connection.requests++;
  }

  /** It has been answered, or given up. */
  end(incoming: IncomingMessage): void {
    const { socket } = incoming;
    const connection = this.#open.get(socket);
    if (!connection) return;
    connection.requests--;
    connection.unread = incoming.complete ? undefined : incoming;
    // It may read its answer only once it has sent all (RFC 9112, section 9.6): what still comes is
    // thrown away, for a while.
    if (connection.unread) incoming.resume();
    connection.idleSinceMs = this.#options.world.monotonicMs();
  }

  /** Closes what does nothing, and resolves when all are closed. */
  drain(): Promise<void> {
    this.closeIdle(Infinity);
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onEmpty = resolve);
  }

  /** Closes all at once. */
  cut(): void {
    for (const socket of [...this.#open.keys()]) socket.destroy();
  }

  /** Looks at nothing any more. */
  stop(): void {
    this.#options.world.clearInterval(this.#timer);
    this.#unwatch();
  }

  #refuse(socket: Socket, what: string): void {
    this.#warn?.("A connection was refused", { open: this.#open.size, reason: `${what} are open` });
    const detail = `${what} are open already, and all are in use. Try again later.`;
    socket.on("error", () => {});
    socket.end(rawAnswer(
      503,
      "Service Unavailable",
      JSON.stringify({ type: "about:blank", title: "Overloaded", status: 503, detail }),
    ));
    // It has its answer; whether it takes it is its own affair.
    socket.destroySoon();
  }

  /** Closes connections on which nothing is asked, the one that has been so for longest first. */
  closeIdle(count: number, peer?: string): number {
    const idle = [...this.#open.values()]
      .filter((one) => one.requests === 0 && (peer === undefined || one.peer === peer))
      .sort((a, b) => a.idleSinceMs - b.idleSinceMs)
      .slice(0, count);
    for (const { socket } of idle) {
      this.remove(socket);
      socket.destroy();
    }
    return idle.length;
  }

  #cutStuck(): void {
    const { writeTimeoutMs, requestTimeoutMs, world } = this.#options;
    const nowMs = world.monotonicMs();
    for (const connection of this.#open.values()) {
      const { unread, idleSinceMs } = connection;
      const lingerMs = Math.min(lingerTimeoutMs, requestTimeoutMs);
      if (unread && !unread.complete && nowMs - idleSinceMs > lingerMs) {
        connection.socket.destroy();
        continue;
      }
      const { writableLength } = connection.socket;
      if (writableLength === 0 || writableLength !== connection.waitingBytes) {
        connection.stuckSinceMs = undefined;
        connection.waitingBytes = writableLength;
      } else {
        connection.stuckSinceMs ??= nowMs;
        if (nowMs - connection.stuckSinceMs < writeTimeoutMs) continue;
        this.#warn?.("A connection was cut: its peer takes nothing", { peer: connection.peer });
        connection.socket.destroy();
      }
    }
  }
}
