/**
 * A {@linkcode World} in which time passes only when it is told to, and chance comes from a seed:
 * the same seed and the same code give the same run.
 *
 * Between two timers every microtask is run, so that promises and timers interleave as they do in
 * real time. What waits for the outside (a socket, a file, a worker, `crypto.subtle`) does not get
 * done by virtual time: keep such things out, or await them in between.
 *
 * Libraries: `pure-rand` for the seeded generator (splittable, small, 10 ns a draw), `tinyqueue`
 * for the heap of timers.
 *
 * @module
 */
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import TinyQueue from "tinyqueue";
import type { TimerId, World } from "./world.ts";

/** Options of {@linkcode VirtualWorld}. */
export interface VirtualWorldOptions {
  /** What all chance follows from: any 32-bit integer. @default 1 */
  seed?: number;
  /** The wall clock at the beginning, in milliseconds since the epoch. @default 2026-01-01T00:00:00Z */
  startMs?: number;
}

/** Options of the calls that run a virtual world on. */
export interface RunOptions {
  /** Timers that may fire before it is an endless loop. @default 10_000_000 */
  maxTimers?: number;
}

interface Timer {
  dueMs: number;
  /** Timers that are due at the same time fire in the order in which they were set. */
  order: number;
  /** `undefined` for a timeout. */
  readonly intervalMs: number | undefined;
  readonly callback: () => void;
  cleared: boolean;
}

/** 2026-01-01T00:00:00Z. */
const defaultStartMs = 1_767_225_600_000;

// Kept at import: a test or a simulation may replace the global ones.
const { setImmediate } = globalThis as unknown as { setImmediate(callback: () => void): void };

/**
 * Runs every microtask that waits, and those that they bring about.
 *
 * By a macrotask that comes after them; `setImmediate`, as `setTimeout(0)` reaches 460 a second in
 * Deno 2.9.6 and this one 400,000.
 */
export function drainMicrotasks(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * Virtual time and seeded chance.
 *
 * @example
 * ```ts
 * import { VirtualWorld } from "./virtual_world.ts";
 *
 * const world = new VirtualWorld({ seed: 7 });
 * let rang = false;
 * world.setTimeout(() => rang = true, 60_000);
 * await world.advance(60_000); // takes no time; `rang` is true
 * ```
 */
export class VirtualWorld implements World {
  /** What all chance follows from. */
  readonly seed: number;
  readonly #startMs: number;
  readonly #random: ReturnType<typeof xoroshiro128plus>;
  readonly #queue = new TinyQueue<Timer>([], byDueTime);
  readonly #timers = new Set<TimerId>();
  #timeouts = 0;
  #elapsedMs = 0;
  #lastOrder = 0;
  #running = false;

  /** Makes a world at its start. @throws {RangeError} the seed is no whole number */
  constructor({ seed = 1, startMs = defaultStartMs }: VirtualWorldOptions = {}) {
    if (!Number.isSafeInteger(seed)) {
      throw new RangeError(`Cannot make a world as 'seed' must be a whole number: it is ${seed}`);
    }
    this.seed = seed;
    this.#startMs = startMs;
    this.#random = xoroshiro128plus(seed);
  }

  nowMs(): number {
    return Math.floor(this.#startMs + this.#elapsedMs);
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  setTimeout(callback: () => void, delayMs: number): TimerId {
    return this.#add(callback, delayMs, undefined);
  }

  setInterval(callback: () => void, intervalMs: number): TimerId {
    // As platforms do: an interval of 0 would stop time.
    const everyMs = Math.max(1, intervalMs);
    return this.#add(callback, everyMs, everyMs);
  }

  clearTimeout(timer: TimerId | undefined): void {
    if (timer !== undefined && this.#timers.has(timer)) this.#forget(timer as Timer);
  }

  clearInterval(timer: TimerId | undefined): void {
    this.clearTimeout(timer);
  }

  random(): number {
    return (this.#random.next() >>> 0) / 0x1_0000_0000;
  }

  randomBytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.#random.next() & 0xff);
  }

  randomUuid(): string {
    const bytes = this.randomBytes(16);
    bytes[6] = bytes[6]! & 0x0f | 0x40;
    bytes[8] = bytes[8]! & 0x3f | 0x80;
    return bytes.toHex().replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  }

  /** Timeouts that have not fired; intervals are not counted. */
  get pendingTimeouts(): number {
    return this.#timeouts;
  }

  /** Timeouts and intervals that are set: 0 when everything has been given back. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /**
   * Lets so much time pass, and fires what is due within it.
   *
   * @throws what a timer's callback throws, and {@linkcode Error} when too many timers fire
   */
  async advance(durationMs: number, options: RunOptions = {}): Promise<void> {
    const untilMs = this.#elapsedMs + durationMs;
    await this.#run(options, () => this.#next(untilMs) === undefined);
    this.#elapsedMs = Math.max(this.#elapsedMs, untilMs);
  }

  /**
   * Lets time pass until no timeout is pending. Intervals alone do not keep it going: a heartbeat
   * never ends.
   *
   * @throws what a timer's callback throws, and {@linkcode Error} when too many timers fire
   */
  async runUntilIdle(options: RunOptions = {}): Promise<void> {
    await this.#run(options, () => this.#timeouts === 0);
  }

  /**
   * Lets time pass until the promise has settled, and gives its value.
   *
   * @throws what it rejects with; {@linkcode Error} when no timer is left that could settle it
   */
  async runUntil<T>(promise: Promise<T>, options: RunOptions = {}): Promise<T> {
    let settled = false;
    const settle = () => settled = true;
    promise.then(settle, settle);
    await this.#run(options, () => settled || this.#timers.size === 0);
    if (!settled) throw new Error("The promise never settles: no timer is pending.");
    return await promise;
  }

  #add(callback: () => void, delayMs: number, intervalMs: number | undefined): TimerId {
    const order = ++this.#lastOrder;
    const dueMs = this.#elapsedMs + Math.max(0, Number.isNaN(delayMs) ? 0 : delayMs);
    const timer: Timer = { dueMs, order, intervalMs, callback, cleared: false };
    this.#timers.add(timer);
    if (intervalMs === undefined) this.#timeouts++;
    this.#queue.push(timer);
    return timer;
  }

  #forget(timer: Timer): void {
    if (timer.cleared) return;
    timer.cleared = true;
    this.#timers.delete(timer);
    if (timer.intervalMs === undefined) this.#timeouts--;
    // Most timeouts are taken back: without a sweep the heap would be full of them.
    if (this.#queue.length > 64 && this.#queue.length > 2 * this.#timers.size) this.#sweep();
  }

  #sweep(): void {
    const live = this.#queue.data.filter((timer) => !timer.cleared);
    this.#queue.data = live;
    this.#queue.length = live.length;
    // A sorted array is a heap.
    live.sort(byDueTime);
  }

  /** The next timer that is due by then. */
  #next(untilMs: number): Timer | undefined {
    while (this.#queue.peek()?.cleared) this.#queue.pop();
    const timer = this.#queue.peek();
    return timer && timer.dueMs <= untilMs ? timer : undefined;
  }

  async #run({ maxTimers = 10_000_000 }: RunOptions, isDone: () => boolean): Promise<void> {
    if (this.#running) {
      throw new Error("This world is being run on already: await that call first.");
    }
    this.#running = true;
    try {
      await drainMicrotasks();
      for (let fired = 0; !isDone(); fired++) {
        if (fired >= maxTimers) {
          throw new Error(`${maxTimers} timers have fired and it does not come to rest.`);
        }
        const timer = this.#next(Infinity);
        if (!timer) return;
        this.#fire(timer);
        await drainMicrotasks();
      }
    } finally {
      this.#running = false;
    }
  }

  #fire(timer: Timer): void {
    this.#queue.pop();
    this.#elapsedMs = Math.max(this.#elapsedMs, timer.dueMs);
    if (timer.intervalMs === undefined) this.#forget(timer);
    else {
      timer.dueMs += timer.intervalMs;
      timer.order = ++this.#lastOrder;
      this.#queue.push(timer);
    }
    timer.callback();
  }
}

function byDueTime(a: Timer, b: Timer): number {
  return a.dueMs - b.dueMs || a.order - b.order;
}
