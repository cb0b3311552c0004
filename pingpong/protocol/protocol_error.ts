/**
 * Why bytes are no message.
 *
 * @module
 */

/** Why bytes are no message. */
export type ProtocolErrorKind =
  /** A frame says that it has no bytes. */
  | "empty-frame"
  /** A frame says that it is longer than the limit. */
  | "frame-too-large"
  /** A field reaches beyond its message, or the stream ends in the middle of a frame. */
  | "truncated"
  /** A tag that is neither ping nor pong. */
  | "unknown-tag"
  /** A message type that is neither ping nor pong. */
  | "unknown-message-type"
  /** Data that is no UTF-8. */
  | "bad-utf8";

/** Bytes that are no message. */
export class ProtocolError extends Error {
  override name = "ProtocolError";
  /** Why. */
  readonly kind: ProtocolErrorKind;

  constructor(kind: ProtocolErrorKind, message: string) {
    super(message);
    this.kind = kind;
  }
}
