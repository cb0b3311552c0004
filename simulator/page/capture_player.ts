/**
 * Plays a capture that a person has loaded, within the page: no server is needed for it.
 *
 * @module
 */
import type { StreamedEvent } from "../api.ts";
import { parseDigits, type SeenEvent, seenEvent } from "./stage_model.ts";

const heading = '{"capture":"orrery-simulator","version":1}';
const maxEvents = 500_000;

/** Reads a capture's text; throws what is wrong with it, in words for a person. */
export function readCaptureText(text: string): SeenEvent[] {
  const lines = text.split("\n");
  if (lines[0]?.trim() !== heading) {
    throw new Error("This is no capture: save one with the button beside this, or by --capture.");
  }
  const events: SeenEvent[] = [];
  for (let i = 1; i < lines.length; i++) {
    if (lines[i]!.trim() === "") continue;
    if (events.length >= maxEvents) throw new Error(`It has more than ${maxEvents} events.`);
    try {
      const { atMs, client, data } = parseDigits(lines[i]!) as StreamedEvent;
      if (!Number.isFinite(atMs) || !Number.isSafeInteger(client)) throw new Error("no event");
      const event = seenEvent({ id: `capture-${i}`, client, atMs, data });
      if (event) events.push(event);
    } catch {
      throw new Error(`Line ${i + 1} of it is broken.`);
    }
  }
  if (events.length === 0) throw new Error("It has no events.");
  return events;
}

/** The longest silence that is kept, in milliseconds: nobody watches an empty stage. */
const longestGapMs = 5_000;

/** Gives out the events of a capture as their time comes. */
export class CapturePlayer {
  readonly events: readonly SeenEvent[];
  /** How many times as fast. */
  speed = 1;
  #next = 0;
  /** The capture's clock. */
  #atMs: number;

  constructor(events: readonly SeenEvent[]) {
    this.events = events;
    this.#atMs = events[0]!.atMs;
  }

  /** Events given out so far. */
  get played(): number {
    return this.#next;
  }

  /** Whether all have been given out. */
  get ended(): boolean {
    return this.#next >= this.events.length;
  }

  /** Lets so much time pass, as a person feels it, and gives what has come in it. */
  advance(elapsedMs: number): SeenEvent[] {
    const from = this.#next;
    this.#atMs += elapsedMs * this.speed;
    while (!this.ended) {
      const { atMs } = this.events[this.#next]!;
      const gapMs = atMs - this.#atMs;
      if (gapMs > longestGapMs * this.speed) this.#atMs = atMs - longestGapMs * this.speed;
      if (atMs > this.#atMs) break;
      this.#next++;
    }
    return this.events.slice(from, this.#next);
  }

  /** Gives the next event, whenever it came. */
  step(): SeenEvent[] {
    const event = this.events[this.#next];
    if (!event) return [];
    this.#next++;
    this.#atMs = Math.max(this.#atMs, event.atMs);
    return [event];
  }

  /** Begins anew. */
  rewind(): void {
    this.#next = 0;
    this.#atMs = this.events[0]!.atMs;
  }
}
