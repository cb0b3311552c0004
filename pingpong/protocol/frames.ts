/**
 * The frames of a stream: an 8-byte big-endian length, then the message.
 *
 * @module
 */
import { decodeMessage, encodeAt, type Message } from "./message.ts";
import { ProtocolError } from "./protocol_error.ts";

/** The bytes of a frame before its message. */
export const frameHeadBytes = 8;

/** The most bytes a frame may have unless said otherwise: 1 MiB. */
export const defaultMaxFrameBytes = 1_048_576;

/**
 * Encodes a message as a stream's frame: with its length before it.
 *
 * @example
 * ```ts
 * await writer.write(encodeFrame({ kind: "ping", id, data: "Ping!" }));
 * ```
 */
export function encodeFrame(message: Message): Uint8Array<ArrayBuffer> {
  const bytes = encodeAt(message, frameHeadBytes);
  // No message comes near 2^32 bytes: the upper half of its length stays 0.
  new DataView(bytes.buffer).setUint32(4, bytes.length - 8);
  return bytes;
}

/**
 * Makes a function that frames the pong to a ping's id: the same bytes as {@linkcode encodeFrame},
 * of which only the id differs from pong to pong.
 *
 * @example
 * ```ts
 * const framePong = pongFramer(sha256OfPong, "Pong!");
 * await writer.write(framePong(ping.id));
 * ```
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
  /** The most bytes a frame may say it has, at least 1. @default 1_048_576 */
  maxFrameBytes?: number;
}

/**
 * Takes a stream's chunks and gives the messages in them. It holds at most one frame, and of that
 * no more memory than twice the bytes that have come: a length alone allocates nothing.
 *
 * @example
 * ```ts
 * const decoder = new FrameDecoder();
 * for await (const chunk of readable) decoder.push(chunk, (message) => received(message));
 * decoder.end();
 * ```
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

  /** Says that the stream has ended. @throws {ProtocolError} `truncated` when that is in the middle of a frame */
  end(): void {
    if (this.#length > 0) {
      throw new ProtocolError("truncated", `The stream ends ${this.#length} bytes into a frame`);
    }
  }

  #frameLength(bytes: Uint8Array, at: number): number {
    // Big-endian, unlike all numbers in the message.
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
