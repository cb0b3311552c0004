/**
 * A writer of protobuf's wire format (https://protobuf.dev/programming-guides/encoding/) over a
 * buffer that grows and is used again: no object is made for what is written.
 *
 * @module
 */

const encoder = new TextEncoder();
const initialBytes = 16_384;
/** Beyond it `TextEncoder` is faster than a loop over the characters. */
const maxLoopLength = 192;

/** Writes fields one after the other; see {@linkcode ProtobufWriter.bytes} for what came of it. */
export class ProtobufWriter {
  #buffer = new Uint8Array(initialBytes);
  #view = new DataView(this.#buffer.buffer);
  #position = 0;

  /** Bytes written. Set it back to take back what was written last. */
  get position(): number {
    return this.#position;
  }
  set position(position: number) {
    this.#position = position;
  }

  /** Bytes that fit before the buffer has to grow. */
  get capacity(): number {
    return this.#buffer.length;
  }

  /** What was written: a view, good until the next write. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(0, this.#position);
  }

  /** A field's number and wire type in one byte: numbers up to 15. Larger ones: {@linkcode varint}. */
  tag(tag: number): void {
    this.#reserve(1);
    this.#buffer[this.#position++] = tag;
  }

  /** An integer from -(2^63) to 2^64 - 1 as base-128 varint; a negative one takes ten bytes. */
  varint(value: number): void {
    this.#reserve(10);
    if (value >= 0 && value <= 0xffff_ffff) this.#varint32(value);
    else this.#varint64(value);
  }

  #varint32(value: number): void {
    const buffer = this.#buffer;
    let rest = value >>> 0;
    while (rest > 0x7f) {
      buffer[this.#position++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    buffer[this.#position++] = rest;
  }

  #varint64(value: number): void {
    const buffer = this.#buffer;
    const magnitude = Math.abs(value);
    let low = magnitude >>> 0;
    let high = (magnitude / 0x1_0000_0000) >>> 0;
    if (value < 0) {
      // Two's complement.
      low = (~low + 1) >>> 0;
      high = (~high + (low === 0 ? 1 : 0)) >>> 0;
    }
    while (high > 0 || low > 0x7f) {
      buffer[this.#position++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    buffer[this.#position++] = low;
  }

  /** Four bytes, little-endian. */
  fixed32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#position, value, true);
    this.#position += 4;
  }

  /** Eight bytes, little-endian, of a number given in two halves. */
  fixed64(low: number, high: number): void {
    this.#reserve(8);
    this.#view.setUint32(this.#position, low, true);
    this.#view.setUint32(this.#position + 4, high, true);
    this.#position += 8;
  }

  /** IEEE 754, eight bytes. */
  double(value: number): void {
    this.#reserve(8);
    this.#view.setFloat64(this.#position, value, true);
    this.#position += 8;
  }

  /** Bytes with their length before them. */
  lengthAndBytes(bytes: Uint8Array): void {
    this.varint(bytes.length);
    this.raw(bytes);
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#position);
    this.#position += bytes.length;
  }

  /** Hexadecimal digits, of either case, as bytes with their length before them. */
  hex(digits: string): void {
    const length = digits.length >>> 1;
    this.varint(length);
    this.#reserve(length);
    const buffer = this.#buffer;
    let position = this.#position;
    for (let index = 0; index + 1 < digits.length; index += 2) {
      buffer[position++] = hexValues[digits.charCodeAt(index) & 0x7f]! << 4 |
        hexValues[digits.charCodeAt(index + 1) & 0x7f]!;
    }
    this.#position = position;
  }

  /** Text as UTF-8 with its length before it; a lone surrogate becomes U+FFFD. */
  string(text: string): void {
    const length = text.length;
    // A UTF-16 unit takes three bytes at most.
    this.#reserve(length * 3 + 5);
    if (length > maxLoopLength) return this.#encodeString(text);
    const start = this.#position;
    this.#varint32(length);
    const buffer = this.#buffer;
    let position = this.#position;
    for (let index = 0; index < length; index++) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) {
        this.#position = start;
        return this.#encodeString(text);
      }
      buffer[position++] = code;
    }
    this.#position = position;
  }

  #encodeString(text: string): void {
    const start = this.#position;
    const guess = varintLength(text.length);
    const { written } = encoder.encodeInto(text, this.#buffer.subarray(start + guess));
    const needed = varintLength(written);
    if (needed !== guess) {
      this.#buffer.copyWithin(start + needed, start + guess, start + guess + written);
    }
    this.#varint32(written);
    this.#position += written;
  }

  /** Begins a message whose length is not known yet; give the result to {@linkcode endMessage}. */
  beginMessage(): number {
    this.#reserve(1);
    return ++this.#position;
  }

  /** Puts the length before the message that began at `start`. */
  endMessage(start: number): void {
    const length = this.#position - start;
    if (length < 0x80) {
      this.#buffer[start - 1] = length;
      return;
    }
    // One byte was left for it: the message moves by what more it takes.
    const more = varintLength(length) - 1;
    this.#reserve(more);
    this.#buffer.copyWithin(start + more, start, this.#position);
    this.#position = start - 1;
    this.#varint32(length);
    this.#position += length;
  }

  #reserve(count: number): void {
    const needed = this.#position + count;
    if (needed <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(needed, this.#buffer.length * 2));
    larger.set(this.bytes());
    this.#buffer = larger;
    this.#view = new DataView(larger.buffer);
  }
}

function varintLength(value: number): number {
  return value < 0x80
    ? 1
    : value < 0x4000
    ? 2
    : value < 0x20_0000
    ? 3
    : value < 0x1000_0000
    ? 4
    : 5;
}

/** The value of a hexadecimal digit by its character's code; 0 for what is none. */
const hexValues = new Uint8Array(128);
for (const digits of ["0123456789abcdef", "0123456789ABCDEF"]) {
  [...digits].forEach((digit, value) => hexValues[digit.charCodeAt(0)] = value);
}
