/**
 * Which iris codes are worth comparing: those that have several small patterns of bits in common.
 * After F. Hao, J. Daugman and P. Zieliński, "A fast search algorithm for a large fuzzy database"
 * (IEEE Transactions on Information Forensics and Security, 2008), whose beacons these are.
 *
 * A beacon is 11 bits of a code, out of a sector of 64 columns, so that a lid covers all of them or
 * none: 16 patterns at each of 32 columns. Two codes of different eyes share one by chance in one of
 * 2,048, codes of one eye, of whose bits even a quarter differ, in one of 24. Who shares three at
 * the same shift is compared as a whole; nobody else is. How many are missed by that is measured in
 * `bench/orb_uniqueness.ts`.
 *
 * @module
 */
import { codeColumns, codeRows, type IrisCode, maxShift, rowWords } from "./iris_code.ts";

const patternCount = 16;
const bitsPerBeacon = 11;
const keyCount = 2 ** bitsPerBeacon;
/** Columns that a beacon's bits come from. */
const sectorColumns = 64;
/** Columns from one beacon of a pattern to its next. */
const stepColumns = 8;
/** A beacon with more bits that cannot be trusted says nothing. */
const maxUntrusted = 4;
/** Beacons of a code. */
const beaconCount = patternCount * codeColumns / stepColumns;
/** Beacons in common from which codes are compared. */
const minShared = 3;

interface PatternBit {
  readonly row: number;
  readonly column: number;
  readonly plane: "real" | "imaginary";
}

const patterns = makePatterns();

/** Spread evenly over the sector, in rows by chance, which is the same each time. */
function makePatterns(): PatternBit[][] {
  // Numerical Recipes' linear congruential generator.
  let state = 7;
  const below = (limit: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor(state / 2 ** 32 * limit);
  };
  const slot = sectorColumns / bitsPerBeacon;
  return Array.from(
    { length: patternCount },
    () =>
      Array.from({ length: bitsPerBeacon }, (_, index) => ({
        row: below(codeRows),
        column: Math.floor(index * slot) + below(Math.floor(slot)),
        plane: below(2) === 0 ? "real" : "imaginary",
      })),
  );
}

/** The keys of a code's beacons at every `step`-th column, pattern by pattern; -1 where one says nothing. */
function keysOf(code: IrisCode, step: number): Int16Array {
  const columns = codeColumns / step;
  const keys = new Int16Array(patternCount * columns);
  patterns.forEach((pattern, index) => {
    for (let at = 0; at < columns; at++) {
      keys[index * columns + at] = keyOf(code, pattern, at * step);
    }
  });
  return keys;
}

function keyOf({ real, imaginary, mask }: IrisCode, pattern: PatternBit[], first: number): number {
  let key = 0;
  let untrusted = 0;
  for (const { row, column, plane } of pattern) {
    const at = (first + column) % codeColumns;
    const word = row * rowWords + (at >> 5);
    const bits = plane === "real" ? real[word]! : imaginary[word]!;
    key = (key << 1) | ((bits >>> (at & 31)) & 1);
    untrusted += 1 - ((mask[word]! >>> (at & 31)) & 1);
  }
  return untrusted > maxUntrusted ? -1 : key;
}

/** Codes of a block that is being filled. */
const defaultBlockCodes = 16_384;
/**
 * So many full blocks become one: a look-up fetches each list from far memory, and one of 32 places
 * costs little more than one of eight. Places in it fit into 16 bits, and its counters into a core's own memory.
 */
const mergedBlocks = 4;
/** Lists of a block: one of each key of each beacon. */
const listCount = beaconCount * keyCount;

/** A block of codes that share beacons. */
interface BeaconBlock {
  /** Codes in it. */
  readonly size: number;
  /** Counts for each code the beacons it shares in a list, and notes those that have enough by that. */
  count(list: number, counts: Uint8Array, found: number[]): void;
}

/** While it is filled: of each list a chain, the newest place first. */
class OpenBlock implements BeaconBlock {
  size = 0;
  /** Of each list its newest link, from 1. */
  readonly #heads = new Uint32Array(listCount);
  /** Of each link the one before it, and its code's place. */
  #before = new Uint32Array(4_096);
  #places = new Uint16Array(4_096);
  #links = 0;

  add(code: IrisCode): void {
    const keys = keysOf(code, stepColumns);
    for (let beacon = 0; beacon < beaconCount; beacon++) {
      if (keys[beacon]! >= 0) this.#link(beacon * keyCount + keys[beacon]!);
    }
    this.size++;
  }

  #link(list: number): void {
    const link = ++this.#links;
    if (link >= this.#before.length) {
      const [before, places] = [this.#before, this.#places];
      this.#before = new Uint32Array(2 * before.length);
      this.#places = new Uint16Array(2 * places.length);
      this.#before.set(before);
      this.#places.set(places);
    }
    this.#before[link] = this.#heads[list]!;
    this.#places[link] = this.size;
    this.#heads[list] = link;
  }

  count(list: number, counts: Uint8Array, found: number[]): void {
    for (let link = this.#heads[list]!; link !== 0; link = this.#before[link]!) {
      const place = this.#places[link]!;
      if (++counts[place]! === minShared) found.push(place);
    }
  }

  seal(): SealedBlock {
    const starts = new Uint32Array(listCount + 1);
    const places = new Uint16Array(this.#links);
    let filled = 0;
    for (let list = 0; list < listCount; list++) {
      starts[list] = filled;
      for (let link = this.#heads[list]!; link !== 0; link = this.#before[link]!) {
        places[filled++] = this.#places[link]!;
      }
    }
    starts[listCount] = filled;
    return new SealedBlock(this.size, starts, places);
  }
}

/** Lists of places, one behind the other. */
class SealedBlock implements BeaconBlock {
  readonly size: number;
  readonly #starts: Uint32Array;
  readonly #places: Uint16Array;

  constructor(size: number, starts: Uint32Array, places: Uint16Array) {
    this.size = size;
    this.#starts = starts;
    this.#places = places;
  }

  count(list: number, counts: Uint8Array, found: number[]): void {
    const places = this.#places;
    const end = this.#starts[list + 1]!;
    for (let at = this.#starts[list]!; at < end; at++) {
      const place = places[at]!;
      if (++counts[place]! === minShared) found.push(place);
    }
  }

  /** The same codes in one block, in their order. */
  static merge(blocks: readonly SealedBlock[]): SealedBlock {
    const starts = new Uint32Array(listCount + 1);
    const places = new Uint16Array(blocks.reduce((sum, one) => sum + one.#places.length, 0));
    let filled = 0;
    for (let list = 0; list < listCount; list++) {
      starts[list] = filled;
      let first = 0;
      for (const block of blocks) {
        const end = block.#starts[list + 1]!;
        for (let at = block.#starts[list]!; at < end; at++) {
          places[filled++] = first + block.#places[at]!;
        }
        first += block.size;
      }
    }
    starts[listCount] = filled;
    return new SealedBlock(blocks.reduce((sum, { size }) => sum + size, 0), starts, places);
  }
}

/** A code that may be of the same eye. */
export interface IrisCandidate {
  /** The count of those that were added before it. */
  readonly place: number;
  /** The columns by which the code that was asked about is to be turned. */
  readonly shift: number;
}

/**
 * The beacons of many codes; about 1.1 kB a code.
 *
 * @example
 * ```ts
 * const beacons = new IrisBeacons();
 * beacons.add(enrolled);
 * for (const { place, shift } of beacons.candidates(probe)) console.log(place, shift);
 * ```
 */
export class IrisBeacons {
  readonly #blockCodes: number;
  readonly #counts: Uint8Array;
  /** Full ones, in the order of their codes; the newest may still have to be merged. */
  #sealed: SealedBlock[] = [];
  #open = new OpenBlock();

  /** @param blockCodes codes of a block that is being filled, 1 to 16,384. @default 16_384 */
  constructor(blockCodes = defaultBlockCodes) {
    this.#blockCodes = blockCodes;
    this.#counts = new Uint8Array(mergedBlocks * blockCodes);
  }

  /** Adds a code; its place is the count of those added before. */
  add(code: IrisCode): void {
    this.#open.add(code);
    if (this.#open.size < this.#blockCodes) return;
    this.#sealed.push(this.#open.seal());
    this.#open = new OpenBlock();
    const last = this.#sealed.slice(-mergedBlocks);
    if (last.length === mergedBlocks && last.every(({ size }) => size === this.#blockCodes)) {
      this.#sealed.splice(-mergedBlocks, mergedBlocks, SealedBlock.merge(last));
    }
  }

  /** Takes every code out. */
  clear(): void {
    this.#sealed = [];
    this.#open = new OpenBlock();
  }

  /** Those that share enough with a code, each perhaps at several shifts. */
  *candidates(code: IrisCode): Iterable<IrisCandidate> {
    const keys = keysOf(code, 1);
    let first = 0;
    for (const block of [...this.#sealed, this.#open]) {
      for (let shift = -maxShift; shift <= maxShift; shift++) {
        for (const place of this.#sharing(block, keys, shift)) {
          yield { place: first + place, shift };
        }
      }
      first += block.size;
    }
  }

  #sharing(block: BeaconBlock, keys: Int16Array, shift: number): number[] {
    const found: number[] = [];
    this.#counts.fill(0, 0, block.size);
    for (let beacon = 0; beacon < beaconCount; beacon++) {
      const pattern = Math.floor(beacon * stepColumns / codeColumns);
      const column = beacon * stepColumns % codeColumns;
      // The code turned by `shift` has there what it has itself so many columns before.
      const key = keys[pattern * codeColumns + (column - shift + codeColumns) % codeColumns]!;
      if (key >= 0) block.count(beacon * keyCount + key, this.#counts, found);
    }
    return found;
  }
}
