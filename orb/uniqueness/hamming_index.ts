/**
 * Finds, among hashes of 64 bits, the one that differs least from another: multi-index hashing
 * (M. Norouzi, A. Punjani, D. Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing",
 * 2014). It is exact: what a comparison with every hash would find is found.
 *
 * A hash is cut into four parts of 16 bits. Of two hashes that differ in at most `r = 4q + a` bits,
 * one of the first `a + 1` parts differs in at most `q` bits, or one of the others in at most
 * `q - 1`. So each part has a table of its values, and only the hashes are compared that share a
 * part but for so few bits: at a distance of 8 that is one in 350 of hashes that are spread evenly.
 * Hashes that crowd together, as those of images of one kind do, may leave more to compare than
 * there are hashes; then all are compared in a row instead, which costs less.
 *
 * A part's table holds the hashes themselves, in the order of that part's value, so that those with
 * one value lie side by side (measured against chains of places: 0.1 of the time, as nearly every
 * step along a chain waits for memory). What was added since the tables were made is compared in a
 * row, until it is a share of the whole and the tables are made anew. 56 bytes a hash.
 *
 * @module
 */
import { popCount } from "./perceptual_hash.ts";

/** The nearest of what an index holds. */
export interface Nearest {
  /** The place that {@linkcode HammingIndex.add} returned. */
  readonly place: number;
  /** Bits that differ. */
  readonly distance: number;
}

const parts = 4;
const partValues = 65_536;
const firstCapacity = 1_024;
/** Tables are made when so many hashes, or this share of them, were added since. */
const minAdded = 4_096;
const maxAddedShare = 1 / 32;
/** Reading a table's entry costs so many times as much as the next one of a row (measured: 2 to 4). */
const tableCost = 3;

/** Every value of 16 bits, those with few bits set first; where those with one more begin. */
const flips = makeFlips();

/**
 * The index.
 *
 * @example
 * ```ts
 * const index = new HammingIndex();
 * index.add(0xffff_0000, 0x1234_5678); // 0
 * index.nearest(0xffff_0001, 0x1234_5678, 8); // { place: 0, distance: 1 }
 * ```
 */
export class HammingIndex {
  #size = 0;
  /** First and second half of each hash. */
  #hashes = new Uint32Array(2 * firstCapacity);
  #tables: readonly Table[] = [];
  /** How many are in the tables; the others came after. */
  #tabled = 0;

  /** Hashes held. */
  get size(): number {
    return this.#size;
  }

  /** Adds a hash, two halves of 32 bits; returns its place, the count of those added before. */
  add(high: number, low: number): number {
    const place = this.#size++;
    if (2 * place >= this.#hashes.length) {
      const larger = new Uint32Array(2 * this.#hashes.length);
      larger.set(this.#hashes);
      this.#hashes = larger;
    }
    this.#hashes[2 * place] = high;
    this.#hashes[2 * place + 1] = low;
    return place;
  }

  /** Takes every hash out. */
  clear(): void {
    this.#size = 0;
    this.#tabled = 0;
    this.#tables = [];
  }

  /**
   * Finds the nearest hash; of several at the same distance the one that was added first.
   *
   * @param maxDistance bits that may differ, 0 to 63.
   * @returns undefined where none is that near.
   */
  nearest(high: number, low: number, maxDistance: number): Nearest | undefined {
    if (this.#size - this.#tabled >= Math.max(minAdded, this.#size * maxAddedShare)) this.#build();
    const search = new Search(high, low, maxDistance);
    const radii = partRadii(maxDistance);
    const candidates = this.#tables.reduce(
      (sum, table, part) => sum + table.count(partOf(high, low, part), radii[part]!),
      0,
    );
    if (candidates * tableCost > this.#tabled) {
      search.compare(this.#hashes, 0, this.#size);
      return search.result();
    }
    this.#tables.forEach((table, part) =>
      table.search(search, partOf(high, low, part), radii[part]!)
    );
    search.compare(this.#hashes, this.#tabled, this.#size);
    return search.result();
  }

  /** Compares with every hash: what {@linkcode HammingIndex.nearest} is measured against. */
  scan(high: number, low: number, maxDistance: number): Nearest | undefined {
    const search = new Search(high, low, maxDistance);
    search.compare(this.#hashes, 0, this.#size);
    return search.result();
  }

  #build(): void {
    this.#tables = Array.from(
      { length: parts },
      (_, part) => new Table(this.#hashes, this.#size, part),
    );
    this.#tabled = this.#size;
  }
}

/** Hashes in the order of one part's value. */
class Table {
  /** Where each value's hashes begin; the next value's beginning is their end. */
  readonly #starts = new Uint32Array(partValues + 1);
  readonly #hashes: Uint32Array;
  readonly #places: Uint32Array;

  constructor(hashes: Uint32Array, size: number, part: number) {
    this.#hashes = new Uint32Array(2 * size);
    this.#places = new Uint32Array(size);
    const starts = this.#starts;
    const valueAt = (place: number) => partOf(hashes[2 * place]!, hashes[2 * place + 1]!, part);
    for (let place = 0; place < size; place++) starts[valueAt(place) + 1]!++;
    for (let value = 0; value < partValues; value++) starts[value + 1]! += starts[value]!;
    const next = starts.slice(0, partValues);
    for (let place = 0; place < size; place++) {
      const at = next[valueAt(place)]!++;
      this.#places[at] = place;
      this.#hashes[2 * at] = hashes[2 * place]!;
      this.#hashes[2 * at + 1] = hashes[2 * place + 1]!;
    }
  }

  /** How many hashes have a value that differs in at most so many bits. */
  count(value: number, radius: number): number {
    const starts = this.#starts;
    const end = flips.ends[radius + 1]!;
    let sum = 0;
    for (let index = 0; index < end; index++) {
      const near = value ^ flips.masks[index]!;
      sum += starts[near + 1]! - starts[near]!;
    }
    return sum;
  }

  search(search: Search, value: number, radius: number): void {
    const end = flips.ends[radius + 1]!;
    for (let index = 0; index < end; index++) {
      const near = value ^ flips.masks[index]!;
      search.compare(this.#hashes, this.#starts[near]!, this.#starts[near + 1]!, this.#places);
    }
  }
}

/** The best so far. */
class Search {
  #place = -1;
  #distance: number;
  readonly #high: number;
  readonly #low: number;

  constructor(high: number, low: number, maxDistance: number) {
    this.#distance = maxDistance + 1;
    this.#high = high;
    this.#low = low;
  }

  /** Compares with hashes that lie in a row; their places are their positions, unless given. */
  compare(hashes: Uint32Array, from: number, to: number, places?: Uint32Array): void {
    const high = this.#high;
    const low = this.#low;
    for (let at = from; at < to; at++) {
      const distance = popCount(hashes[2 * at]! ^ high) + popCount(hashes[2 * at + 1]! ^ low);
      if (distance <= this.#distance) this.#found(distance, places ? places[at]! : at);
    }
  }

  #found(distance: number, place: number): void {
    if (distance === this.#distance && (this.#place < 0 || place >= this.#place)) return;
    this.#distance = distance;
    this.#place = place;
  }

  result(): Nearest | undefined {
    return this.#place < 0 ? undefined : { place: this.#place, distance: this.#distance };
  }
}

/** How many bits of each part may differ. */
function partRadii(maxDistance: number): readonly number[] {
  const all = Math.floor(maxDistance / parts);
  const rest = maxDistance % parts;
  return Array.from({ length: parts }, (_, part) => part <= rest ? all : all - 1);
}

function partOf(high: number, low: number, part: number): number {
  const half = part < 2 ? high : low;
  return part % 2 === 0 ? half >>> 16 : half & 0xffff;
}

function makeFlips(): { masks: Uint16Array; ends: readonly number[] } {
  const byBits: number[][] = Array.from({ length: 17 }, () => []);
  for (let mask = 0; mask < partValues; mask++) byBits[popCount(mask)]!.push(mask);
  const ends = [0];
  for (const masks of byBits) ends.push(ends.at(-1)! + masks.length);
  return { masks: Uint16Array.from(byBits.flat()), ends };
}
