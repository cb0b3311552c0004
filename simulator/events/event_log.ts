/**
 * The events that came in, in their order: the last of them are kept for who connects later, and
 * subscribers get them in batches, each batch what came in one turn of the event loop.
 *
 * @module
 */
import type { World } from "../../service/world/world.ts";
import { EventRing, type KeptEvent } from "./event_ring.ts";
import { readTelemetryEvent, type TelemetryEvent } from "./telemetry_event.ts";

/** An event with its place in the log. */
export interface LoggedEvent {
  /** Position in the log, from 1. */
  readonly sequence: number;
  /** Unique over servers and restarts: a UUID of version 8 (RFC 9562, section 5.8) with the sequence in it. */
  readonly id: string;
  /** Which sprite it belongs to; 0 is the server itself. */
  readonly client: number;
  /** When it came in, in milliseconds since the epoch. */
  readonly atMs: number;
  readonly event: TelemetryEvent;
  /** The JSON as it was received, on one line. */
  readonly json: string;
}

/** Gets what is new, oldest first; must not throw. */
export type EventListener = (events: readonly LoggedEvent[]) => void;

/** Options of {@linkcode EventLog}. */
export interface EventLogOptions {
  /** Events kept for who connects later. @default 10_000 */
  maxEvents?: number;
  /** Bytes of JSON kept; older events go first. @default 16_777_216 */
  maxBytes?: number;
  world: World;
}

/** Where reading goes on. */
export type Position =
  | { readonly kind: "resumed"; readonly after: number }
  /** The id is of another server's run, or no id at all: everything kept is new. */
  | { readonly kind: "reset" }
  /** Events after that one are not kept any more: so many are missing. */
  | { readonly kind: "gap"; readonly after: number; readonly missing: number };

/** Keeps and hands out events. */
export class EventLog {
  readonly #options: Required<EventLogOptions>;
  /** Begins each id of this run. */
  readonly #prefix: string;
  readonly #ring: EventRing;
  #batch: LoggedEvent[] = [];
  readonly #listeners = new Set<EventListener>();

  constructor(options: EventLogOptions) {
    this.#options = { maxEvents: 10_000, maxBytes: 16_777_216, ...options };
    const { maxEvents, maxBytes, world } = this.#options;
    if (!(Number.isSafeInteger(maxEvents) && maxEvents > 0)) {
      throw new RangeError(
        `Cannot keep events as 'maxEvents' must be a positive integer: current value is ${maxEvents}`,
      );
    }
    const run = world.randomBytes(6).toHex();
    this.#prefix = `${run.slice(0, 8)}-${run.slice(8)}-8000-8000-`;
    this.#ring = new EventRing(maxEvents, maxBytes);
  }

  /** Sequence of the newest event, 0 before the first. */
  get newest(): number {
    return this.#ring.newest;
  }

  /** Sequence of the oldest event that is kept. */
  get oldest(): number {
    return this.#ring.oldest;
  }

  /** Events that are kept. */
  get kept(): number {
    return this.newest - this.oldest + 1;
  }

  /** Adds an event; subscribers get it before the next turn of the event loop. */
  append(client: number, event: TelemetryEvent, json: string): LoggedEvent {
    const atMs = this.#options.world.nowMs();
    const sequence = this.#ring.add(client, atMs, json);
    const logged = new Entry(this.#prefix, { sequence, client, atMs, json }, event);
    if (this.#batch.push(logged) === 1) queueMicrotask(() => this.#deliver());
    return logged;
  }

  /** Where a reader who has seen this id goes on. */
  position(id: string): Position {
    if (!id.startsWith(this.#prefix)) return { kind: "reset" };
    const after = parseInt(id.slice(this.#prefix.length), 16);
    if (!(after >= 0 && after <= this.newest)) return { kind: "reset" };
    const missing = this.oldest - 1 - after;
    return missing > 0 ? { kind: "gap", after, missing } : { kind: "resumed", after };
  }

  /** The event of this id, while it is kept. */
  find(id: string): LoggedEvent | undefined {
    const position = this.position(id);
    if (!("after" in position)) return undefined;
    return this.#entry(position.after);
  }

  /** What is kept after that sequence and has been delivered to subscribers already, oldest first. */
  since(after: number): LoggedEvent[] {
    const events: LoggedEvent[] = [];
    const delivered = this.newest - this.#batch.length;
    for (let sequence = Math.max(after + 1, this.oldest); sequence <= delivered; sequence++) {
      events.push(this.#entry(sequence)!);
    }
    return events;
  }

  /** Calls `listener` with what is new from now on, until what it returns is called. */
  subscribe(listener: EventListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #deliver(): void {
    const batch = this.#batch;
    this.#batch = [];
    for (const listener of this.#listeners) listener(batch);
  }

  #entry(sequence: number): LoggedEvent | undefined {
    const kept = this.#ring.get(sequence);
    return kept && new Entry(this.#prefix, kept);
  }
}

/** An event; what only some ask for is made when they do. */
class Entry implements LoggedEvent {
  readonly sequence: number;
  readonly client: number;
  readonly atMs: number;
  readonly json: string;
  readonly #prefix: string;
  #event: TelemetryEvent | undefined;

  constructor(prefix: string, { sequence, client, atMs, json }: KeptEvent, event?: TelemetryEvent) {
    this.sequence = sequence;
    this.client = client;
    this.atMs = atMs;
    this.json = json;
    this.#prefix = prefix;
    this.#event = event;
  }

  get id(): string {
    return this.#prefix + this.sequence.toString(16).padStart(12, "0");
  }

  get event(): TelemetryEvent {
    return this.#event ??= eventOf(this.json);
  }
}

/** What was an event when it was appended is one still. */
function eventOf(json: string): TelemetryEvent {
  const event = readTelemetryEvent(json);
  if (typeof event === "string") throw new Error(`The log holds a line that is no event: ${event}`);
  return event;
}
