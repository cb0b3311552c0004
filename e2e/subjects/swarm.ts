/**
 * Swarm testing of our own services in virtual time: which faults a run has, and how often, follows
 * from its seed; each kind is absent in half of the seeds (Groce, swarm testing, 2012).
 *
 * @module
 */
import { logUniform, seededDraw } from "../../simulator/simulation/decisions.ts";
import { pause } from "../../service/resilience.ts";
import type { VirtualWorld } from "../../service/world/virtual_world.ts";

/** What can go wrong with something that is sent. */
export const sendFaults = ["refuse", "lose", "lose-answer", "delay", "duplicate"] as const;

/** One of {@linkcode sendFaults}. */
export type SendFault = typeof sendFaults[number];

/** The faults of a run. */
export interface Swarm {
  /** Probability of each kind, for one message. */
  readonly rates: Readonly<Record<SendFault, number>>;
  /** How often something is out as a whole. */
  readonly outages: number;
  /** How often a process crashes. */
  readonly crashes: number;
  /** How long anything lasts at most, in milliseconds. */
  readonly longestMs: number;
}

/** What has become of a run. */
export interface SubjectRun {
  readonly seed: number;
  readonly swarm: Swarm;
  /** What does not hold, in words; empty if all does. */
  readonly violations: readonly string[];
  /** A line for each thing that happened, with its virtual time. */
  readonly log: readonly string[];
  readonly virtualMs: number;
  /** How often each thing happened that a sweep wants to see. */
  readonly reached: ReadonlyMap<string, number>;
}

/** Draws the faults of a seed. */
export function drawSwarm(seed: number): Swarm {
  const draw = seededDraw(seed, "swarm");
  const rates = Object.fromEntries(
    sendFaults.map((fault) => [fault, draw() < 0.5 ? 0 : logUniform(draw, 0.01, 0.2)]),
  ) as Record<SendFault, number>;
  return {
    rates,
    outages: draw() < 0.5 ? 0 : 1 + Math.floor(draw() * 3),
    crashes: draw() < 0.5 ? 0 : 1 + Math.floor(draw() * 3),
    longestMs: logUniform(draw, 200, 8_000),
  };
}

/** Chance, time and notes of a run: what its faults are made with. */
export class Chaos {
  readonly reached = new Map<string, number>();
  readonly log: string[] = [];
  readonly swarm: Swarm;
  readonly #world: VirtualWorld;
  readonly #draw: () => number;
  #isHealed = false;

  constructor(world: VirtualWorld, seed: number) {
    this.#world = world;
    this.swarm = drawSwarm(seed);
    this.#draw = seededDraw(seed, "chaos");
  }

  get isHealed(): boolean {
    return this.#isHealed;
  }

  /** No faults from now on. */
  heal(): void {
    this.#isHealed = true;
    this.note("heal");
  }

  note(what: string, about = ""): void {
    this.reached.set(what, (this.reached.get(what) ?? 0) + 1);
    this.log.push(`${this.#world.monotonicMs().toFixed(3)} ${what} ${about}`.trimEnd());
  }

  random(): number {
    return this.#draw();
  }

  /** Which fault a message meets, if any. */
  fault(): SendFault | undefined {
    if (this.#isHealed) return undefined;
    let value = this.#draw();
    for (const fault of sendFaults) {
      value -= this.swarm.rates[fault];
      if (value < 0) return fault;
    }
    return undefined;
  }

  /** How long a fault lasts, in milliseconds: log-uniform. */
  durationMs(): number {
    return logUniform(this.#draw, 1, this.swarm.longestMs);
  }

  /** Does something so many times within a time, each at a moment that is drawn. */
  async scatter(times: number, withinMs: number, work: () => Promise<void>): Promise<void> {
    await Promise.all(Array.from({ length: times }, async () => {
      await this.pause(this.#draw() * withinMs);
      if (!this.#isHealed) await work();
    }));
  }

  async pause(delayMs: number): Promise<void> {
    await pause(delayMs, { world: this.#world });
  }
}
