/**
 * Every choice of a run, by name. A run draws its choices from the seed and can write down those
 * that are not the usual ones; a replay takes them from that record, and the usual one where the
 * record has none, so that a shorter record is a simpler run.
 *
 * Each name has draws of its own, which follow from it and the seed alone: whatever else goes another
 * way, what is decided under the same name is decided likewise. So two runs of one seed that differ in
 * a pattern, a rate or a single decision can be compared.
 *
 * @module
 */
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** A choice that was not the usual one. */
export type Decision = readonly [name: string, value: number];

/** Draws from 0 up to, but not including, 1. */
export type Draw = () => number;

/** Where the choices of a run come from. */
export interface DecisionsOptions {
  /** Any 32-bit integer. */
  seed: number;
  /** Writes down what is decided. @default false */
  record?: boolean;
  /** Decides by this record instead of by drawing. @default draws from the seed */
  replay?: readonly Decision[];
  /** Draws from the seed although there is a record, from when it says so on. @default never */
  isOpen?: () => boolean;
  /** Decides these so, whatever the record or the draw says. @default {} */
  changes?: readonly Decision[];
  /** Notified of each choice that a record could hold. @default nobody is */
  onDecision?: (name: string, value: number, usual: number) => void;
}

/** Where something is decided. */
interface Point {
  readonly hash: number;
  /** How often it has been decided about each subject. */
  readonly asked: Map<string, number>;
}

/** The choices of one run. */
export class Decisions {
  readonly record: Decision[] = [];
  readonly #seed: number;
  readonly #records: boolean;
  readonly #replay: ReadonlyMap<string, number> | undefined;
  readonly #changes: ReadonlyMap<string, number> | undefined;
  readonly #isOpen: () => boolean;
  readonly #onDecision: DecisionsOptions["onDecision"];
  readonly #points = new Map<string, Point>();
  readonly #draw: Draw = () => this.#next();
  #state = 0;

  constructor(
    { seed, record = false, replay, isOpen = () => false, changes = [], onDecision }:
      DecisionsOptions,
  ) {
    this.#onDecision = onDecision;
    this.#seed = seed;
    this.#records = record || replay !== undefined;
    this.#replay = replay && new Map(replay);
    this.#changes = changes.length === 0 ? undefined : new Map(changes);
    this.#isOpen = isOpen;
  }

  /**
   * Decides about a subject at a point.
   *
   * @param choose makes the choice by drawing; not called in a replay
   * @param usual the choice that is not worth a record
   */
  decide(point: string, subject: string, choose: (draw: Draw) => number, usual = 0): number {
    const { hash, asked } = this.#pointOf(point);
    const time = (asked.get(subject) ?? 0) + 1;
    asked.set(subject, time);
    const isDrawn = this.#replay === undefined || this.#isOpen();
    if (isDrawn && !this.#records && this.#changes === undefined && !this.#onDecision) {
      return this.#drawn(hash, subject, time, choose);
    }
    const name = time === 1 ? `${point} ${subject}` : `${point} ${subject} #${time}`;
    const value = this.#changes?.get(name) ??
      (isDrawn ? this.#drawn(hash, subject, time, choose) : this.#replay!.get(name) ?? usual);
    if (this.#records && value !== usual) this.record.push([name, value]);
    this.#onDecision?.(name, value, usual);
    return value;
  }

  #pointOf(point: string): Point {
    let known = this.#points.get(point);
    if (known === undefined) {
      known = { hash: hashOf(`${this.#seed} ${point}`), asked: new Map() };
      this.#points.set(point, known);
    }
    return known;
  }

  #drawn(hash: number, subject: string, time: number, choose: (draw: Draw) => number): number {
    this.#state = mixed(hashOf(subject, hash) + Math.imul(time, 0x9e3779b9));
    return choose(this.#draw);
  }

  /** SplitMix, 32 bits: the draws of a name are few. */
  #next(): number {
    this.#state = this.#state + 0x9e3779b9 | 0;
    return (mixed(this.#state) >>> 0) / 0x1_0000_0000;
  }
}

/** A generator for a name under a seed. */
export function seededDraw(seed: number, name: string): Draw {
  const generator = xoroshiro128plus(hashOf(`${seed} ${name}`));
  // Seeds that differ by a few bits begin alike.
  for (let i = 0; i < 8; i++) generator.next();
  return () => (generator.next() >>> 0) / 0x1_0000_0000;
}

/** Spreads evenly on a logarithmic scale. */
export function logUniform(draw: Draw, min: number, max: number): number {
  return min * Math.pow(max / min, draw());
}

/** FNV-1a, 32 bits, finished as MurmurHash3 does. */
function hashOf(text: string, basis = 0x811c9dc5): number {
  let hash = basis;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b);
  return hash ^ hash >>> 13;
}

/** Each bit of the result depends on each bit of the value (MurmurHash3's finish). */
function mixed(value: number): number {
  let hash = Math.imul(value ^ value >>> 16, 0x85ebca6b);
  hash = Math.imul(hash ^ hash >>> 13, 0xc2b2ae35);
  return hash ^ hash >>> 16;
}
