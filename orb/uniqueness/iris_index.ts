/**
 * Finds, among iris codes, the one that differs least from another.
 *
 * Of a few it compares with every one at every shift, and misses none. Of many it compares with
 * those that share beacons (`iris_beacons.ts`), some hundred times as fast: it may miss one that is
 * just within the threshold, and never gives one that is not. A comparison is given up once more
 * bits differ than the threshold allows, whatever the rest says.
 *
 * @module
 */
import { IrisBeacons } from "./iris_beacons.ts";
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
/** Up to so many codes each is compared: some 30 ms. */
export const maxScanned = 2_000;

/**
 * The index; some 2 kB a code.
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
  readonly #beacons = new IrisBeacons();

  /** Codes held. */
  get size(): number {
    return this.#size;
  }

  /** Adds a code; returns its place, the count of those added before. */
  add(code: IrisCode): number {
    const { real, imaginary, mask } = code;
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
    this.#beacons.add(code);
    return place;
  }

  /** Takes every code out. */
  clear(): void {
    this.#size = 0;
    this.#beacons.clear();
  }

  /**
   * Finds the nearest code; of several at the same distance the one that was added first. Of more than
   * {@linkcode maxScanned} it may miss one.
   *
   * @param maxDistance share of the bits that may differ, 0 to 1.
   * @returns undefined where none is that near.
   */
  nearest(code: IrisCode, maxDistance: number): NearestIris | undefined {
    if (this.#size <= maxScanned) return this.scan(code, maxDistance);
    const probe = probeOf(code);
    let best: NearestIris | undefined;
    for (const { place, shift } of this.#beacons.candidates(code)) {
      const limit = best?.distance ?? maxDistance;
      if (place === best?.place) continue;
      if (this.#at(place, probe.trusted, probe.turned[shift + maxShift]!, limit) > limit) continue;
      // At another shift it may be nearer still.
      best = nearer(best, this.#nearestShift(place, probe, limit));
    }
    return best;
  }

  /** Finds the same by comparing with every code: it misses none. */
  scan(code: IrisCode, maxDistance: number): NearestIris | undefined {
    const probe = probeOf(code);
    let best: NearestIris | undefined;
    for (let place = 0; place < this.#size; place++) {
      best = nearer(best, this.#nearestShift(place, probe, best?.distance ?? maxDistance));
    }
    return best;
  }

  /** The least distance over all shifts, if it is within the limit. */
  #nearestShift(place: number, { trusted, turned }: Probe, limit: number): NearestIris | undefined {
    let least = Infinity;
    for (const probe of turned) {
      const distance = this.#at(place, trusted, probe, Math.min(limit, least));
      if (distance <= limit && distance < least) least = distance;
    }
    return least === Infinity ? undefined : { place, distance: least };
  }

  /** The distance at one shift; 1 as soon as it is beyond the limit. */
  #at(place: number, trusted: number, probe: IrisCode, limit: number): number {
    const mostShared = 2 * Math.min(trusted, this.#trusted[place]!);
    return mostShared < 2 * minSharedBits ? 1 : this.#distance(place, probe, limit * mostShared);
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

/** A code at every shift. */
interface Probe {
  readonly trusted: number;
  readonly turned: readonly IrisCode[];
}

function probeOf(code: IrisCode): Probe {
  const shifts = Array.from({ length: 2 * maxShift + 1 }, (_, index) => index - maxShift);
  return { trusted: bitsSet(code.mask), turned: shifts.map((shift) => shifted(code, shift)) };
}

/** Of two as near the one that was added first. */
function nearer(
  a: NearestIris | undefined,
  b: NearestIris | undefined,
): NearestIris | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  if (a.distance !== b.distance) return a.distance < b.distance ? a : b;
  return a.place < b.place ? a : b;
}

function grown(array: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(2 * array.length);
  larger.set(array);
  return larger;
}
