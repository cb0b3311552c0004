/**
 * A link over WebSocket, for networks that let no UDP through: a ping a message, and a heartbeat of
 * its own.
 *
 * @module
 */
import { realWorld, type TimerId, type World } from "../../service/world/world.ts";
import { messageOf, WebTransportError } from "../http3/errors.ts";
import { decodeMessage, encodeMessage, type Ping } from "../protocol/message.ts";
import { closeCodes, websocketCodeBase } from "../protocol/session_terms.ts";
import type WebSocketClient from "../types/ws.d.ts";
import type { ClientOptions } from "../types/ws.d.ts";
import { type Link, type LinkEnd, type LinkOptions, type OnPong, PongInbox } from "./link.ts";
import { checkAnswer, requestFields, sessionUrl } from "./link_request.ts";
import { connectVerified } from "./verified_tls.ts";

/** The most bytes of a message that is taken. */
const maxMessageBytes = 1_048_576;
/** The code of a connection that ended without a close frame (RFC 6455, section 7.1.5). */
const abnormalClosure = 1006;
/** A close reason has at most 123 bytes (RFC 6455, section 5.5): so many characters of three bytes each fit. */
const maxReasonLength = 40;

/** Header fields as Node.js has them. */
type NodeHeaders = Record<string, string | string[] | undefined>;

/**
 * Opens a link over WebSocket.
 *
 * @throws {WebTransportError} `timeout`, `certificate`, `refused` (with the status) or `closed`
 */
export async function openWebSocketLink(options: LinkOptions): Promise<Link> {
  const { target, world = realWorld } = options;
  // Loaded when it is wanted: it reads the environment, which only this mode needs.
  const { default: WebSocket } = await import("ws") as { default: typeof WebSocketClient };
  const nonce = world.randomUuid();
  const port = target.websocketPort ?? target.port;
  const tls = target.websocketTls ?? true;
  const wsOptions: ClientOptions = {
    headers: Object.fromEntries(requestFields(options, nonce)),
    perMessageDeflate: false,
    handshakeTimeout: options.handshakeTimeoutMs ?? 5_000,
    maxPayload: maxMessageBytes,
  };
  if (tls) {
    const socket = await connectVerified(options, port);
    wsOptions.createConnection = () => socket;
  }
  const socket = new WebSocket(sessionUrl(tls ? "wss" : "ws", target, port), wsOptions);
  const link = new WebSocketLink(socket, `${target.host}:${port}/tcp`, options, world);
  await link.open(options, nonce);
  return link;
}

class WebSocketLink implements Link {
  readonly mode = "websocket";
  readonly remote: string;
  readonly closed: Promise<LinkEnd>;
  waiting: number | undefined;
  readonly #socket: WebSocketClient;
  readonly #world: World;
  readonly #timeoutMs: number;
  readonly #inbox = new PongInbox();
  readonly #opened = Promise.withResolvers<NodeHeaders>();
  readonly #closed = Promise.withResolvers<LinkEnd>();
  readonly #heartbeat: TimerId;
  #heardMs: number;
  /** How it ends, from the moment that is known. */
  #ending: LinkEnd | undefined;

  constructor(socket: WebSocketClient, remote: string, options: LinkOptions, world: World) {
    this.#socket = socket;
    this.#world = world;
    this.#timeoutMs = options.heartbeatTimeoutMs ?? 2_000;
    this.#heardMs = world.monotonicMs();
    this.remote = remote;
    this.closed = this.#closed.promise;
    this.#heartbeat = world.setInterval(() => this.#probe(), options.heartbeatMs ?? 500);
    this.#listen();
  }

  /** Waits for the server's answer and judges it. */
  async open(options: LinkOptions, nonce: string): Promise<void> {
    try {
      const fields = await this.#opened.promise;
      this.waiting = checkAnswer(options, nonce, (name) => {
        const value = fields[name];
        return Array.isArray(value) ? value[0] : value;
      });
      if (!this.#isOpen) {
        await new Promise<void>((resolve) => this.#socket.once("open", resolve));
      }
    } catch (error) {
      this.#socket.terminate();
      await this.closed;
      throw error;
    }
  }

  receive(onPong: OnPong): void {
    this.#inbox.receive(onPong);
  }

  send(ping: Ping): Promise<void> {
    return new Promise((resolve, reject) =>
      this.#socket.send(encodeMessage(ping), (error) => error ? reject(error) : resolve())
    );
  }

  async close(code: number, reason: string): Promise<void> {
    this.#ending ??= { by: "us", code, reason };
    this.#socket.close(websocketCodeBase + code, reason.slice(0, maxReasonLength));
    // A peer that is gone does not say goodbye.
    const timer = this.#world.setTimeout(() => this.#socket.terminate(), this.#timeoutMs);
    await this.closed;
    this.#world.clearTimeout(timer);
  }

  get #isOpen(): boolean {
    return this.#socket.readyState === 1;
  }

  #listen(): void {
    const socket = this.#socket;
    socket.binaryType = "nodebuffer";
    socket.on("upgrade", (response) => this.#opened.resolve(response.headers));
    socket.on("unexpected-response", (request, response) => {
      this.#refused(response.statusCode ?? 0);
      request.destroy();
    });
    socket.on("error", (error) => this.#failed(error));
    socket.on("close", (code, reason) => this.#ended(code, reason.toString()));
    socket.on("pong", () => this.#heardMs = this.#world.monotonicMs());
    socket.on("message", (data: Uint8Array) => this.#received(data));
  }

  #received(data: Uint8Array): void {
    this.#heardMs = this.#world.monotonicMs();
    try {
      this.#inbox.put(decodeMessage(data), data.length);
    } catch (error) {
      this.#ending ??= { by: "us", code: closeCodes.malformed, reason: messageOf(error) };
      this.#socket.close(websocketCodeBase + closeCodes.malformed);
    }
  }

  #probe(): void {
    if (this.#world.monotonicMs() - this.#heardMs > this.#timeoutMs) {
      this.#ending ??= { by: "lost", code: 0, reason: `silent for ${this.#timeoutMs} ms` };
      this.#socket.terminate();
    } else if (this.#isOpen) this.#socket.ping();
  }

  #refused(status: number): void {
    const message = `The server refused the session: status ${status}`;
    this.#opened.reject(new WebTransportError("refused", message, { status }));
  }

  #failed(error: Error): void {
    this.#opened.reject(new WebTransportError("closed", `No WebSocket: ${error.message}`));
    this.#ending ??= { by: "lost", code: 0, reason: error.message };
  }

  #ended(code: number, reason: string): void {
    this.#world.clearInterval(this.#heartbeat);
    this.#opened.reject(new WebTransportError("closed", "The WebSocket was closed"));
    this.#closed.resolve(
      this.#ending ?? {
        by: code === abnormalClosure ? "lost" : "peer",
        code: code >= websocketCodeBase ? code - websocketCodeBase : 0,
        reason,
      },
    );
  }
}
