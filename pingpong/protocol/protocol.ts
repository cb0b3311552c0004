/**
 * The messages of ping-pong and their frames.
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
 * On a stream a frame is an 8-byte big-endian length and the message; in a datagram and in a
 * WebSocket message the message stands alone.
 *
 * Peers that have said that they are ours exchange an {@linkcode Extension} behind the message:
 * bincode's default decoder leaves bytes there unread, so even a peer that is not ours ignores it.
 *
 * @module
 */

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
 * context follows, 2: from the mailbox, 4: the mailbox has been received), `seq` and `ackBelow` as
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

/** Why bytes are no message. */
export type ProtocolErrorCode =
  /** A frame says that it has no bytes. */
  | "empty-frame"
  /** A frame says that it is longer than the limit. */
  | "frame-too-large"
  /** A field reaches beyond its message, or the stream ends within a frame. */
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
  readonly code: ProtocolErrorCode;

  constructor(code: ProtocolErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** The most bytes a frame may have unless said otherwise: 1 MiB. */
export const defaultMaxFrameBytes = 1_048_576;

const tags = { ping: 0, pong: 1 } as const;
const extensionMagic = Uint8Array.from("PPX1", (letter) => letter.charCodeAt(0));
const extensionBytes = 21;
const traceBytes = 25;
const traceFlag = 1;
const fromMailboxFlag = 2;
const mailboxReceivedFlag = 4;

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Encodes a message as it stands in a datagram or a WebSocket message. */
export function encodeMessage(message: Message): Uint8Array<ArrayBuffer> {
  return encode(message, 0);
}

/** Encodes a message as a stream's frame: with its length before it. */
export function encodeFrame(message: Message): Uint8Array<ArrayBuffer> {
  const bytes = encode(message, 8);
  // No message comes near 2^32 bytes: the upper half of its length stays 0.
  new DataView(bytes.buffer).setUint32(4, bytes.length - 8);
  return bytes;
}

function encode(message: Message, start: number): Uint8Array<ArrayBuffer> {
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
  if (extension) {
    put(to, extensionMagic);
    bytes[to.at++] = (extension.trace ? traceFlag : 0) |
      (extension.fromMailbox ? fromMailboxFlag : 0) |
      (extension.mailboxReceived ? mailboxReceivedFlag : 0);
    putU64(to, extension.seq);
    putU64(to, extension.ackBelow);
    if (extension.trace) {
      put(to, Uint8Array.fromHex(extension.trace.traceId));
      put(to, Uint8Array.fromHex(extension.trace.spanId));
      bytes[to.at] = extension.trace.traceFlags;
    }
  }
  return bytes;
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

/** A place in bytes. A server decodes a message every few microseconds: no closures, no views. */
interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

function putU32(to: Cursor, value: number): void {
  for (let shift = 0; shift < 32; shift += 8) to.bytes[to.at++] = value >>> shift;
}

function putU64(to: Cursor, value: number): void {
  putU32(to, value >>> 0);
  putU32(to, Math.floor(value / 2 ** 32));
}

function put(to: Cursor, value: Uint8Array): void {
  to.bytes.set(value, to.at);
  to.at += value.length;
}

function putWithLength(to: Cursor, value: Uint8Array): void {
  putU64(to, value.length);
  put(to, value);
}

function u32At(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0;
}

/** Exact up to 2^53; any more is beyond every message and every count anyway. */
function u64At(bytes: Uint8Array, at: number): number {
  return u32At(bytes, at) + u32At(bytes, at + 4) * 2 ** 32;
}

function takeU32(from: Cursor, field: string): number {
  if (from.at + 4 > from.bytes.length) throw truncated(field);
  from.at += 4;
  return u32At(from.bytes, from.at - 4);
}

function takeLength(from: Cursor, field: string): number {
  if (from.at + 8 > from.bytes.length) throw truncated(`the length of ${field}`);
  const length = u64At(from.bytes, from.at);
  from.at += 8;
  if (length > from.bytes.length - from.at) throw truncated(field);
  return length;
}

function takeBytes(from: Cursor, field: string): Uint8Array {
  const length = takeLength(from, field);
  from.at += length;
  return from.bytes.subarray(from.at - length, from.at);
}

/** The text of the last message, and its bytes: a client says the same thing all the time. */
const last = { text: "", bytes: new Uint8Array() };

function takeText(from: Cursor, field: string): string {
  const length = takeLength(from, field);
  const { bytes, at } = from;
  from.at += length;
  if (
    length === last.bytes.length && last.bytes.every((byte, place) => bytes[at + place] === byte)
  ) {
    return last.text;
  }
  const own = bytes.slice(at, at + length);
  let text: string;
  try {
    text = strictUtf8.decode(own);
  } catch {
    throw new ProtocolError("bad-utf8", "A message's data is no UTF-8");
  }
  if (length <= 64) Object.assign(last, { text, bytes: own });
  return text;
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

function truncated(field: string): ProtocolError {
  return new ProtocolError("truncated", `A message ends within ${field}`);
}

/**
 * Makes a function that frames the pong to a ping's id: the same bytes as {@linkcode encodeFrame},
 * of which only the id differs from pong to pong.
 */
export function pongFramer(id: Uint8Array, data: string): (requestId: Uint8Array) => Uint8Array {
  const whole = encodeFrame({ kind: "pong", id, requestId: new Uint8Array(), data });
  const head = whole.subarray(0, 8 + 4 + 8 + id.length);
  const tail = whole.subarray(head.length + 8);

  return function framePong(requestId) {
    const frame = new Uint8Array(whole.length + requestId.length);
    frame.set(head);
    const view = new DataView(frame.buffer);
    view.setUint32(4, frame.length - 8);
    view.setUint32(head.length, requestId.length, true);
    frame.set(requestId, head.length + 8);
    frame.set(tail, head.length + 8 + requestId.length);
    return frame;
  };
}

/** Options of {@linkcode FrameDecoder}. */
export interface FrameDecoderOptions {
  /** The most bytes a frame may say it has. @default 1_048_576 */
  maxFrameBytes?: number;
}

/**
 * Takes a stream's chunks and gives the messages in them. It holds at most one frame, and of that
 * no more memory than twice the bytes that have come: a length alone allocates nothing.
 */
export class FrameDecoder {
  readonly #maxFrameBytes: number;
  /** The beginning of a frame whose end has not come: the first `#length` bytes. */
  #buffer = new Uint8Array(0);
  #length = 0;

  constructor({ maxFrameBytes = defaultMaxFrameBytes }: FrameDecoderOptions = {}) {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /**
   * Hands on the messages that this chunk completes; those before a bad one, too. After an error
   * the decoder is of no use any more.
   *
   * @throws {ProtocolError} `empty-frame`, `frame-too-large`, and what {@linkcode decodeMessage} throws
   */
  push(chunk: Uint8Array, onMessage: (message: Message) => void): void {
    const bytes = this.#length === 0 ? chunk : this.#append(chunk);
    let at = 0;
    while (bytes.length - at >= 8) {
      const length = this.#frameLength(bytes, at);
      if (bytes.length - at - 8 < length) break;
      onMessage(decodeMessage(bytes.subarray(at + 8, at += 8 + length)));
    }
    this.#keep(bytes.subarray(at));
  }

  /** Says that the stream has ended. @throws {ProtocolError} `truncated` when that is within a frame */
  end(): void {
    if (this.#length > 0) {
      throw new ProtocolError("truncated", `The stream ends ${this.#length} bytes into a frame`);
    }
  }

  #frameLength(bytes: Uint8Array, at: number): number {
    // Big-endian, unlike all within the message.
    let length = 0;
    for (let place = at; place < at + 8; place++) length = length * 256 + bytes[place]!;
    if (length === 0) throw new ProtocolError("empty-frame", "A frame says that it has no bytes");
    if (length > this.#maxFrameBytes) {
      throw new ProtocolError(
        "frame-too-large",
        `A frame says that it has ${length} bytes: at most ${this.#maxFrameBytes} are taken`,
      );
    }
    return length;
  }

  #append(chunk: Uint8Array): Uint8Array {
    this.#reserve(this.#length + chunk.length);
    this.#buffer.set(chunk, this.#length);
    this.#length += chunk.length;
    return this.#buffer.subarray(0, this.#length);
  }

  #keep(rest: Uint8Array): void {
    if (rest.length === 0) {
      this.#length = 0;
      // A large frame's buffer is not held for the small ones that follow.
      if (this.#buffer.length > 65_536) this.#buffer = new Uint8Array(0);
      return;
    }
    if (rest.buffer === this.#buffer.buffer) {
      this.#buffer.copyWithin(0, rest.byteOffset, rest.byteOffset + rest.length);
    } else {
      this.#reserve(rest.length);
      this.#buffer.set(rest);
    }
    this.#length = rest.length;
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#buffer.length) return;
    const larger = new Uint8Array(
      Math.max(64, bytes, Math.min(2 * this.#buffer.length, 2 * bytes)),
    );
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }
}

/** Ids of a client's run: unique, as long as the original's, ending in the ping's number. */
export class PingIds {
  readonly #run = crypto.getRandomValues(new Uint8Array(24));

  /** The id of a ping: 24 random bytes of this run and the number, big-endian. */
  id(seq: number): Uint8Array<ArrayBuffer> {
    const id = new Uint8Array(32);
    id.set(this.#run);
    const view = new DataView(id.buffer);
    view.setUint32(24, Math.floor(seq / 2 ** 32));
    view.setUint32(28, seq >>> 0);
    return id;
  }

  /** The number in an id of this run; `undefined` for any other id. */
  seq(id: Uint8Array): number | undefined {
    if (id.length !== 32) return undefined;
    for (let at = 0; at < 24; at++) if (id[at] !== this.#run[at]) return undefined;
    const view = new DataView(id.buffer, id.byteOffset);
    return view.getUint32(24) * 2 ** 32 + view.getUint32(28);
  }
}
