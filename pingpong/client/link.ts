/**
 * The client's way to a server: what a link is, whatever transport is below it. A link ends once;
 * its user opens another.
 *
 * @module
 */
import type { Context } from "@opentelemetry/api";
import type { World } from "../../service/world/world.ts";
import type { Message, Ping, Pong } from "../protocol/message.ts";
import type { Mode, NamedClient } from "../protocol/session_terms.ts";

/** A server and where it listens. */
export interface Target {
  /** Host name or address. */
  host: string;
  /** Its addresses, in the order in which they are tried. @default the system's first */
  addresses?: readonly string[];
  /** UDP port of WebTransport, 1 to 65,535. */
  port: number;
  /** Path of the session. @default "/" */
  path?: string;
  /** TCP port of WebSocket. @default as `port` */
  websocketPort?: number;
  /** False for `ws:` instead of `wss:`; loopback only. @default true */
  websocketTls?: boolean;
  /** SHA-256 of its certificate, where discovery has found it. @default none */
  pins?: readonly Uint8Array[];
}

/** Which servers a client believes. */
export interface Trust {
  /** SHA-256 of certificates: only these. @default certificates by an authority */
  pins?: readonly Uint8Array[];
  /** PEM certificates of authorities, besides the system's. @default none */
  caCerts?: readonly string[];
  /** Believes anyone. @default false */
  insecure?: boolean;
}

/** How a link is opened. */
export interface LinkOptions {
  /** How pings travel. */
  mode: Mode;
  /** Where to. */
  target: Target;
  /** Which servers are believed. */
  trust: Trust;
  /** The token to show, and to see proved. @default none */
  token?: string;
  /** The name answers are kept for. @default none */
  client?: NamedClient;
  /** Opens a stream for every ping instead of one for all. @default false */
  streamPerPing?: boolean;
  /** How long the transport's handshake may take, in milliseconds, above 0. @default 3_000 */
  connectTimeoutMs?: number;
  /** How long each step after it may take, in milliseconds, above 0. @default 5_000 */
  handshakeTimeoutMs?: number;
  /** How often the peer is probed, in milliseconds, above 0. @default 500 */
  heartbeatMs?: number;
  /** How long it may be silent until it counts as dead, in milliseconds, above 0. @default 2_000 */
  heartbeatTimeoutMs?: number;
  /** The local UDP endpoint, shared by all links of a client. @default a new one */
  endpoint?: Deno.QuicEndpoint;
  /** Whose trace the server's session joins (W3C Trace Context in the request). @default none */
  context?: Context;
  /** Whose time and chance it is. @default realWorld */
  world?: World;
}

/** How a link ended. */
export interface LinkEnd {
  /** Which side ended it; `lost` is a connection that died without a word. */
  by: "us" | "peer" | "lost";
  /** One of the close codes, 0 if none was given. */
  code: number;
  /** In words. */
  reason: string;
}

/** A way to a server. */
export interface Link {
  /** How pings travel on it. */
  readonly mode: Mode;
  /** Where the server is, as `address:port/udp`. */
  readonly remote: string;
  /** Answers that wait for this client; `undefined` for a server that knows no extensions. */
  readonly waiting: number | undefined;
  /** Settles when the link has ended; never rejects. */
  readonly closed: Promise<LinkEnd>;
  /** Hands every answer on, with the bytes it took; what came before the call is handed on first. */
  receive(onPong: OnPong): void;
  /** Sends a ping. A rejection says that it did not leave; `closed` says why. */
  send(ping: Ping): Promise<void>;
  /** Ends the link. */
  close(code: number, reason: string): Promise<void>;
}

/** Gets an answer and the bytes it took. */
export type OnPong = (pong: Pong, bytes: number) => void;

/** More than any mailbox gives: a ping whose answer is dropped here is sent and answered again. */
const maxWaitingPongs = 1_024;

/** Answers on their way to whatever receives them; they wait until something does. */
export class PongInbox {
  #waiting: [Pong, number][] = [];
  #onPong: OnPong | undefined;

  /** From now on answers go there, those that wait first. */
  receive(onPong: OnPong): void {
    this.#onPong = onPong;
    for (const [pong, bytes] of this.#waiting.splice(0)) onPong(pong, bytes);
  }

  /** A message has come. */
  put(message: Message, bytes: number): void {
    // A server asks nothing.
    if (message.kind !== "pong") return;
    if (this.#onPong) this.#onPong(message, bytes);
    else if (this.#waiting.length < maxWaitingPongs) this.#waiting.push([message, bytes]);
  }
}
