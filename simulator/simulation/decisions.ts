/**
 * Every choice of a run, by name. A run draws its choices from the seed and can write down those
 * that are not the usual ones; a replay takes them from that record, and the usual one where the
 * record has none, so that a shorter record is a simpler run.
 *
 * Each name draws from a generator of its own: switching one kind of fault off leaves the draws of
 * the others as they were.
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
  /** Notified of the name of each choice that a record could hold. @default nobody is */
  onDecision?: (name: string) => void;
}

/** The choices of one run. */
export class Decisions {
  readonly record: Decision[] = [];
  readonly #seed: number;
  readonly #records: boolean;
  readonly #replay: ReadonlyMap<string, number> | undefined;
  readonly #isOpen: () => boolean;
  readonly #onDecision: ((name: string) => void) | undefined;
  readonly #draws = new Map<string, Draw>();
  readonly #times = new Map<string, number>();

  constructor(
    { seed, record = false, replay, isOpen = () => false, onDecision }: DecisionsOptions,
  ) {
    this.#onDecision = onDecision;
    this.#seed = seed;
    this.#records = record;
    this.#replay = replay && new Map(replay);
    this.#isOpen = isOpen;
  }

  /**
   * Decides about a subject at a point.
   *
   * @param choose makes the choice by drawing; not called in a replay
   * @param usual the choice that is not worth a record
   */
  decide(point: string, subject: string, choose: (draw: Draw) => number, usual = 0): number {
    if (this.#replay === undefined || this.#isOpen()) {
      const value = choose(this.draws(point));
      if (this.#records && value !== usual) this.record.push([this.#name(point, subject), value]);
      else if (this.#records) this.#name(point, subject);
      return value;
    }
    const name = this.#name(point, subject);
    this.#onDecision?.(name);
    const value = this.#replay.get(name) ?? usual;
    if (value !== usual) this.record.push([name, value]);
    return value;
  }

  /** The generator of a name. */
  draws(point: string): Draw {
    const known = this.#draws.get(point);
    if (known !== undefined) return known;
    const draw = seededDraw(this.#seed, point);
    this.#draws.set(point, draw);
    return draw;
  }

  #name(point: string, subject: string): string {
    const name = `${point} ${subject}`;
    const times = (this.#times.get(name) ?? 0) + 1;
    this.#times.set(name, times);
    return times === 1 ? name : `${name} #${times}`;
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
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b);
  return hash ^ hash >>> 13;
}
