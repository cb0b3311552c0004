/**
 * What goes wrong in WebTransport over HTTP/3: one error class with one field to decide by, and the
 * error codes of HTTP/3 that this layer sends.
 *
 * @module
 */
import { reasonOf } from "../../service/resilience.ts";
import type { CloseInfo } from "./webtransport.ts";

/** What went wrong. */
export type WebTransportErrorKind =
  /** A step took longer than its time-out, or nothing answers there. */
  | "timeout"
  /** The server's certificate is neither pinned nor trusted. */
  | "certificate"
  /** The peer does not speak WebTransport over HTTP/3. */
  | "unsupported"
  /** The server answered with a status other than 2xx: see {@linkcode WebTransportError.status}. */
  | "refused"
  /** The peer broke the protocol. */
  | "protocol"
  /** The session is over. */
  | "closed"
  /** The datagram is larger than the path carries. */
  | "datagram-too-large";

/**
 * An error of this layer, with what a program needs to decide.
 *
 * @example
 * ```ts
 * try {
 *   await connect("https://ping.example:4433/");
 * } catch (error) {
 *   if (error instanceof WebTransportError && error.kind === "refused") console.log(error.status);
 *   else throw error;
 * }
 * ```
 */
export class WebTransportError extends Error {
  /** Its name in stack traces. */
  override name = "WebTransportError";
  /** What went wrong. */
  readonly kind: WebTransportErrorKind;
  /** The HTTP status, for `refused`. */
  readonly status: number | undefined;
  /** The most bytes that would do, for `datagram-too-large`. */
  readonly maxBytes: number | undefined;

  /** Makes one; `cause` is what QUIC's side threw. */
  constructor(
    kind: WebTransportErrorKind,
    message: string,
    options: ErrorOptions & { status?: number; maxBytes?: number } = {},
  ) {
    super(message, options);
    this.kind = kind;
    this.status = options.status;
    this.maxBytes = options.maxBytes;
  }
}

/** The error codes of HTTP/3 that are sent from here (RFC 9114, section 8.1). */
export const h3Codes = {
  /** All is well. */
  noError: 0x100,
  /** A stream that may not be opened. */
  streamCreationError: 0x103,
  /** A stream that must stay open was closed. */
  closedCriticalStream: 0x104,
  /** A frame where it may not be. */
  frameUnexpected: 0x105,
  /** SETTINGS that cannot be. */
  settingsError: 0x109,
  /** SETTINGS did not come first. */
  missingSettings: 0x10a,
} as const;

/** How the peer broke HTTP/3: the connection is closed with the code. */
export interface Violation {
  /** One of {@linkcode h3Codes}. */
  code: number;
  /** In words. */
  what: string;
}

/** What an error says: one of ours says it whole, of any other it is the innermost cause. */
export function messageOf(error: unknown): string {
  return error instanceof WebTransportError ? error.message : reasonOf(error);
}

/** The error of a call on a session that has ended. */
export function closedError({ by, closeCode, reason }: CloseInfo): WebTransportError {
  const who = by === "us" ? "we closed it" : by === "peer" ? "the peer closed it" : "it was lost";
  const why = reason === "" ? `code ${closeCode}` : `code ${closeCode}, ${reason}`;
  return new WebTransportError("closed", `The session is over: ${who} (${why})`);
}

/** An error of Deno's QUIC, which has no field to tell one from the other: its message has to do. */
export function quicError(error: unknown, what: string): WebTransportError {
  const reason = reasonOf(error);
  const kind = /certificate/i.test(reason)
    ? "certificate"
    : /timed out/.test(reason)
    ? "timeout"
    : /no_application_protocol|application protocol/i.test(reason)
    ? "unsupported"
    : "closed";
  return new WebTransportError(kind, `${what}: ${reason}`, { cause: error });
}
