/**
 * What client and server agree on about a session: its modes, the header fields of its request and
 * answer, and the codes it is closed with.
 *
 * @module
 */

/** How pings travel. */
export type Mode = "bidi" | "uni" | "datagram" | "websocket";

/** The codes a session is closed with. None is 0: so ends a process that says nothing, too. */
export const closeCodes = {
  /** The client is done; nothing need be kept for it. */
  done: 200,
  /** The peer sent what is no message. */
  malformed: 400,
  /** Another session of the same client has come. */
  replaced: 409,
  /** The server ends; come back. */
  goingAway: 503,
} as const;

/** WebSocket close codes of our own begin here (RFC 6455, section 7.4.2). */
export const websocketCodeBase = 4_000;

/** The header fields with which our peers know each other; a URL's query has the same names. */
export const fieldNames = {
  /** The name of a client, for which answers are kept. */
  client: "pingpong-client",
  /** The run of that client: ids and numbers are its own. */
  run: "pingpong-run",
  /** From a server: how many answers wait; its presence says that it knows extensions. */
  mailbox: "pingpong-mailbox",
  /** From a client: what the server is to prove with that it knows the token too. */
  nonce: "pingpong-nonce",
  /** From a server: the proof. */
  proof: "pingpong-proof",
} as const;

/** Which client a session is with. */
export interface NamedClient {
  /** What the client calls itself: 8 to 64 letters, digits, `.`, `_`, `~` or `-`. */
  name: string;
  /** One run of its program: 8 to 64 of the same. */
  run: string;
}

/** Whether a name or run may be used: long enough not to be met by chance, short enough to keep. */
export function isClientName(name: string): boolean {
  return /^[A-Za-z0-9._~-]{8,64}$/.test(name);
}
