/**
 * Images in a folder of segments: files that are only ever appended to. Images that come at the same
 * time are one batch, and a batch is one write and one sync, so a small image costs a share of a sync
 * and not two of its own, and none is written twice (the way of Haystack, OSDI 2010, and of Bitcask).
 *
 * Where each image is stands in memory (`segment_index.ts`), and is read from the batches' heads at
 * the start. Each process appends to segments that it made itself; others may read meanwhile, as an
 * operator's tool does. What was removed is said in a batch, too; a segment with nothing in it is
 * deleted, and what is left of one that is mostly empty is copied to the newest.
 *
 * @module
 */
import { join } from "node:path";
import type { World } from "../../../service/world/world.ts";
import type { StoredImage } from "../image_store.ts";
import { syncFolder } from "../../../service/whole_file.ts";
import { type BatchEntry, type BatchHead, encodeHead, maxEntries } from "./batch_format.ts";
import { appendSynced, cutOff } from "./append_segment.ts";
import { readAt, readBatches, segmentNumbers, segmentPath } from "./read_segments.ts";
import { type ImagePlace, SegmentIndex } from "./segment_index.ts";

/** Options of {@linkcode ImageSegments}. */
export interface ImageSegmentsOptions {
  /** The folder; made if need be. */
  path: string;
  /** Time. */
  world: World;
  /** Deletes and tidies up segments; only for who is alone with them. */
  owns: boolean;
  /** Bytes after which the next segment begins. @default 268_435_456 */
  segmentBytes?: number;
  /** About the most bytes of a batch, where it is more than one image. @default 16_777_216 */
  batchBytes?: number;
}

/** What waits for the next batch. */
interface Waiting {
  readonly kind: BatchHead["kind"];
  readonly sha256: string;
  readonly bytes: Uint8Array;
  /** Of one that is copied: when it was put. */
  readonly putMs?: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** So many segments that are mostly empty are too many. */
const maxSparse = 8;
const noBytes = new Uint8Array();

/** A folder of segments. */
export class ImageSegments {
  readonly #options: Required<ImageSegmentsOptions>;
  readonly #index = new SegmentIndex();
  /** How far each segment has been read, or written. */
  readonly #ends = new Map<number, number>();
  readonly #waiting: Waiting[] = [];
  /** What is on its way to the disk: the same image again waits for it. */
  readonly #arriving = new Map<string, Promise<void>>();
  /** The segments that say of images that they were removed. */
  readonly #removals = new Set<number>();
  /** Where images are whose removal is being asked about. */
  readonly #removing = new Set<ImagePlace>();
  #isWriting = false;
  /** The one that is appended to, once there is one. */
  #current: number | undefined;
  /** How far it was written to ahead. */
  #reservedEnd = 0;
  #reading: Promise<void> | undefined;

  constructor(options: ImageSegmentsOptions) {
    this.#options = { segmentBytes: 256 * 1024 ** 2, batchBytes: 16 * 1024 ** 2, ...options };
  }

  /** Reads where everything is. */
  async open(): Promise<void> {
    await Deno.mkdir(this.#options.path, { recursive: true, mode: 0o700 });
    await this.#readNew();
    if (this.#options.owns) await this.#deleteEmpty();
  }

  /** Keeps an image, durable when it resolves; `present` where it was there. */
  async put(sha256: string, bytes: Uint8Array): Promise<"new" | "present"> {
    const place = this.#index.find(sha256);
    if (place !== undefined && await this.#isThere(place)) {
      const putMs = this.#options.world.nowMs();
      // Whoever removes unused images goes by when they were put last.
      const now = this.#index.find(sha256);
      if (now !== undefined) {
        this.#index.set(sha256, { ...now, putMs });
        return "present";
      }
    }
    const arriving = this.#arriving.get(sha256);
    if (arriving !== undefined) {
      await arriving;
      return "present";
    }
    const arrival = this.#append({ kind: "images", sha256, bytes });
    this.#arriving.set(sha256, arrival);
    try {
      await arrival;
    } finally {
      this.#arriving.delete(sha256);
    }
    return "new";
  }

  /** The bytes that are kept under a hash, not checked; `undefined` where there are none. */
  async get(sha256: string): Promise<Uint8Array | undefined> {
    let place = this.#index.find(sha256);
    if (place === undefined) {
      // Another process may have put it.
      await this.#readNew();
      place = this.#index.find(sha256);
    }
    while (place !== undefined) {
      try {
        using file = await Deno.open(segmentPath(this.#options.path, place.segment));
        return await readAt(file, place.offset, place.bytes);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
        // It was copied elsewhere meanwhile, by this process or by another one.
        if (this.#index.find(sha256)?.segment === place.segment) {
          this.#index.remove(sha256);
          await this.#readNew();
        }
        place = this.#index.find(sha256);
      }
    }
    return undefined;
  }

  /** How many bytes an image has; `undefined` where it is not there. */
  async size(sha256: string): Promise<number | undefined> {
    const place = this.#index.find(sha256);
    return place !== undefined && await this.#isThere(place) ? place.bytes : undefined;
  }

  /** Every image, in no order. */
  async *list(): AsyncIterable<StoredImage> {
    await this.#readNew();
    for (const [sha256, { bytes, putMs }] of this.#index.entries()) yield { sha256, bytes, putMs };
  }

  /** Out of the way first: who puts it meanwhile writes it anew, or finds that it is gone. */
  async remove(
    sha256: string,
    isUnused: () => Promise<boolean>,
  ): Promise<boolean | undefined> {
    const place = this.#index.remove(sha256);
    if (place === undefined) return undefined;
    this.#removing.add(place);
    try {
      const remove = await isUnused().catch(() => false);
      if (!remove) {
        if (this.#index.find(sha256) === undefined) this.#index.set(sha256, place);
        return false;
      }
      // Of one that was put anew meanwhile only the old one is gone: its removal would be the last word.
      if (this.#index.find(sha256) === undefined && !this.#arriving.has(sha256)) {
        await this.#append({ kind: "removed", sha256, bytes: noBytes });
      }
    } finally {
      this.#removing.delete(place);
    }
    if (this.#options.owns) await this.#deleteIfEmpty(place.segment);
    return true;
  }

  /** Copies what is left of segments that are mostly empty, and deletes them. */
  async tidy(signal?: AbortSignal): Promise<void> {
    if (!this.#options.owns) return;
    const { segmentBytes } = this.#options;
    const sparse = [...this.#ends.keys()].filter((number) =>
      number !== this.#current && this.#index.liveBytes(number) < segmentBytes / 2
    );
    // Each start makes one that is not full: only when there are many is it worth the copying.
    const isWorthIt = (number: number) =>
      sparse.length >= maxSparse ||
      this.#index.liveBytes(number) < this.#ends.get(number)! / 2;
    for (const number of sparse.filter(isWorthIt)) {
      if (signal?.aborted) return;
      await this.#empty(number);
    }
  }

  async #empty(number: number): Promise<void> {
    for (const [sha256, place] of this.#index.entries()) {
      if (place.segment !== number) continue;
      using file = await Deno.open(segmentPath(this.#options.path, number));
      const bytes = await readAt(file, place.offset, place.bytes);
      // It may be removed by now: then it is not to come back.
      if (this.#index.find(sha256)?.segment !== number) continue;
      await this.#append({ kind: "images", sha256, bytes, putMs: place.putMs });
    }
    await this.#deleteIfEmpty(number);
  }

  async #deleteEmpty(): Promise<void> {
    // The oldest first: others may be kept for its sake.
    const numbers = [...this.#ends.keys()].sort((one, other) => one - other);
    for (const number of numbers) await this.#deleteIfEmpty(number);
  }

  async #deleteIfEmpty(number: number): Promise<void> {
    if (number === this.#current || this.#index.liveBytes(number) > 0) return;
    // One of its images may stay after all.
    if ([...this.#removing].some(({ segment }) => segment === number)) return;
    // What it says of an older one's images is to be read again at the next start.
    if (this.#removals.has(number) && [...this.#ends.keys()].some((older) => older < number)) {
      return;
    }
    this.#ends.delete(number);
    this.#removals.delete(number);
    try {
      await Deno.remove(segmentPath(this.#options.path, number));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  /** Whether its segment still reaches so far. */
  async #isThere({ segment, offset, bytes }: ImagePlace): Promise<boolean> {
    try {
      const { size } = await Deno.stat(segmentPath(this.#options.path, segment));
      return size >= offset + bytes;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  }

  /** Reads what has come since: at the start all, later what other processes have written. */
  #readNew(): Promise<void> {
    return this.#reading ??= this.#readAll().finally(() => this.#reading = undefined);
  }

  async #readAll(): Promise<void> {
    const { path } = this.#options;
    for (const number of await segmentNumbers(path)) {
      // What this process writes it knows.
      if (number === this.#current) continue;
      try {
        for await (
          const batch of readBatches(segmentPath(path, number), this.#ends.get(number) ?? 0)
        ) {
          this.#take(number, batch, batch.offset);
          this.#ends.set(number, batch.end);
        }
        if (!this.#ends.has(number)) this.#ends.set(number, 0);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
  }

  /** Where a batch's images are from now on. */
  #take(segment: number, { kind, entries, putMs }: BatchHead, firstOffset: number): void {
    let offset = firstOffset;
    for (const { sha256, bytes } of entries) {
      if (kind === "removed") {
        this.#index.remove(sha256);
        this.#removals.add(segment);
      } else this.#index.set(sha256, { segment, offset, bytes, putMs });
      offset += bytes;
    }
  }

  #append(one: Omit<Waiting, "resolve" | "reject">): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...one, resolve, reject });
      if (!this.#isWriting) void this.#writeAll();
    });
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    // What comes in the same turn goes together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#nextBatch();
      try {
        await this.#write(batch);
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#isWriting = false;
  }

  /** Of one kind, in order. */
  #nextBatch(): Waiting[] {
    const [{ kind, putMs }] = this.#waiting as [Waiting];
    let bytes = 0;
    let count = 0;
    for (const one of this.#waiting) {
      bytes += one.bytes.length;
      const isFull = count >= maxEntries || count > 0 && bytes > this.#options.batchBytes;
      // What is copied keeps its time.
      if (one.kind !== kind || one.putMs !== putMs || isFull) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    const [{ kind, putMs = this.#options.world.nowMs() }] = batch as [Waiting];
    const entries = batch.map(({ sha256, bytes }): BatchEntry => ({ sha256, bytes: bytes.length }));
    const head = { kind, putMs, entries };
    const headLine = encodeHead(head);
    const segment = this.#current ?? await this.#begin();
    const start = this.#ends.get(segment)!;
    const parts = [headLine, ...batch.map(({ bytes }) => bytes)];
    try {
      this.#reservedEnd = await appendSynced(segmentPath(this.#options.path, segment), {
        ...{ offset: start, reservedEnd: this.#reservedEnd, parts },
      });
    } catch (error) {
      // What a sync that failed has left on disk nobody knows: nothing is written behind it.
      this.#current = undefined;
      await cutOff(segmentPath(this.#options.path, segment), start);
      throw error;
    }
    const end = parts.reduce((sum, { length }) => sum + length, start);
    this.#ends.set(segment, end);
    this.#take(segment, head, start + headLine.length);
    if (end >= this.#options.segmentBytes) this.#current = undefined;
  }

  /** A new segment, whose name is durable. Its number is above all that there are. */
  async #begin(): Promise<number> {
    const { path } = this.#options;
    for (;;) {
      const number = Math.max(0, ...await segmentNumbers(path), ...this.#ends.keys()) + 1;
      try {
        const file = await Deno.open(segmentPath(path, number), {
          ...{ createNew: true, write: true, mode: 0o600 },
        });
        file.close();
      } catch (error) {
        // Another process was faster.
        if (error instanceof Deno.errors.AlreadyExists) continue;
        throw error;
      }
      await syncFolder(path);
      this.#ends.set(number, 0);
      this.#reservedEnd = 0;
      return this.#current = number;
    }
  }
}

/** The folder of the segments, in the folder of a store. */
export function segmentsFolder(path: string): string {
  return join(path, "segments");
}
