/**
 * QUIC's variable-length integers (RFC 9000, section 16), which HTTP/3 uses for every number.
 *
 * @module
 */

/** The largest number a varint can hold: 2^62 - 1. */
export const maxVarint = (1n << 62n) - 1n;

/**
 * Encodes a number in the fewest bytes.
 *
 * @throws {RangeError} when it is negative or above {@linkcode maxVarint}
 *
 * @example
 * ```ts
 * encodeVarint(15_293); // 7b bd
 * ```
 */
export function encodeVarint(value: number | bigint): Uint8Array<ArrayBuffer> {
  const big = BigInt(value);
  if (big < 0n || big > maxVarint) {
    throw new RangeError(`Cannot encode ${big} as a varint: it must be from 0 to 2^62 - 1`);
  }
  const length = big < 64n ? 1 : big < 16_384n ? 2 : big < 1_073_741_824n ? 4 : 8;
  const bytes = new Uint8Array(length);
  let rest = big;
  for (let at = length - 1; at >= 0; at--) {
    bytes[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  bytes[0]! |= Math.log2(length) << 6;
  return bytes;
}

/** A decoded varint and where the bytes behind it begin. */
export interface DecodedVarint {
  /** Its value. */
  value: bigint;
  /** The offset behind it. */
  end: number;
}

/**
 * Decodes the varint at `offset`; `undefined` when the bytes end inside of it.
 *
 * @example
 * ```ts
 * decodeVarint(Uint8Array.of(0x7b, 0xbd)); // { value: 15_293n, end: 2 }
 * ```
 */
export function decodeVarint(bytes: Uint8Array, offset = 0): DecodedVarint | undefined {
  const first = bytes[offset];
  if (first === undefined) return undefined;
  const end = offset + varintLength(first);
  if (end > bytes.length) return undefined;
  let value = BigInt(first & 0x3f);
  for (let at = offset + 1; at < end; at++) value = (value << 8n) | BigInt(bytes[at]!);
  return { value, end };
}

/** How many bytes a varint takes that begins with this byte. */
export function varintLength(first: number): number {
  return 1 << (first >> 6);
}
