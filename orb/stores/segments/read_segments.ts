/**
 * Reads what is in a folder of segments.
 *
 * @module
 */
import { hash } from "node:crypto";
import { join } from "node:path";
import { type BatchHead, decodeHead, headBytes, headLength, imageBytesOf } from "./batch_format.ts";

/** A batch, and where it is. */
export interface FoundBatch extends BatchHead {
  /** Where its images begin. */
  readonly offset: number;
  /** Where the next batch begins. */
  readonly end: number;
}

/** A head with some ten entries comes by one read. */
const chunkBytes = 4_096;
const suffix = ".segment";

/** The path of a segment. */
export function segmentPath(folder: string, number: number): string {
  return join(folder, `${String(number).padStart(8, "0")}${suffix}`);
}

/** The numbers of the segments that there are, ascending. */
export async function segmentNumbers(folder: string): Promise<number[]> {
  const numbers: number[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    const [, digits] = /^(\d{8,})\.segment$/.exec(name) ?? [];
    if (digits !== undefined) numbers.push(Number(digits));
  }
  return numbers.sort((a, b) => a - b);
}

/**
 * The batches of a segment from `from` on, which is where one begins. It ends where there is no whole
 * one any more, as a crash leaves it, or while one is being written; behind it may be zeros. A batch
 * is only begun when the one before it is durable, so of the last one the images' bytes are looked at,
 * too.
 *
 * @example
 * ```ts
 * for await (const { kind, entries } of readBatches(segmentPath(folder, 1), 0)) console.log(kind, entries);
 * ```
 */
export async function* readBatches(path: string, from: number): AsyncIterable<FoundBatch> {
  using file = await Deno.open(path);
  const { size } = await file.stat();
  let batch = await readBatch(file, from, size);
  while (batch !== undefined) {
    const next = await readBatch(file, batch.end, size);
    if (next === undefined && !await isWhole(file, batch)) return;
    yield batch;
    batch = next;
  }
}

async function readBatch(
  file: Deno.FsFile,
  at: number,
  size: number,
): Promise<FoundBatch | undefined> {
  let bytes = await readAt(file, at, Math.min(chunkBytes, size - at));
  const length = headLength(bytes.subarray(0, headBytes));
  if (length === undefined || at + length > size) return undefined;
  if (bytes.length < length) bytes = await readAt(file, at, length);
  const head = decodeHead(bytes);
  if (head === undefined) return undefined;
  const offset = at + length;
  const end = offset + imageBytesOf(head);
  return end > size ? undefined : { ...head, offset, end };
}

async function isWhole(file: Deno.FsFile, { kind, entries, offset }: FoundBatch): Promise<boolean> {
  if (kind === "removed") return true;
  let at = offset;
  for (const { sha256, bytes } of entries) {
    if (hash("sha256", await readAt(file, at, bytes), "hex") !== sha256) return false;
    at += bytes;
  }
  return true;
}

/** So many bytes, or fewer where the file ends before. */
export async function readAt(
  file: Deno.FsFile,
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  await file.seek(offset, Deno.SeekMode.Start);
  let read = 0;
  while (read < length) {
    const count = await file.read(bytes.subarray(read));
    if (count === null) break;
    read += count;
  }
  return bytes.subarray(0, read);
}
