/**
 * The client's ways to a server: one link carries pings in one mode, over WebTransport or, where
 * UDP is blocked, over WebSocket. A link ends once; whoever uses it opens another.
 *
 * @module
 */
import { type Context, propagation } from "@opentelemetry/api";
import type { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { isIP } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type WebSocketClient from "../types/ws.d.ts";
import { equalInConstantTime, serverProof } from "../protocol/token.ts";
import { fieldNames, type Mode, type NamedClient } from "../protocol/session_terms.ts";
import {
  decodeMessage,
  encodeMessage,
  type Message,
  type Ping,
  type Pong,
} from "../protocol/message.ts";
import { encodeFrame, FrameDecoder } from "../protocol/frames.ts";
import type { ClientOptions } from "../types/ws.d.ts";
import {
  ChunkReader,
  connect,
  type Field,
  fieldValue,
  WebTransportError,
  type WebTransportSession,
} from "../http3/mod.ts";

/** A server and where it listens. */
export interface Target {
  /** Host name or address. */
  host: string;
  /** UDP port of WebTransport. */
  port: number;
  /** Path of the session. @default "/" */
  path?: string;
  /** TCP port of WebSocket. @default as `port` */
  websocketPort?: number;
  /** False for `ws:` instead of `wss:`; loopback only. @default true */
  websocketTls?: boolean;
  /** SHA-256 of its certificate, where discovery has told it. @default none */
  pins?: readonly Uint8Array[];
}

/** Whom a client believes. */
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
  mode: Mode;
  target: Target;
  trust: Trust;
  /** The token to show, and to see proved. @default none */
  token?: string;
  /** The name answers are kept for. @default none */
  client?: NamedClient;
  /** Opens a stream for every ping instead of one for all. @default false */
  streamPerPing?: boolean;
  /** How long the transport's handshake may take. @default 3_000 */
  connectTimeoutMs?: number;
  /** How long each step after it may take. @default 5_000 */
  handshakeTimeoutMs?: number;
  /** How often the peer is probed. @default 500 */
  heartbeatMs?: number;
  /** How long it may be silent until it counts as dead. @default 2_000 */
  heartbeatTimeoutMs?: number;
  /** The local UDP endpoint, shared by all links of a client. @default a new one */
  endpoint?: Deno.QuicEndpoint;
  /** Whose trace the server's session joins (W3C Trace Context in the request). @default none */
  context?: Context;
}

/** How a link ended. */
export interface LinkEnd {
  /** Who ended it; `lost` is a connection that died without a word. */
  by: "us" | "peer" | "lost";
  /** One of the close codes, 0 if none was given. */
  code: number;
  /** In words. */
  reason: string;
}

/** A way to a server. */
export interface Link {
  readonly mode: Mode;
  /** Where the server is, as `address:port/udp`. */
  readonly remote: string;
  /** Answers that wait for this client; `undefined` for a server that knows no extensions. */
  readonly waiting: number | undefined;
  /** Settles when the link has ended. */
  readonly closed: Promise<LinkEnd>;
  /** Hands every answer on, with the bytes it took; what came before the call is handed on first. */
  receive(onPong: (pong: Pong, bytes: number) => void): void;
  /** Sends a ping. A rejection says that it did not leave; `closed` says why. */
  send(ping: Ping): Promise<void>;
  /** Ends the link. */
  close(code: number, reason: string): Promise<void>;
}

/**
 * Opens a link.
 *
 * @throws {WebTransportError} whatever the transport: `timeout`, `certificate`, `unsupported`,
 * `refused` (with the HTTP status), `protocol` or `closed`
 */
export function openLink(options: LinkOptions): Promise<Link> {
  return options.mode === "websocket" ? openWebSocketLink(options) : openWebTransportLink(options);
}

const queuedPongs = 1_024;

/** Answers on their way to whoever receives them; they wait until there is one. */
class Inbox {
  #waiting: [Pong, number][] = [];
  #onPong: ((pong: Pong, bytes: number) => void) | undefined;

  receive(onPong: (pong: Pong, bytes: number) => void): void {
    this.#onPong = onPong;
    for (const [pong, bytes] of this.#waiting.splice(0)) onPong(pong, bytes);
  }

  put(message: Message, bytes: number): void {
    // A server asks nothing.
    if (message.kind !== "pong") return;
    if (this.#onPong) this.#onPong(message, bytes);
    // More than any mailbox gives: such a ping is sent again and answered again.
    else if (this.#waiting.length < queuedPongs) this.#waiting.push([message, bytes]);
  }
}

async function openWebTransportLink(options: LinkOptions): Promise<Link> {
  const { target, trust, mode } = options;
  const nonce = crypto.randomUUID();
  const pins = trust.pins ?? target.pins;
  const open = (hashes: readonly Uint8Array[] | undefined) =>
    connect(urlOf("https", target, target.port), {
      fields: requestFields(options, nonce),
      ...(hashes && { certificateHashes: hashes }),
      ...(trust.caCerts && { caCerts: trust.caCerts }),
      ...(options.endpoint && { endpoint: options.endpoint }),
      ...(options.connectTimeoutMs && { connectTimeoutMs: options.connectTimeoutMs }),
      ...(options.handshakeTimeoutMs && { handshakeTimeoutMs: options.handshakeTimeoutMs }),
      ...(options.heartbeatMs && { keepAliveMs: options.heartbeatMs }),
      ...(options.heartbeatTimeoutMs && { idleTimeoutMs: options.heartbeatTimeoutMs }),
    });
  const session = await open(pins).catch(async (error) => {
    const isUnknown = error instanceof WebTransportError && error.kind === "certificate";
    if (!trust.insecure || !isUnknown) throw error;
    return await open([await shownCertificateHash(options, error)]);
  });
  try {
    const field = (name: string) => fieldValue(session.responseFields, name);
    requireProof(options, nonce, field(fieldNames.proof));
    const inbox = new Inbox();
    const send = await openChannel(session, options, inbox);
    return {
      mode,
      remote: `${hostOf(session.remoteAddr)}/udp`,
      waiting: countOf(field(fieldNames.mailbox)),
      closed: session.closed.then(({ by, closeCode, reason }) => ({ by, code: closeCode, reason })),
      receive: (onPong) => inbox.receive(onPong),
      send,
      close: (closeCode, reason) => session.close({ closeCode, reason }),
    };
  } catch (error) {
    await session.close({ reason: "no channel" });
    throw error;
  }
}

/**
 * Whatever certificate the server shows. Deno's QUIC checks them before we see them, and believes
 * any only when the whole process does; but it takes one by its hash, which TLS on the TCP port tells.
 */
async function shownCertificateHash(
  options: LinkOptions,
  refusal: WebTransportError,
): Promise<Uint8Array> {
  const port = options.target.websocketPort ?? options.target.port;
  let socket: TLSSocket;
  try {
    socket = await connectVerified(options, port);
  } catch (error) {
    throw new WebTransportError(
      "certificate",
      `${refusal.message}; and what certificate it has cannot be asked over TCP: ${
        reasonOf(error)
      }`,
      { cause: refusal },
    );
  }
  const hash = shownHash(socket);
  socket.destroy();
  if (!hash) throw refusal;
  return hash;
}

function shownHash(socket: TLSSocket): Buffer | undefined {
  const { raw } = socket.getPeerCertificate();
  return raw && createHash("sha256").update(raw).digest();
}

type Send = (ping: Ping) => Promise<void>;

async function openChannel(
  session: WebTransportSession,
  options: LinkOptions,
  inbox: Inbox,
): Promise<Send> {
  const { mode, streamPerPing = false } = options;
  if (mode === "datagram") {
    readDatagrams(session, inbox);
    return (ping) => session.sendDatagram(encodeMessage(ping));
  }
  if (mode === "bidi") {
    return streamPerPing
      ? (ping) => sendOnOwnStream(session, ping, inbox)
      : await openBidirectional(session, inbox);
  }
  return streamPerPing
    ? openUnidirectionalPerPing(session, inbox)
    : await openUnidirectional(session, options, inbox);
}

async function openBidirectional(session: WebTransportSession, inbox: Inbox): Promise<Send> {
  const stream = await session.createBidirectionalStream();
  const writer = stream.writable.getWriter();
  receiveFrames(session, stream.readable, inbox);
  return (ping) => writer.write(encodeFrame(ping));
}

async function sendOnOwnStream(
  session: WebTransportSession,
  ping: Ping,
  inbox: Inbox,
): Promise<void> {
  const stream = await session.createBidirectionalStream();
  const writer = stream.writable.getWriter();
  await writer.write(encodeFrame(ping));
  await writer.close();
  receiveFrames(session, stream.readable, inbox, { forOnePing: true });
}

async function openUnidirectional(
  session: WebTransportSession,
  options: LinkOptions,
  inbox: Inbox,
): Promise<Send> {
  const writer = (await session.createUnidirectionalStream()).getWriter();
  const incoming = session.incomingUnidirectionalStreams.getReader();
  const timeoutMs = options.handshakeTimeoutMs ?? 5_000;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new WebTransportError("timeout", `The server opened no stream within ${timeoutMs} ms`),
        ),
      timeoutMs,
    );
  });
  try {
    const { value: stream } = await Promise.race([incoming.read(), late]);
    if (!stream) throw new WebTransportError("closed", "The session ended before its first stream");
    receiveFrames(session, stream, inbox);
  } finally {
    clearTimeout(timer);
    incoming.releaseLock();
  }
  return (ping) => writer.write(encodeFrame(ping));
}

function openUnidirectionalPerPing(session: WebTransportSession, inbox: Inbox): Send {
  (async () => {
    for await (const stream of session.incomingUnidirectionalStreams) {
      receiveFrames(session, stream, inbox);
    }
  })();
  return async (ping) => {
    const writer = (await session.createUnidirectionalStream()).getWriter();
    await writer.write(encodeFrame(ping));
    await writer.close();
  };
}

/**
 * Reads answers until the stream ends; bytes that are none end the session, and so does the end
 * of a stream that is there for all pings.
 */
async function receiveFrames(
  session: WebTransportSession,
  readable: ReadableStream<Uint8Array>,
  inbox: Inbox,
  { forOnePing = false } = {},
): Promise<void> {
  const decoder = new FrameDecoder();
  const reader = new ChunkReader(readable);
  try {
    for (let chunk = await reader.read(); chunk; chunk = await reader.read()) {
      const { length } = chunk;
      decoder.push(chunk, (message) => inbox.put(message, length));
    }
    if (!forOnePing) await session.close({ reason: "the server has ended its stream" });
  } catch (error) {
    // If the stream broke off with its session this changes nothing; otherwise it is the end too:
    // what was to come on it never will, and a new session gets it.
    await session.close({ closeCode: 400, reason: reasonOf(error) });
  }
}

async function readDatagrams(session: WebTransportSession, inbox: Inbox): Promise<void> {
  while (true) {
    const datagram = await session.readDatagram();
    if (datagram === undefined) return;
    try {
      inbox.put(decodeMessage(datagram), datagram.length);
    } catch {
      // A datagram that is no message is as good as lost.
    }
  }
}

async function openWebSocketLink(options: LinkOptions): Promise<Link> {
  const { target, heartbeatMs = 500, heartbeatTimeoutMs = 2_000 } = options;
  // Loaded when it is wanted: it reads the environment, which only this mode needs.
  const { default: WebSocket } = await import("ws") as { default: typeof WebSocketClient };
  const nonce = crypto.randomUUID();
  const port = target.websocketPort ?? target.port;
  const tls = target.websocketTls ?? true;
  const headers = Object.fromEntries(requestFields(options, nonce));
  const wsOptions: ClientOptions = {
    headers,
    perMessageDeflate: false,
    handshakeTimeout: options.handshakeTimeoutMs ?? 5_000,
    maxPayload: 1_048_576,
  };
  if (tls) {
    const socket = await connectVerified(options, port);
    wsOptions.createConnection = () => socket;
  }
  const socket = new WebSocket(urlOf(tls ? "wss" : "ws", target, port), wsOptions);
  const inbox = new Inbox();
  const closed = Promise.withResolvers<LinkEnd>();
  const opened = Promise.withResolvers<Record<string, string | string[] | undefined>>();
  let heardMs = performance.now();
  let ending: LinkEnd | undefined;

  socket.binaryType = "nodebuffer";
  socket.on("upgrade", (response) => opened.resolve(response.headers));
  socket.on("unexpected-response", (request, response) => {
    const status = response.statusCode ?? 0;
    opened.reject(
      new WebTransportError("refused", `The server refused the session: status ${status}`, {
        status,
      }),
    );
    request.destroy();
  });
  socket.on("error", (error) => {
    opened.reject(new WebTransportError("closed", `No WebSocket: ${error.message}`));
    ending ??= { by: "lost", code: 0, reason: error.message };
  });
  socket.on("close", (code, reason) => {
    clearInterval(heartbeat);
    opened.reject(new WebTransportError("closed", "The WebSocket was closed"));
    const by = code === 1006 ? "lost" : "peer";
    closed.resolve(
      ending ?? { by, code: code >= 4_000 ? code - 4_000 : 0, reason: reason.toString() },
    );
  });
  socket.on("pong", () => heardMs = performance.now());
  socket.on("message", (data: Uint8Array) => {
    heardMs = performance.now();
    try {
      inbox.put(decodeMessage(data), data.length);
    } catch (error) {
      ending ??= { by: "us", code: 400, reason: reasonOf(error) };
      socket.close(4_400);
    }
  });
  const heartbeat = setInterval(() => {
    if (performance.now() - heardMs > heartbeatTimeoutMs) {
      ending ??= { by: "lost", code: 0, reason: `silent for ${heartbeatTimeoutMs} ms` };
      socket.terminate();
    } else if (socket.readyState === WebSocket.OPEN) socket.ping();
  }, heartbeatMs);

  try {
    const fields = await opened.promise;
    const field = (name: string) => {
      const value = fields[name];
      return Array.isArray(value) ? value[0] : value;
    };
    requireProof(options, nonce, field(fieldNames.proof));
    if (socket.readyState !== WebSocket.OPEN) {
      await new Promise<void>((resolve) => socket.once("open", resolve));
    }
    return {
      mode: "websocket",
      remote: `${target.host}:${port}/tcp`,
      waiting: countOf(field(fieldNames.mailbox)),
      closed: closed.promise,
      receive: (onPong) => inbox.receive(onPong),
      send: (ping) =>
        new Promise((resolve, reject) =>
          socket.send(encodeMessage(ping), (error) => error ? reject(error) : resolve())
        ),
      async close(code, reason) {
        ending ??= { by: "us", code, reason };
        socket.close(4_000 + code, reason.slice(0, 40));
        // A peer that is gone does not say goodbye.
        const timer = setTimeout(() => socket.terminate(), heartbeatTimeoutMs);
        await closed.promise;
        clearTimeout(timer);
      },
    };
  } catch (error) {
    socket.terminate();
    await closed.promise;
    throw error;
  }
}

/** A TLS connection whose certificate was checked before anything is said on it. */
export function connectVerified(
  { target, trust, connectTimeoutMs = 3_000 }: Pick<
    LinkOptions,
    "target" | "trust" | "connectTimeoutMs"
  >,
  port: number,
): Promise<TLSSocket> {
  const pins = trust.pins ?? target.pins;
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  const socket = connectTls({
    host: target.host,
    port,
    ...(isIP(target.host) === 0 && { servername: target.host }),
    ALPNProtocols: ["http/1.1"],
    // With pins the hash decides, below; the chain says nothing about a self-signed certificate.
    rejectUnauthorized: !pins && !trust.insecure,
    ...(trust.caCerts && { ca: [...trust.caCerts] }),
  });
  const where = `${target.host} port ${port}/tcp`;
  const timer = setTimeout(() => {
    reject(
      new WebTransportError("timeout", `No answer from ${where} within ${connectTimeoutMs} ms`),
    );
    socket.destroy();
  }, connectTimeoutMs);
  socket.once("secureConnect", () => {
    clearTimeout(timer);
    const hash = shownHash(socket);
    if (pins && !pins.some((pin) => hash?.equals(pin))) {
      reject(
        new WebTransportError("certificate", `${where} shows a certificate that is not pinned`),
      );
      socket.destroy();
    } else {
      resolve(socket);
    }
  });
  socket.on("error", (error) => {
    clearTimeout(timer);
    const code = /certificate|issuer|self.signed/i.test(error.message) ? "certificate" : "closed";
    reject(
      new WebTransportError(code, `Cannot connect to ${where}: ${error.message}`, { cause: error }),
    );
  });
  return promise;
}

function requestFields({ token, client, context }: LinkOptions, nonce: string): Field[] {
  const carrier: Record<string, string> = {};
  if (context) propagation.inject(context, carrier);
  const fields: Field[] = Object.entries(carrier);
  if (client) fields.push([fieldNames.client, client.name], [fieldNames.run, client.run]);
  if (token !== undefined) {
    fields.push(["authorization", `Bearer ${token}`], [fieldNames.nonce, nonce]);
  }
  return fields;
}

/** With a token the server must show that it knows it too, before any ping. */
function requireProof({ token }: LinkOptions, nonce: string, proof: string | undefined): void {
  if (token === undefined || equalInConstantTime(proof ?? "", serverProof(token, nonce))) return;
  throw new WebTransportError("refused", "The server did not prove that it knows the token", {
    status: 401,
  });
}

function countOf(field: string | undefined): number | undefined {
  return field !== undefined && /^\d{1,9}$/.test(field) ? Number(field) : undefined;
}

function urlOf(scheme: string, target: Target, port: number): string {
  const host = isIP(target.host) === 6 ? `[${target.host}]` : target.host;
  return `${scheme}://${host}:${port}${target.path ?? "/"}`;
}

function hostOf({ hostname, port }: Deno.NetAddr): string {
  return `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
