/**
 * Finds, among iris codes, the one that differs least from another. It compares with every code, at
 * every shift: codes of one eye differ in a third of their bits, too many for tables of parts, and
 * a search that skipped some would miss people. A comparison is given up once more bits differ
 * than the threshold allows, whatever the rest says.
 *
 * @module
 */
import {
  bitsSet,
  codeRows,
  type IrisCode,
  maxShift,
  minSharedBits,
  rowWords,
  shifted,
} from "./iris_code.ts";
import { popCount } from "./perceptual_hash.ts";

/** The nearest of what an index holds. */
export interface NearestIris {
  /** The place that {@linkcode IrisIndex.add} returned. */
  readonly place: number;
  /** Share of the bits that differ. */
  readonly distance: number;
}

const planeWords = codeRows * rowWords;
const entryWords = 3 * planeWords;
const firstCapacity = 64;

/**
 * The index; 772 bytes a code.
 *
 * @example
 * ```ts
 * const index = new IrisIndex();
 * index.add(irisCodeOf(first)); // 0
 * index.nearest(irisCodeOf(second), .32); // { place: 0, distance: .05 }, or undefined
 * ```
 */
export class IrisIndex {
  #size = 0;
  #words = new Uint32Array(firstCapacity * entryWords);
  /** Bits that each code trusts. */
  #trusted = new Uint32Array(firstCapacity);

  /** Codes held. */
  get size(): number {
    return this.#size;
  }

  /** Adds a code; returns its place, the count of those added before. */
  add({ real, imaginary, mask }: IrisCode): number {
    const place = this.#size++;
    if (place === this.#trusted.length) {
      this.#words = grown(this.#words);
      this.#trusted = grown(this.#trusted);
    }
    const at = place * entryWords;
    this.#words.set(real, at);
    this.#words.set(imaginary, at + planeWords);
    this.#words.set(mask, at + 2 * planeWords);
    this.#trusted[place] = bitsSet(mask);
    return place;
  }

  /** Takes every code out. */
  clear(): void {
    this.#size = 0;
  }

  /**
   * Finds the nearest code; of several at the same distance the one that was added first.
   *
   * @param maxDistance share of the bits that may differ, 0 to 1.
   * @returns undefined where none is that near.
   */
  nearest(code: IrisCode, maxDistance: number): NearestIris | undefined {
    const trusted = bitsSet(code.mask);
    const turned = Array.from(
      { length: 2 * maxShift + 1 },
      (_, index) => shifted(code, index - maxShift),
    );
    let best: NearestIris | undefined;
    for (let place = 0; place < this.#size; place++) {
      const mostShared = 2 * Math.min(trusted, this.#trusted[place]!);
      if (mostShared < 2 * minSharedBits) continue;
      for (const probe of turned) {
        const limit = best?.distance ?? maxDistance;
        const distance = this.#distance(place, probe, limit * mostShared);
        if (distance < limit || (best === undefined && distance <= limit)) {
          best = { place, distance };
        }
      }
    }
    return best;
  }

  /** Share of the bits that differ; 1 as soon as more than `maxDiffering` do, or too few are shared. */
  #distance(place: number, probe: IrisCode, maxDiffering: number): number {
    const words = this.#words;
    const at = place * entryWords;
    let differing = 0;
    let shared = 0;
    for (let row = 0; row < planeWords; row += rowWords) {
      for (let word = row; word < row + rowWords; word++) {
        const both = words[at + 2 * planeWords + word]! & probe.mask[word]!;
        shared += popCount(both);
        differing += popCount((words[at + word]! ^ probe.real[word]!) & both) +
          popCount((words[at + planeWords + word]! ^ probe.imaginary[word]!) & both);
      }
      if (differing > maxDiffering) return 1;
    }
    return shared < minSharedBits ? 1 : differing / (2 * shared);
  }
}

function grown(array: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(2 * array.length);
  larger.set(array);
  return larger;
}
