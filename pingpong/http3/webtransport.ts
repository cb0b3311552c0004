/**
 * What a WebTransport session is, the same on both ends: its streams and datagrams, the request it
 * was opened with, its limits, and how it ended.
 *
 * @module
 */
import { realWorld, type World } from "../../service/world/world.ts";
import type { Field } from "./qpack.ts";

/** A stream both ends write to. Closing the writer sends FIN; cancelling the reader, STOP_SENDING. */
export interface BidirectionalStream {
  /** What the peer writes. */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** What we write. */
  readonly writable: WritableStream<Uint8Array>;
}

/** How a session ended. */
export interface CloseInfo {
  /** The application's code, an unsigned 32-bit integer; 0 when none was given. */
  closeCode: number;
  /** Why, in words; at most 1,024 bytes of UTF-8. */
  reason: string;
  /** Which side ended it; `lost` is a connection that died without a word. */
  by: "us" | "peer" | "lost";
}

/** An established session, the same on both ends. */
export interface WebTransportSession {
  /** The CONNECT request: sent by a client, received by a server. */
  readonly request: ConnectRequest;
  /** The header fields of the answer. */
  readonly responseFields: readonly Field[];
  /** Where the peer is. */
  readonly remoteAddr: Deno.NetAddr;
  /** Settles when the session has ended; never rejects. */
  readonly closed: Promise<CloseInfo>;
  /** Streams that the peer opened, in the order their headers arrived. */
  readonly incomingBidirectionalStreams: ReadableStream<BidirectionalStream>;
  /** One-way streams that the peer opened. */
  readonly incomingUnidirectionalStreams: ReadableStream<ReadableStream<Uint8Array<ArrayBuffer>>>;
  /** The most bytes of a datagram at this moment. */
  readonly maxDatagramSize: number;
  /** Opens a stream, waiting for credit. @throws {WebTransportError} `closed` */
  createBidirectionalStream(): Promise<BidirectionalStream>;
  /** Opens a one-way stream, waiting for credit. @throws {WebTransportError} `closed` */
  createUnidirectionalStream(): Promise<WritableStream<Uint8Array>>;
  /** Sends a datagram, unreliably. @throws {WebTransportError} `datagram-too-large`, `closed` */
  sendDatagram(data: Uint8Array): Promise<void>;
  /** The next datagram; `undefined` once the session has ended. The oldest unread ones are dropped. */
  readDatagram(): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Ends the session with a code and a reason that the peer gets, and then the connection. */
  close(info?: CloseRequest): Promise<void>;
}

/** With what a session is closed. */
export interface CloseRequest {
  /** The application's code, an unsigned 32-bit integer. @default 0 */
  closeCode?: number;
  /** Why, in words; cut to 1,024 bytes of UTF-8. @default "" */
  reason?: string;
}

/** What a client asks for: extended CONNECT (RFC 9220; draft-ietf-webtrans-http3, section 3.2). */
export interface ConnectRequest {
  /** `:path`, with the query; `/` where the 2022 draft sends none. */
  readonly path: string;
  /** `:authority`, empty where the 2022 draft sends none. */
  readonly authority: string;
  /** The `origin` header, `undefined` when there is none (a program, not a page). */
  readonly origin: string | undefined;
  /** All fields as they came. */
  readonly fields: readonly Field[];
}

/** A server's answer to a CONNECT: 200 establishes the session, anything else refuses it. */
export interface ConnectDecision {
  /** The HTTP status. */
  status: number;
  /** Header fields to send with it. @default none */
  fields?: readonly Field[];
}

/** Limits of a session, the same on both ends. */
export interface SessionOptions {
  /** How long each step of the HTTP/3 handshake may take, in milliseconds, above 0. @default 5_000 */
  handshakeTimeoutMs?: number;
  /**
   * How long a two-way stream may stay without its header before it is refused, in milliseconds,
   * above 0.
   *
   * @default 5_000
   */
  streamHeaderTimeoutMs?: number;
  /** Streams of each kind that wait for us to take them, at least 1; beyond that the peer waits. @default 64 */
  maxWaitingStreams?: number;
  /** Streams of each kind that the peer may have open at once, at least 1. @default 256 */
  maxConcurrentStreams?: number;
  /**
   * How often the connection is probed while nothing is sent, in milliseconds, above 0: the heartbeat.
   *
   * @default 500
   */
  keepAliveMs?: number;
  /**
   * How long a peer may stay silent, probes included, until it counts as dead, in milliseconds,
   * above 0.
   *
   * @default 2_000
   */
  idleTimeoutMs?: number;
  /** How long `close()` waits for the peer's half of the goodbye, in milliseconds, above 0. @default 500 */
  closeTimeoutMs?: number;
  /** Whose time it is. @default realWorld */
  world?: World;
}

/** All limits, with what was not given as it is by default. */
export type SessionLimits = Required<SessionOptions>;

/**
 * Fills in what was not given.
 *
 * @throws {RangeError} a value is out of range
 */
export function sessionLimits(options: SessionOptions): SessionLimits {
  const { world = realWorld } = options;
  const limits = {
    handshakeTimeoutMs: options.handshakeTimeoutMs ?? 5_000,
    streamHeaderTimeoutMs: options.streamHeaderTimeoutMs ?? 5_000,
    maxWaitingStreams: options.maxWaitingStreams ?? 64,
    maxConcurrentStreams: options.maxConcurrentStreams ?? 256,
    keepAliveMs: options.keepAliveMs ?? 500,
    idleTimeoutMs: options.idleTimeoutMs ?? 2_000,
    closeTimeoutMs: options.closeTimeoutMs ?? 500,
  };
  for (const [name, value] of Object.entries(limits)) {
    requirePositive("have a session", name, value);
  }
  return { ...limits, world };
}

/**
 * Refuses an option that is not above 0, and a count that is no integer.
 *
 * @throws {RangeError} with std's kind of message
 */
export function requirePositive(task: string, name: string, value: number): void {
  const isCount = !name.endsWith("Ms");
  if (value > 0 && (!isCount || Number.isInteger(value))) return;
  const kind = isCount ? "a positive integer" : "above 0";
  throw new RangeError(`Cannot ${task} as '${name}' must be ${kind}: current value is ${value}`);
}
