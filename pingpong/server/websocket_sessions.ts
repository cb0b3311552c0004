/**
 * Ping-pong over WebSocket, for networks that let no UDP through.
 *
 * @module
 */
import type { Context } from "@opentelemetry/api";
import { upgradeWebSocket } from "../../service/http_upgrade.ts";
import { problemResponse } from "../../service/problem.ts";
import { closeCodes, websocketCodeBase } from "../protocol/session_terms.ts";
import type { Access, AccessRequest, RefusedSession } from "./access.ts";
import { type Answering, contextOf } from "./answering.ts";
import { answerMessage, messageIn } from "./webtransport_channels.ts";

/** Options of {@linkcode WebSocketSessions}. */
export interface WebSocketSessionsOptions {
  /** Answers the pings. */
  answering: Answering;
  /** Decides about every request for a session. */
  decide: (request: AccessRequest) => Access;
  /** Hears of each request that is refused. */
  onRefused: (refusal: RefusedSession) => void;
  /** The most bytes of a message, at least 1. @default 1_048_576 */
  maxFrameBytes?: number;
  /** Sessions at once, at least 1; one more is answered 503. @default 4_096 */
  maxSessions?: number;
  /**
   * A peer that has sent nothing for so long, pongs to our pings included, is dead; in milliseconds,
   * above 0, and to the second.
   *
   * @default 2_000
   */
  idleTimeoutMs?: number;
  /** Bytes of answers that wait for a peer that does not read; beyond that it is cut. @default 1_048_576 */
  maxBufferedBytes?: number;
}

/** A close reason has at most 123 bytes (RFC 6455, section 5.5): so many characters of three bytes each fit. */
const maxReasonLength = 40;

/** The WebSocket sessions of a server. */
export class WebSocketSessions {
  readonly #options: Required<WebSocketSessionsOptions>;
  readonly #sockets = new Set<WebSocket>();
  #onEmpty = () => {};

  constructor(options: WebSocketSessionsOptions) {
    this.#options = {
      maxFrameBytes: 1_048_576,
      maxSessions: 4_096,
      idleTimeoutMs: 2_000,
      maxBufferedBytes: 1_048_576,
      ...options,
    };
  }

  /** Answers a request for a session: by an upgrade, or by why there is none. */
  async upgrade(request: Request): Promise<Response> {
    const { decide, maxSessions, maxFrameBytes, idleTimeoutMs, onRefused } = this.#options;
    const header = (name: string) => request.headers.get(name) ?? undefined;
    const url = new URL(request.url);
    const access = decide({
      path: url.pathname + url.search,
      authority: url.host,
      origin: header("origin"),
      header,
    });
    if (access.status !== 200) {
      onRefused({ transport: "websocket", ...access });
      return problemResponse(access.status, { title: "Session refused", detail: access.reason });
    }
    if (this.#sockets.size >= maxSessions) {
      onRefused({ transport: "websocket", status: 503, reason: `${maxSessions} are open` });
      return problemResponse(503, {
        title: "Overloaded",
        detail: `${maxSessions} sessions are open already. Try again later.`,
      }, { "retry-after": "1" });
    }
    // Its headers are gone once it is upgraded.
    const traced = contextOf(header);
    const { socket, response } = await upgradeWebSocket(request, {
      idleTimeoutS: idleTimeoutMs / 1_000,
      // What is larger by little is closed by the contract's own code.
      maxMessageBytes: 2 * maxFrameBytes,
      headers: access.fields,
    });
    this.#answer(socket, access, traced);
    return response;
  }

  /** Ends all sessions, and resolves when their peers have; one in its handshake ends with its listener. */
  close(code: number, reason: string): Promise<void> {
    for (const socket of this.#sockets) closeSocket(socket, code, reason);
    if (this.#sockets.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onEmpty = resolve);
  }

  #answer(socket: WebSocket, access: Access & { status: 200 }, traced: Context): void {
    const { answering, maxFrameBytes, maxBufferedBytes } = this.#options;
    const close = (code: number, reason: string) => closeSocket(socket, code, reason);
    const answers = answering.begin("websocket", access.client, close, traced);
    this.#sockets.add(socket);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      for (const frame of answers.takeWaiting()) socket.send(messageIn(frame) as BufferSource);
    };
    socket.onmessage = ({ data }) => {
      // The original knows no text messages; ours send none.
      if (!(data instanceof ArrayBuffer)) {
        return close(closeCodes.malformed, "not a binary message");
      }
      if (data.byteLength > maxFrameBytes) return close(closeCodes.malformed, "message too large");
      for (const pong of answerMessage(new Uint8Array(data), answers, "websocket")) {
        if (socket.readyState === WebSocket.OPEN) socket.send(pong as BufferSource);
      }
      if (socket.bufferedAmount > maxBufferedBytes) close(closeCodes.malformed, "answers not read");
    };
    socket.onclose = ({ code }) => {
      this.#sockets.delete(socket);
      answers.end(code === websocketCodeBase + closeCodes.done);
      if (this.#sockets.size === 0) this.#onEmpty();
    };
  }
}

function closeSocket(socket: WebSocket, code: number, reason: string): void {
  if (socket.readyState !== WebSocket.OPEN) return;
  socket.close(websocketCodeBase + code, reason.slice(0, maxReasonLength));
}
