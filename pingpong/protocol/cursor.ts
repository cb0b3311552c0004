/**
 * bincode 1.3 in its default form, as far as the messages need it: little-endian, fixed-width
 * integers, u64 lengths.
 *
 * @module
 */
import { ProtocolError } from "./protocol_error.ts";

/** A place in bytes. A server decodes a message every few microseconds: no closures, no views. */
export interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

/** Writes a u32. */
export function putU32(to: Cursor, value: number): void {
  for (let shift = 0; shift < 32; shift += 8) to.bytes[to.at++] = value >>> shift;
}

/** Writes a u64, up to 2^53. */
export function putU64(to: Cursor, value: number): void {
  putU32(to, value >>> 0);
  putU32(to, Math.floor(value / 2 ** 32));
}

/** Writes bytes as they are. */
export function put(to: Cursor, value: Uint8Array): void {
  to.bytes.set(value, to.at);
  to.at += value.length;
}

/** Writes bytes behind their length. */
export function putWithLength(to: Cursor, value: Uint8Array): void {
  putU64(to, value.length);
  put(to, value);
}

function u32At(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0;
}

/** Exact up to 2^53; any more is beyond every message and every count anyway. */
export function u64At(bytes: Uint8Array, at: number): number {
  return u32At(bytes, at) + u32At(bytes, at + 4) * 2 ** 32;
}

/** Reads a u32. @throws {ProtocolError} `truncated` */
export function takeU32(from: Cursor, field: string): number {
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

/** Reads bytes behind their length, without a copy. @throws {ProtocolError} `truncated` */
export function takeBytes(from: Cursor, field: string): Uint8Array {
  const length = takeLength(from, field);
  from.at += length;
  return from.bytes.subarray(from.at - length, from.at);
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of the last message, and its bytes: a client says the same thing all the time. */
const last = { text: "", bytes: new Uint8Array() };

/** Reads UTF-8 behind its length. @throws {ProtocolError} `truncated`, `bad-utf8` */
export function takeText(from: Cursor, field: string): string {
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

function truncated(field: string): ProtocolError {
  return new ProtocolError("truncated", `A message ends within ${field}`);
}
