/**
 * Bytes: joining them, comparing them, and reading as many of a stream as are wanted.
 *
 * @module
 */
import { WebTransportError } from "./errors.ts";
import { decodeVarint, encodeVarint } from "./varint.ts";

/** All parts, one behind the other. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Whether the bytes begin with the prefix. */
export function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return bytes.length >= prefix.length && prefix.every((byte, at) => bytes[at] === byte);
}

/** A type, a length and that many bytes: the form of every frame and every capsule. */
export function typeLengthValue(type: bigint, value: Uint8Array): Uint8Array<ArrayBuffer> {
  return concat(encodeVarint(type), encodeVarint(value.length), value);
}

/** Bytes out of a stream of chunks, as many as asked for; holds no more than one chunk beyond. */
export class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #buffer: Uint8Array;

  constructor(chunks: AsyncIterable<Uint8Array>, rest: Uint8Array = new Uint8Array()) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#buffer = rest;
  }

  /** Type and length of a frame or capsule; `undefined` at the end of the stream. */
  async frameHeader(): Promise<{ type: bigint; length: bigint } | undefined> {
    const type = await this.#varint();
    const length = type === undefined ? undefined : await this.#varint();
    return type === undefined || length === undefined ? undefined : { type, length };
  }

  /** Exactly so many bytes. @throws {WebTransportError} `protocol` when the stream ends before */
  async bytes(length: number): Promise<Uint8Array> {
    while (this.#buffer.length < length) {
      if (!await this.#more()) throw cutOff();
    }
    return this.#take(length);
  }

  /** So many bytes as they come. @throws {WebTransportError} `protocol` when the stream ends before */
  async *chunks(length: bigint): AsyncGenerator<Uint8Array> {
    let left = length;
    while (left > 0n) {
      if (this.#buffer.length === 0 && !await this.#more()) throw cutOff();
      const part = this.#take(left < this.#buffer.length ? Number(left) : this.#buffer.length);
      left -= BigInt(part.length);
      yield part;
    }
  }

  /** Leaves so many bytes out. @throws {WebTransportError} `protocol` when the stream ends before */
  async skip(length: bigint): Promise<void> {
    for await (const _ of this.chunks(length));
  }

  /** Leaves all out, to the end. */
  async discard(): Promise<void> {
    do this.#buffer = new Uint8Array(); while (await this.#more());
  }

  async #varint(): Promise<bigint | undefined> {
    while (true) {
      const decoded = decodeVarint(this.#buffer);
      if (decoded) {
        this.#take(decoded.end);
        return decoded.value;
      }
      if (!await this.#more()) return undefined;
    }
  }

  #take(length: number): Uint8Array {
    const part = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return part;
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#chunks.next();
    if (done) return false;
    this.#buffer = this.#buffer.length === 0 ? value : concat(this.#buffer, value);
    return true;
  }
}

function cutOff(): WebTransportError {
  return new WebTransportError("protocol", "A frame is cut off");
}
