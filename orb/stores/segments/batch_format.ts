/**
 * A segment is a file of batches, one behind the other, and each batch is what was made durable by
 * one sync: images, or the names of some that were removed.
 *
 * ```
 *  0  "OIB1"                          16  put, f64: milliseconds since the epoch
 *  4  u32 kind: 1 images, 2 removed   24  f64 bytes of all images
 *  8  u32 entries, 1 to 1,024         32  entries: SHA-256 (32), u32 bytes, u32 0
 * 12  u32 CRC-32 of head and entries      then the images' bytes, in that order
 * ```
 *
 * Numbers are little-endian; the CRC is made with its own field 0.
 *
 * @module
 */
import { crc32 } from "node:zlib";

/** What a batch holds, without its images' bytes. */
export interface BatchHead {
  readonly kind: "images" | "removed";
  /** When it was put, in milliseconds since the epoch. */
  readonly putMs: number;
  readonly entries: readonly BatchEntry[];
}

/** An image of a batch. */
export interface BatchEntry {
  /** SHA-256 of its bytes, in hex. */
  readonly sha256: string;
  readonly bytes: number;
}

/** The most entries of a batch. */
export const maxEntries = 1_024;
/** Bytes of a head without its entries. */
export const headBytes = 32;
/** Bytes of an entry. */
export const entryBytes = 40;

const magic = 0x3142494f; // "OIB1"
const kinds = [undefined, "images", "removed"] as const;

/**
 * The head as bytes, with its entries.
 *
 * @example
 * ```ts
 * const head = encodeHead({ kind: "images", putMs: 0, entries: [{ sha256, bytes: image.length }] });
 * ```
 */
export function encodeHead({ kind, putMs, entries }: BatchHead): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(headBytes + entries.length * entryBytes);
  const view = new DataView(head.buffer);
  view.setUint32(0, magic, true);
  view.setUint32(4, kinds.indexOf(kind), true);
  view.setUint32(8, entries.length, true);
  view.setFloat64(16, putMs, true);
  view.setFloat64(24, imageBytesOf({ kind, entries }), true);
  entries.forEach(({ sha256, bytes }, index) => {
    const at = headBytes + index * entryBytes;
    head.subarray(at, at + 32).setFromHex(sha256);
    view.setUint32(at + 32, bytes, true);
  });
  view.setUint32(12, crc32(head), true);
  return head;
}

/**
 * How many bytes a head has, by its first {@linkcode headBytes}.
 *
 * @returns `undefined` where no batch begins
 */
export function headLength(start: Uint8Array): number | undefined {
  if (start.length < headBytes) return undefined;
  const view = viewOf(start);
  const count = view.getUint32(8, true);
  if (view.getUint32(0, true) !== magic || count < 1 || count > maxEntries) return undefined;
  return headBytes + count * entryBytes;
}

/**
 * Reads a head with its entries.
 *
 * @returns `undefined` where it is none, or is broken
 */
export function decodeHead(bytes: Uint8Array): BatchHead | undefined {
  const length = headLength(bytes);
  if (length === undefined || bytes.length < length) return undefined;
  const head = bytes.slice(0, length);
  const view = viewOf(head);
  const crc = view.getUint32(12, true);
  view.setUint32(12, 0, true);
  const kind = kinds[view.getUint32(4, true)];
  if (crc32(head) !== crc || kind === undefined) return undefined;
  const entries = Array.from({ length: view.getUint32(8, true) }, (_, index) => {
    const at = headBytes + index * entryBytes;
    return { sha256: head.subarray(at, at + 32).toHex(), bytes: view.getUint32(at + 32, true) };
  });
  return { kind, putMs: view.getFloat64(16, true), entries };
}

/** Bytes that follow the entries. */
export function imageBytesOf({ kind, entries }: Pick<BatchHead, "kind" | "entries">): number {
  return kind === "removed" ? 0 : entries.reduce((sum, { bytes }) => sum + bytes, 0);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
