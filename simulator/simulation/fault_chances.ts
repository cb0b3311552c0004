/**
 * How calls at a point fail: how likely, in which ways, and what goes on for a while once it has hit.
 *
 * @module
 */
import type { Draw } from "./decisions.ts";
import { type FaultKind, faultKinds, type FaultKnobs, isCrash } from "./options.ts";

/** Rates and knobs by kind. */
type ByKind<T> = Readonly<Partial<Record<FaultKind, T>>>;

const noKnobs: FaultKnobs = {};

/** The faults of one point. */
export class FaultChances {
  readonly #upTo: (readonly [total: number, index: number])[] = [];
  readonly #total: number;
  readonly #knobs: ByKind<FaultKnobs>;
  /** What has hit and goes on, by its number; 0 for nothing. */
  #lasting = 0;
  #lastsUntilMs = 0;

  constructor(rates: ByKind<number>, knobs: ByKind<FaultKnobs> = {}) {
    this.#knobs = knobs;
    let total = 0;
    for (const [index, kind] of faultKinds.entries()) {
      const rate = rates[kind] ?? 0;
      if (rate <= 0) continue;
      total += rate;
      this.#upTo.push([total, index + 1]);
    }
    this.#total = total;
  }

  /** What is set of a kind. */
  knobsOf(kind: FaultKind): FaultKnobs {
    return this.#knobs[kind] ?? noKnobs;
  }

  /** Makes the choice for a call at a time: the number of a kind, or 0 for none. */
  chooserAt(nowMs: number): (draw: Draw) => number {
    return nowMs < this.#lastsUntilMs ? this.#goOn : this.#choose;
  }

  /** A kind has hit at a time: if it is to last, later calls are hit, too. */
  hit(kind: FaultKind, nowMs: number): void {
    const { minDurationMs = 0 } = this.knobsOf(kind);
    // An outage has its own end; what crashes is down, and whoever comes after it does not crash with it.
    if (kind === "outage" || isCrash(kind) || nowMs < this.#lastsUntilMs) return;
    this.#lasting = faultKinds.indexOf(kind) + 1;
    this.#lastsUntilMs = nowMs + minDurationMs;
  }

  readonly #goOn = (): number => this.#lasting;

  readonly #choose = (draw: Draw): number => {
    if (this.#total === 0) return 0;
    const value = draw();
    return value >= this.#total ? 0 : this.#upTo.find(([upTo]) => value < upTo)![1];
  };
}
