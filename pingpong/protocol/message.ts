/**
 * The messages of ping-pong.
 *
 * A message is bincode 1.3 in its default form (little-endian, fixed-width integers, u64 lengths,
 * u32 enum tags):
 *
 * | field | bytes |
 * |---|---|
 * | tag | u32: 0 ping, 1 pong |
 * | id | u64 length, bytes; opaque |
 * | request id, pongs only | u64 length, bytes: the ping's id |
 * | message type | u32: 0 ping, 1 pong |
 * | data | u64 length, UTF-8 |
 *
 * In a datagram and in a WebSocket message it stands alone; for streams see `frames.ts`.
 *
 * Peers that have said that they are ours exchange an {@linkcode Extension} behind the message:
 * bincode's default decoder leaves bytes there unread, so even a peer that is not ours ignores it.
 *
 * @module
 */
import {
  type Cursor,
  put,
  putU32,
  putU64,
  putWithLength,
  takeBytes,
  takeText,
  takeU32,
  u64At,
} from "./cursor.ts";
import { ProtocolError } from "./protocol_error.ts";

/** A message, and what our own peers add to it. */
export type Message = Ping | Pong;

/** A request. */
export interface Ping {
  /** What it is. */
  kind: "ping";
  /** Opaque to the peer; ours are unique. */
  id: Uint8Array;
  /** The text. */
  data: string;
  /** For peers of ours only. */
  extension?: Extension;
}

/** An answer. */
export interface Pong {
  /** What it is. */
  kind: "pong";
  /** Opaque; the SHA-256 hash of the text. */
  id: Uint8Array;
  /** The id of the ping it answers. */
  requestId: Uint8Array;
  /** The text. */
  data: string;
  /** For peers of ours only. */
  extension?: Extension;
}

/**
 * What our peers tell each other behind a message: 4 bytes `PPX1`, a byte of flags (1: trace
 * context follows, 2: from the mailbox, 4: the mailbox has been received, 8: a pong of the ping's
 * size is wanted), `seq` and `ackBelow` as
 * u64 little-endian, and, if flagged, 16 bytes trace id, 8 bytes span id, 1 byte trace flags.
 */
export interface Extension {
  /** The ping's number in this run of the client, from 0. */
  seq: number;
  /** Every ping below this number needs no answer any more. */
  ackBelow: number;
  /** A pong that was kept for a client that had gone. @default false */
  fromMailbox?: boolean;
  /** A ping: all that was in the mailbox at the session's start has arrived. @default false */
  mailboxReceived?: boolean;
  /** A ping: its pong's text is to have as many bytes as its own, where they can be sent. @default false */
  sizedPong?: boolean;
  /** The W3C trace context of the ping. @default none */
  trace?: TraceContext;
}

/** A span, as W3C Trace Context has it. */
export interface TraceContext {
  /** 32 hexadecimal digits. */
  traceId: string;
  /** 16 hexadecimal digits. */
  spanId: string;
  /** Bit 0: sampled. */
  traceFlags: number;
}

const tags = { ping: 0, pong: 1 } as const;
const extensionMagic = Uint8Array.from("PPX1", (letter) => letter.charCodeAt(0));
const extensionBytes = 21;
const traceBytes = 25;
const traceFlag = 1;
const fromMailboxFlag = 2;
const mailboxReceivedFlag = 4;
const sizedPongFlag = 8;

const utf8 = new TextEncoder();

/**
 * Encodes a message as it stands in a datagram or a WebSocket message.
 *
 * @example
 * ```ts
 * encodeMessage({ kind: "ping", id: new PingIds().id(0), data: "Ping!" }); // 61 bytes
 * ```
 */
export function encodeMessage(message: Message): Uint8Array<ArrayBuffer> {
  return encodeAt(message, 0);
}

/** Encodes a message behind `start` bytes that are left free. */
export function encodeAt(message: Message, start: number): Uint8Array<ArrayBuffer> {
  const { id, data, extension } = message;
  const requestId = message.kind === "pong" ? message.requestId : undefined;
  const text = encodeText(data);
  const bytes = new Uint8Array(
    start + 4 + 8 + id.length + (requestId ? 8 + requestId.length : 0) + 4 + 8 + text.length +
      (extension ? extensionBytes + (extension.trace ? traceBytes : 0) : 0),
  );
  const to: Cursor = { bytes, at: start };
  putU32(to, tags[message.kind]);
  putWithLength(to, id);
  if (requestId) putWithLength(to, requestId);
  putU32(to, tags[message.kind]);
  putWithLength(to, text);
  if (extension) putExtension(to, extension);
  return bytes;
}

function putExtension(to: Cursor, extension: Extension): void {
  put(to, extensionMagic);
  to.bytes[to.at++] = (extension.trace ? traceFlag : 0) |
    (extension.fromMailbox ? fromMailboxFlag : 0) |
    (extension.mailboxReceived ? mailboxReceivedFlag : 0) |
    (extension.sizedPong ? sizedPongFlag : 0);
  putU64(to, extension.seq);
  putU64(to, extension.ackBelow);
  if (extension.trace) {
    put(to, Uint8Array.fromHex(extension.trace.traceId));
    put(to, Uint8Array.fromHex(extension.trace.spanId));
    to.bytes[to.at] = extension.trace.traceFlags;
  }
}

let lastText = "";
let lastBytes = new Uint8Array();

/** A client says the same thing all the time: it is encoded once. */
function encodeText(text: string): Uint8Array {
  if (text !== lastText) {
    lastBytes = utf8.encode(text);
    lastText = text;
  }
  return lastBytes;
}

/**
 * Decodes a message that stands alone. Bytes behind it that are no extension are left unread, as
 * bincode does. The message's ids are copies; it holds nothing of `bytes`.
 *
 * @throws {ProtocolError} `unknown-tag`, `unknown-message-type`, `truncated`, `bad-utf8`
 *
 * @example
 * ```ts
 * const message = decodeMessage(datagram);
 * if (message.kind === "pong") received(message.requestId);
 * ```
 */
export function decodeMessage(bytes: Uint8Array): Message {
  const from: Cursor = { bytes, at: 0 };
  const tag = takeU32(from, "the tag");
  if (tag !== tags.ping && tag !== tags.pong) {
    throw new ProtocolError("unknown-tag", `A message has the tag ${tag}: only 0 and 1 are known`);
  }
  const id = takeBytes(from, "the id").slice();
  const requestId = tag === tags.pong ? takeBytes(from, "the request id").slice() : undefined;
  const type = takeU32(from, "the message type");
  if (type !== tags.ping && type !== tags.pong) {
    throw new ProtocolError(
      "unknown-message-type",
      `A message has the type ${type}: only 0 and 1 are known`,
    );
  }
  const data = takeText(from, "the data");
  const message: Message = requestId
    ? { kind: "pong", id, requestId, data }
    : { kind: "ping", id, data };
  const extension = decodeExtension(bytes, from.at);
  if (extension) message.extension = extension;
  return message;
}

/** The extension that begins at `at`, or none. */
function decodeExtension(bytes: Uint8Array, at: number): Extension | undefined {
  if (bytes.length - at < extensionBytes) return undefined;
  for (let place = 0; place < 4; place++) {
    if (bytes[at + place] !== extensionMagic[place]) return undefined;
  }
  const flags = bytes[at + 4]!;
  const seq = u64At(bytes, at + 5);
  const ackBelow = u64At(bytes, at + 13);
  if (!Number.isSafeInteger(seq) || !Number.isSafeInteger(ackBelow)) return undefined;
  const extension: Extension = { seq, ackBelow };
  if (flags & fromMailboxFlag) extension.fromMailbox = true;
  if (flags & mailboxReceivedFlag) extension.mailboxReceived = true;
  if (flags & sizedPongFlag) extension.sizedPong = true;
  const traceAt = at + extensionBytes;
  if (flags & traceFlag && bytes.length - traceAt >= traceBytes) {
    extension.trace = {
      traceId: bytes.subarray(traceAt, traceAt + 16).toHex(),
      spanId: bytes.subarray(traceAt + 16, traceAt + 24).toHex(),
      traceFlags: bytes[traceAt + 24]!,
    };
  }
  return extension;
}
