/**
 * One connection of an HTTP/2 server (RFC 9113): frames and their flow are `node:http2`'s, each stream
 * is a request that is handled as one of HTTP/1.1, and every wait has its end. A page that is open in
 * twenty tabs, each with a stream of its own, has one such connection; HTTP/1.1 has six in all.
 *
 * @module
 */
import type http2 from "node:http2";
import type { Socket } from "node:net";
import { clientPrefaceBytes, withoutGoaway } from "../goaway_filter.ts";
import { type ConnectionOwner, lingerTimeoutMs, takesNothing } from "../http_exchange.ts";
import { problemResponse } from "../problem.ts";
import { type ExchangeOwner, Http2Exchange, tooLarge } from "./exchange.ts";
import { nodeHttp2 } from "./node_http2.ts";

/** Requests of one connection at once: those beyond it wait at the client. */
const maxConcurrentStreams = 100;

/** What all bodies of a connection together may have sent that nobody has read yet, in bytes. */
const windowBytes = 1_048_576;

/**
 * Requests that a client may take back before they are answered, and how many of them are forgotten
 * in a second: each costs the server a whole request and the client nothing (CVE-2023-44487). A page
 * that is closed takes back what it had open.
 */
const maxTakenBack = 300;
const forgottenPerSecond = 100;

/** A connection. */
export class Http2Connection implements ExchangeOwner {
  readonly peer: Deno.NetAddr;
  readonly #owner: ConnectionOwner;
  readonly #socket: Socket;
  readonly #session: http2.ServerHttp2Session;
  readonly #exchanges = new Set<Http2Exchange>();
  /** Whether a request has come yet. */
  #hasBegun = false;
  #sinceMs: number;
  #takenBack = 0;
  #lookedMs: number;
  /** Since when its peer has been told that it ends. */
  #endingSinceMs: number | undefined;

  constructor(socket: Socket, owner: ConnectionOwner) {
    this.#socket = socket;
    this.#owner = owner;
    const { remoteAddress: hostname = "", remotePort: port = 0 } = socket;
    this.peer = { transport: "tcp", hostname, port };
    this.#sinceMs = this.#lookedMs = owner.monotonicMs();
    const frames = withoutGoaway(socket, { skipBytes: clientPrefaceBytes });
    frames.once("close", () => owner.onEnd(this));
    const session = nodeHttp2().performServerHandshake(frames, {
      settings: { maxConcurrentStreams, enablePush: false },
    });
    // Always followed by `close`; a peer that breaks off ends its own connection only.
    session.on("error", () => {});
    session.once("close", () => owner.onEnd(this));
    session.setLocalWindowSize(windowBytes);
    session.on("stream", (stream, headers) => this.#begin(stream, headers));
    this.#session = session;
  }

  get isIdle(): boolean {
    return this.#exchanges.size === 0;
  }

  get idleSinceMs(): number {
    return this.#sinceMs;
  }

  monotonicMs(): number {
    return this.#owner.monotonicMs();
  }

  end(): void {
    this.#endingSinceMs ??= this.monotonicMs();
    this.#session.close();
  }

  cut(): void {
    this.#session.destroy();
    this.#socket.destroy();
  }

  look(nowMs: number): void {
    const { headerTimeoutMs, idleTimeoutMs } = this.#owner.timeouts;
    this.#takenBack -= Math.min(
      this.#takenBack,
      (nowMs - this.#lookedMs) / 1_000 * forgottenPerSecond,
    );
    this.#lookedMs = nowMs;
    const waitedMs = nowMs - this.#sinceMs;
    const leastMs = this.#hasBegun ? idleTimeoutMs : headerTimeoutMs;
    if (this.isIdle && this.#endingSinceMs !== undefined) {
      // A peer that holds its half open would keep a descriptor for ever.
      if (nowMs - this.#endingSinceMs > lingerTimeoutMs) this.cut();
    } else if (this.isIdle && waitedMs > leastMs) this.end();
    for (const exchange of this.#exchanges) this.#lookAt(exchange, nowMs);
  }

  onClose(exchange: Http2Exchange): void {
    this.#exchanges.delete(exchange);
    this.#sinceMs = this.monotonicMs();
    if (
      exchange.stream.aborted && exchange.stream.rstCode !== nodeHttp2().constants.NGHTTP2_NO_ERROR
    ) {
      this.#takeBack();
    }
    if (this.isIdle && this.#owner.isDraining) this.end();
  }

  #begin(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
    this.#hasBegun = true;
    const exchange = new Http2Exchange(stream, headers, this);
    this.#exchanges.add(exchange);
    const refusal = tooLarge(exchange.head);
    if (refusal) exchange.answer(refusal);
    else this.#owner.handle(exchange);
  }

  #lookAt(exchange: Http2Exchange, nowMs: number): void {
    const { requestTimeoutMs, writeTimeoutMs } = this.#owner.timeouts;
    const { stream, body, answeredMs, stuckSinceMs } = exchange;
    if (stuckSinceMs !== undefined && nowMs - stuckSinceMs >= writeTimeoutMs) {
      this.#owner.onCut(this, takesNothing);
      // Where not even frames get out, no word of a stream's end does.
      if (this.#socket.writableLength > 0) this.cut();
      else stream.close(nodeHttp2().constants.NGHTTP2_CANCEL);
    } else if (!body || body.isComplete) {
      return;
    } else if (answeredMs !== undefined) {
      const lingerMs = Math.min(lingerTimeoutMs, requestTimeoutMs);
      if (nowMs - answeredMs > lingerMs) stream.close(nodeHttp2().constants.NGHTTP2_NO_ERROR);
    } else if (nowMs - exchange.sinceMs > requestTimeoutMs) {
      exchange.answer(problemResponse(408, {
        title: "Request Timeout",
        detail: "The request did not arrive in time. Send it again, whole.",
      }));
    }
  }

  #takeBack(): void {
    if (++this.#takenBack <= maxTakenBack) return;
    this.#owner.onCut(this, "its peer takes back what it asks, again and again");
    // Without an error node:http2 takes the code for none.
    const reason = new Error("Too many requests were taken back");
    this.#session.destroy(reason, nodeHttp2().constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }
}
