/**
 * As much of QPACK (RFC 9204) as a WebTransport handshake needs: field sections over the static
 * table and literals, Huffman-coded or plain. The dynamic table is never offered (its capacity is
 * 0 unless a SETTINGS frame raises it), so a section that refers to it is an error of the peer.
 *
 * @module
 */

/** A header or pseudo-header: lower-case name and value. */
export type Field = readonly [name: string, value: string];

/**
 * The value of the first field of a name; `undefined` when there is none.
 *
 * @example
 * ```ts
 * fieldValue([[":status", "200"]], ":status"); // "200"
 * ```
 */
export function fieldValue(fields: readonly Field[], wanted: string): string | undefined {
  return fields.find(([name]) => name === wanted)?.[1];
}

/** Why a field section cannot be decoded. */
export type QpackErrorKind =
  /** It is cut off, or has what no section may have. */
  | "malformed"
  /** It refers to the dynamic table, which was never offered. */
  | "dynamic-table"
  /** It is larger than allowed. */
  | "too-large";

/** A field section that cannot be decoded, or is larger than allowed. */
export class QpackError extends Error {
  override name = "QpackError";
  /** Why. */
  readonly kind: QpackErrorKind;

  constructor(kind: QpackErrorKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

/** Options of {@linkcode decodeFields}. */
export interface DecodeFieldsOptions {
  /** The most fields a section may have. @default 128 */
  maxFields?: number;
  /** The most bytes that names and values may have together. @default 16_384 */
  maxBytes?: number;
}

/**
 * Encodes fields as one section. Names and values are sent plain, or by the static table where it
 * has them; nothing is Huffman-coded, which every decoder must accept.
 *
 * @example
 * ```ts
 * encodeFields([[":status", "200"], ["server", "ours"]]);
 * ```
 */
export function encodeFields(fields: readonly Field[]): Uint8Array<ArrayBuffer> {
  // Required Insert Count 0 and Base 0: no dynamic table (section 4.5.1).
  const out: number[] = [0, 0];
  for (const [name, value] of fields) {
    const whole = staticTable.findIndex((entry) => entry[0] === name && entry[1] === value);
    if (whole >= 0) {
      pushInteger(out, whole, 6, 0xc0);
      continue;
    }
    const named = staticTable.findIndex((entry) => entry[0] === name);
    if (named >= 0) pushInteger(out, named, 4, 0x50);
    else pushText(out, name, 3, 0x20);
    pushText(out, value, 7, 0);
  }
  return Uint8Array.from(out);
}

/**
 * Decodes a field section.
 *
 * @throws {QpackError} when it is malformed, refers to the dynamic table or is beyond the limits
 *
 * @example
 * ```ts
 * decodeFields(Uint8Array.of(0, 0, 0xd9)); // [[":status", "200"]]
 * ```
 */
export function decodeFields(section: Uint8Array, options: DecodeFieldsOptions = {}): Field[] {
  const { maxFields = 128, maxBytes = 16_384 } = options;
  const input = new SectionReader(section);
  if (input.integer(input.byte(), 8) !== 0) {
    throw new QpackError(
      "dynamic-table",
      "Cannot decode the field section: it needs a dynamic table, ours is empty",
    );
  }
  input.integer(input.byte(), 7);

  const fields: Field[] = [];
  let bytes = 0;
  while (!input.ended) {
    const field = decodeField(input);
    bytes += field[0].length + field[1].length;
    if (fields.push(field) > maxFields || bytes > maxBytes) {
      throw new QpackError(
        "too-large",
        `Cannot decode the field section: more than ${maxFields} fields or ${maxBytes} bytes`,
      );
    }
  }
  return fields;
}

/** One field line representation (RFC 9204, sections 4.5.2 to 4.5.6). */
function decodeField(input: SectionReader): Field {
  const first = input.byte();
  if (first & 0x80) {
    if (!(first & 0x40)) throw dynamicReference();
    return staticEntry(input.integer(first, 6));
  }
  if (first & 0x40) {
    if (!(first & 0x10)) throw dynamicReference();
    const [name] = staticEntry(input.integer(first, 4));
    return [name, input.text(input.byte(), 7)];
  }
  if (first & 0x20) {
    const name = input.text(first, 3);
    return [name, input.text(input.byte(), 7)];
  }
  throw dynamicReference();
}

function dynamicReference(): QpackError {
  return new QpackError(
    "dynamic-table",
    "Cannot decode a field: it refers to the dynamic table, ours is empty",
  );
}

function staticEntry(index: number): Field {
  const entry = staticTable[index];
  if (!entry) {
    throw new QpackError(
      "malformed",
      `Cannot decode a field: the static table has no entry ${index}`,
    );
  }
  return entry;
}

/** Reads QPACK's prefixed integers and strings (RFC 7541, sections 5.1 and 5.2). */
class SectionReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get ended(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) {
      throw new QpackError("malformed", "Cannot decode the field section: it is cut off");
    }
    return byte;
  }

  /** An integer whose first `bits` bits are the low ones of `first`. */
  integer(first: number, bits: number): number {
    const mask = (1 << bits) - 1;
    let value = first & mask;
    if (value < mask) return value;
    for (let shift = 0;; shift += 7) {
      // No index or length comes near 2^28, and no arithmetic here overflows below it.
      if (shift > 21) {
        throw new QpackError("malformed", "Cannot decode an integer: it is too large");
      }
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (!(byte & 0x80)) return value;
    }
  }

  /** A string whose length's first `bits` bits are in `first`, its Huffman flag just above them. */
  text(first: number, bits: number): string {
    const huffman = (first & (1 << bits)) !== 0;
    const length = this.integer(first, bits);
    if (length > this.#bytes.length - this.#at) {
      throw new QpackError(
        "malformed",
        "Cannot decode a string: it is longer than its field section",
      );
    }
    const bytes = this.#bytes.subarray(this.#at, this.#at += length);
    return latin1.decode(huffman ? decodeHuffman(bytes) : bytes);
  }
}

// Field values are bytes to HTTP; one character a byte keeps them all apart.
const latin1 = new TextDecoder("latin1");

function pushInteger(out: number[], value: number, bits: number, flags: number): void {
  const mask = (1 << bits) - 1;
  if (value < mask) {
    out.push(flags | value);
    return;
  }
  out.push(flags | mask);
  let rest = value - mask;
  for (; rest >= 128; rest >>= 7) out.push((rest & 0x7f) | 0x80);
  out.push(rest);
}

function pushText(out: number[], text: string, bits: number, flags: number): void {
  const bytes = new TextEncoder().encode(text);
  pushInteger(out, bytes.length, bits, flags);
  out.push(...bytes);
}

/** Decodes the Huffman code of RFC 7541, appendix B, checking its padding (section 5.2). */
function decodeHuffman(bytes: Uint8Array): Uint8Array {
  const out: number[] = [];
  let code = 0;
  let length = 0;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      code = (code << 1) | ((byte >> bit) & 1);
      const symbol = huffmanSymbols.get(huffmanKey(++length, code));
      if (symbol === undefined) {
        if (length >= 30) {
          throw new QpackError("malformed", "Cannot decode a string: no such Huffman code");
        }
        continue;
      }
      if (symbol === 256) {
        throw new QpackError("malformed", "Cannot decode a string: it holds the end symbol");
      }
      out.push(symbol);
      code = 0;
      length = 0;
    }
  }
  if (length > 7 || code !== (1 << length) - 1) {
    throw new QpackError("malformed", "Cannot decode a string: its Huffman padding is wrong");
  }
  return Uint8Array.from(out);
}

/**
 * The code is canonical: its code lengths (A is 5 bits, Z is 30) in the order of the symbols
 * 0 to 256 say it all.
 */
const huffmanLengths = "ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHF" +
  "IBCCCCCCCCCCCCCCCCCCCCCCDCDIOIJBKABABABBBACCBBBABCBAABCCCCCKGJIX" +
  "PRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRS" +
  "VVPORSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWVVWWWWWXWWWWWV" +
  "Z";

const huffmanSymbols = canonicalCodes(huffmanLengths);

function huffmanKey(length: number, code: number): number {
  return length * 2 ** 30 + code;
}

function canonicalCodes(lengths: string): Map<number, number> {
  const symbols = [...lengths].map((letter, symbol) => ({
    symbol,
    length: letter.charCodeAt(0) - 65 + 5,
  })).sort((a, b) => a.length - b.length || a.symbol - b.symbol);
  const codes = new Map<number, number>();
  let code = 0;
  let before = 0;
  for (const { symbol, length } of symbols) {
    code <<= length - before;
    before = length;
    codes.set(huffmanKey(length, code++), symbol);
  }
  return codes;
}

/** The static table (RFC 9204, appendix A), an entry a line, name and value parted by the first `=`. */
const staticTable: readonly Field[] = `
:authority
:path=/
age=0
content-disposition
content-length=0
cookie
date
etag
if-modified-since
if-none-match
last-modified
link
location
referer
set-cookie
:method=CONNECT
:method=DELETE
:method=GET
:method=HEAD
:method=OPTIONS
:method=POST
:method=PUT
:scheme=http
:scheme=https
:status=103
:status=200
:status=304
:status=404
:status=503
accept=*/*
accept=application/dns-message
accept-encoding=gzip, deflate, br
accept-ranges=bytes
access-control-allow-headers=cache-control
access-control-allow-headers=content-type
access-control-allow-origin=*
cache-control=max-age=0
cache-control=max-age=2592000
cache-control=max-age=604800
cache-control=no-cache
cache-control=no-store
cache-control=public, max-age=31536000
content-encoding=br
content-encoding=gzip
content-type=application/dns-message
content-type=application/javascript
content-type=application/json
content-type=application/x-www-form-urlencoded
content-type=image/gif
content-type=image/jpeg
content-type=image/png
content-type=text/css
content-type=text/html; charset=utf-8
content-type=text/plain
content-type=text/plain;charset=utf-8
range=bytes=0-
strict-transport-security=max-age=31536000
strict-transport-security=max-age=31536000; includesubdomains
strict-transport-security=max-age=31536000; includesubdomains; preload
vary=accept-encoding
vary=origin
x-content-type-options=nosniff
x-xss-protection=1; mode=block
:status=100
:status=204
:status=206
:status=302
:status=400
:status=403
:status=421
:status=425
:status=500
accept-language
access-control-allow-credentials=FALSE
access-control-allow-credentials=TRUE
access-control-allow-headers=*
access-control-allow-methods=get
access-control-allow-methods=get, post, options
access-control-allow-methods=options
access-control-expose-headers=content-length
access-control-request-headers=content-type
access-control-request-method=get
access-control-request-method=post
alt-svc=clear
authorization
content-security-policy=script-src 'none'; object-src 'none'; base-uri 'none'
early-data=1
expect-ct
forwarded
if-range
origin
purpose=prefetch
server
timing-allow-origin=*
upgrade-insecure-requests=1
user-agent
x-forwarded-for
x-frame-options=deny
x-frame-options=sameorigin
`.trim().split("\n").map((line) => {
  const at = line.indexOf("=");
  return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
});
