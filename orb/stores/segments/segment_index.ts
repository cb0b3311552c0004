/**
 * Where each image is, in memory: some 90 bytes an image, with what `token_index.ts` takes.
 *
 * @module
 */
import { TokenIndex } from "../sqlite/token_index.ts";

/** Where an image is. */
export interface ImagePlace {
  /** The number of its segment. */
  readonly segment: number;
  /** Where its bytes begin in it. */
  readonly offset: number;
  readonly bytes: number;
  /** When it was put last, in milliseconds since the epoch. */
  readonly putMs: number;
}

const digestWords = 8;
const firstRows = 1_024;

/** Images by the SHA-256 of their bytes, in hex. */
export class SegmentIndex {
  readonly #index = new TokenIndex();
  /** Rows begin at 1, and are not used again: what is removed is free after the next start. */
  #rows = 0;
  #digests = new Uint32Array(firstRows * digestWords);
  /** 0 where it was removed. */
  #segments = new Uint32Array(firstRows);
  #lengths = new Uint32Array(firstRows);
  /** Exact up to 2^53. */
  #offsets = new Float64Array(firstRows);
  #times = new Float64Array(firstRows);
  readonly #liveBytes = new Map<number, number>();

  /** Where an image is. */
  find(sha256: string): ImagePlace | undefined {
    const row = this.#rowOf(wordsOf(sha256));
    return row === 0 ? undefined : this.#placeOf(row);
  }

  /** Adds an image, or says where it is by now. */
  set(sha256: string, place: ImagePlace): void {
    const words = wordsOf(sha256);
    let row = this.#rowOf(words);
    if (row === 0) {
      row = ++this.#rows;
      if (row >= this.#segments.length) this.#grow();
      this.#digests.set(words, row * digestWords);
      this.#index.add(words[0]!, words[1]!, row);
    } else this.#count(this.#segments[row]!, -this.#lengths[row]!);
    this.#segments[row] = place.segment;
    this.#lengths[row] = place.bytes;
    this.#offsets[row] = place.offset;
    this.#times[row] = place.putMs;
    this.#count(place.segment, place.bytes);
  }

  /** Forgets an image, and says where it was. */
  remove(sha256: string): ImagePlace | undefined {
    const row = this.#rowOf(wordsOf(sha256));
    if (row === 0) return undefined;
    const place = this.#placeOf(row);
    this.#count(place.segment, -place.bytes);
    this.#segments[row] = 0;
    return place;
  }

  /** Every image, with what is added meanwhile. */
  *entries(): Iterable<[sha256: string, place: ImagePlace]> {
    for (let row = 1; row <= this.#rows; row++) {
      if (this.#segments[row] === 0) continue;
      const digest = this.#digests.slice(row * digestWords, (row + 1) * digestWords);
      yield [new Uint8Array(digest.buffer).toHex(), this.#placeOf(row)];
    }
  }

  /** Bytes of the images that a segment has. */
  liveBytes(segment: number): number {
    return this.#liveBytes.get(segment) ?? 0;
  }

  #count(segment: number, bytes: number): void {
    const left = this.liveBytes(segment) + bytes;
    if (left === 0) this.#liveBytes.delete(segment);
    else this.#liveBytes.set(segment, left);
  }

  #rowOf(words: Uint32Array): number {
    return this.#index.find(words[0]!, words[1]!, (row) => {
      if (this.#segments[row] === 0) return false;
      for (let word = 0; word < digestWords; word++) {
        if (this.#digests[row * digestWords + word] !== words[word]) return false;
      }
      return true;
    });
  }

  #placeOf(row: number): ImagePlace {
    return {
      segment: this.#segments[row]!,
      offset: this.#offsets[row]!,
      bytes: this.#lengths[row]!,
      putMs: this.#times[row]!,
    };
  }

  #grow(): void {
    const rows = this.#segments.length * 2;
    this.#digests = grown(this.#digests, new Uint32Array(rows * digestWords));
    this.#segments = grown(this.#segments, new Uint32Array(rows));
    this.#lengths = grown(this.#lengths, new Uint32Array(rows));
    this.#offsets = grown(this.#offsets, new Float64Array(rows));
    this.#times = grown(this.#times, new Float64Array(rows));
  }
}

function grown<Column extends { set(old: Column): void }>(old: Column, column: Column): Column {
  column.set(old);
  return column;
}

/** In the byte order of this machine: it is only ever compared with itself. */
function wordsOf(sha256: string): Uint32Array {
  return new Uint32Array(Uint8Array.fromHex(sha256).buffer);
}
