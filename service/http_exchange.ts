/**
 * What a server sees of a connection and of a request on it, whichever version of HTTP they speak.
 *
 * @module
 */
import type { RequestSource } from "./http1/incoming_request.ts";

/** How long each thing may take, in milliseconds. */
export interface ConnectionTimeouts {
  /** A request's line and header, from the connection's first moment for the first one; then 408. */
  readonly headerTimeoutMs: number;
  /** A whole request, and the rest of one that was answered before it had come whole. */
  readonly requestTimeoutMs: number;
  /** Waiting for the next request. */
  readonly idleTimeoutMs: number;
  /** A peer's taking nothing of its answer. */
  readonly writeTimeoutMs: number;
}

/** How long a request that has been answered may go on sending a body that nobody reads, in milliseconds. */
export const lingerTimeoutMs = 5_000;

/** A request and its answer. */
export interface HttpExchange extends RequestSource {
  /** Who asks. */
  readonly peer: Deno.NetAddr;
  /** The client waits for a word before it sends the body. */
  readonly awaitsBody: boolean;
  /** Answers; of two answers the first is it. */
  answer(response: Response): void;
}

/** A connection. */
export interface HttpConnection {
  readonly peer: Deno.NetAddr;
  /** Whether nothing is asked on it. */
  readonly isIdle: boolean;
  /** Since when it has done nothing, in milliseconds. */
  readonly idleSinceMs: number;
  /** Ends it: what is on its way to the peer still gets there. */
  end(): void;
  /** Ends it at once. */
  cut(): void;
  /** Ends what has taken too long. */
  look(nowMs: number): void;
}

/** What a connection tells its server. */
export interface ConnectionOwner {
  readonly timeouts: ConnectionTimeouts;
  /** No connection goes on behind the answer that is under way. */
  readonly isDraining: boolean;
  monotonicMs(): number;
  /** A request is to be answered, by {@linkcode HttpExchange.answer}. */
  handle(exchange: HttpExchange): void;
  /** Whether the answer is one whose head was sent already, with the socket that goes on. */
  isUpgraded(response: Response): boolean;
  /** It speaks HTTP/2 from its first byte, without TLS. */
  onHttp2(): void;
  /** It, or an answer on it, was cut: what its peer does is no use of a server. */
  onCut(connection: HttpConnection, reason: string): void;
  /** It is HTTP's no longer: closed, or a WebSocket. */
  onEnd(connection: HttpConnection): void;
}

/** Why a connection was cut whose peer reads nothing. */
export const takesNothing = "its peer takes nothing";
