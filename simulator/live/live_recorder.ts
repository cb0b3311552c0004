/**
 * Writes down the decisions of a live run, under the names that the simulation knows them by.
 *
 * Orders are renamed `o1`, `o2`, … as they were placed. What two calls did at the same time may come
 * in another order in virtual time: a replay has the same faults at the same calls, not the same
 * instants, and must end the same.
 *
 * @module
 */
import type { Decision } from "../simulation/decisions.ts";
import type { Intervention } from "../simulation/interventions.ts";
import type { LiveEvent } from "./live_event.ts";
import { resultIdOf } from "../topology/settings.ts";

/** What is recorded, at most; beyond it the record says that it is cut. */
export interface RecorderLimits {
  /** @default 100_000 */
  readonly decisions?: number;
  /** @default 10_000 */
  readonly orders?: number;
}

/** An order, for a replay to place it again. */
export interface RecordedOrder {
  /** Its name in the record. */
  readonly id: string;
  readonly key: string;
  /** When it was placed, in milliseconds since the first. */
  readonly atMs: number;
}

/** What a live run was, as far as it was written down. */
export interface LiveRecording {
  readonly orders: readonly RecordedOrder[];
  readonly decisions: readonly Decision[];
  /** What was done to parts; times are in milliseconds since the first order. */
  readonly interventions: readonly Intervention[];
  /** Whether there was more than the limits let in. */
  readonly isCut: boolean;
}

const maxInterventions = 1_000;

/** Records. */
export class LiveRecorder {
  readonly #limits: Required<RecorderLimits>;
  /** By the live name. */
  readonly #names = new Map<string, string>();
  readonly #orders: RecordedOrder[] = [];
  readonly #decisions = new Map<string, number>();
  readonly #interventions: Intervention[] = [];
  /** How often a call was made, by its name. */
  readonly #calls = new Map<string, number>();
  #firstMs: number | undefined;
  #isCut = false;

  constructor({ decisions = 100_000, orders = 10_000 }: RecorderLimits = {}) {
    this.#limits = { decisions, orders };
  }

  /** An order is going to be placed: from now on it has a name. */
  ordered(orderId: string, key: string, atMs: number): void {
    if (this.#names.has(orderId)) return;
    if (this.#orders.length >= this.#limits.orders) {
      this.#isCut = true;
      return;
    }
    this.#firstMs ??= atMs;
    const id = `o${this.#orders.length + 1}`;
    this.#orders.push({ id, key, atMs: atMs - this.#firstMs });
    this.#names.set(orderId, id);
    this.#names.set(resultIdOf(orderId), resultIdOf(id));
  }

  /** Takes an event in. */
  take(event: LiveEvent): void {
    if (event.type === "call") {
      const subject = this.#subject(event.subject);
      if (subject === undefined) return;
      const name = `fault-${event.point} ${subject}`;
      const times = (this.#calls.get(name) ?? 0) + 1;
      if (this.#calls.size < this.#limits.decisions || times > 1) this.#calls.set(name, times);
      if (event.decision > 0) {
        this.#decide(times === 1 ? name : `${name} #${times}`, event.decision);
      }
    } else if (event.type === "decision") {
      const [, what, subject] = /^(\S+) (?:\d\/)?(\S+)$/.exec(event.name) ?? [];
      const named = subject === undefined ? undefined : this.#subject(subject);
      if (what === undefined || named === undefined) return;
      this.#decide(event.name.slice(0, event.name.length - subject!.length) + named, event.value);
    }
  }

  /** A part has crashed, been killed, or does not run for a while. */
  intervened(kind: "crash" | "pause", part: string, durationMs: number, atMs: number): void {
    if (this.#interventions.length >= maxInterventions) this.#isCut = true;
    else {
      const sinceMs = atMs - (this.#firstMs ?? atMs);
      this.#interventions.push({ kind, part, durationMs: Math.round(durationMs), atMs: sinceMs });
    }
  }

  /** What has been recorded so far. */
  recording(): LiveRecording {
    return {
      orders: [...this.#orders],
      decisions: [...this.#decisions],
      interventions: [...this.#interventions],
      isCut: this.#isCut,
    };
  }

  /** The record's name of what a call was about: topics and boxes have their own. */
  #subject(subject: string): string | undefined {
    if (subject === "orders" || subject === "results") return subject;
    return this.#names.get(subject);
  }

  #decide(name: string, value: number): void {
    if (this.#decisions.size < this.#limits.decisions) this.#decisions.set(name, value);
    else this.#isCut = true;
  }
}
