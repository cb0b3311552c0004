/**
 * Time and chance, handed in: a program's modules ask a {@linkcode World} for the time, for timers,
 * for random numbers and for ids, and never the platform. So the same code runs in real time and,
 * with `virtual_world.ts`, in virtual time under a seed.
 *
 * A module takes it from its `ServiceContext`, or as an option `world` with the real one as default.
 * The lint rule `orrery/ambient-world` (`../lint/plugin.ts`) holds the line.
 *
 * @module
 */

/** What `setTimeout` and `setInterval` give back, for the matching `clear…`; nothing else is to be known of it. */
export type TimerId = object | number;

/**
 * A clock, timers, chance and ids.
 *
 * @example
 * ```ts
 * import { realWorld, type World } from "./world.ts";
 *
 * function startHeartbeat(send: () => void, world: World = realWorld): () => void {
 *   const timer = world.setInterval(send, 2_000);
 *   return () => world.clearInterval(timer);
 * }
 * ```
 */
export interface World {
  /** The wall clock: milliseconds since the Unix epoch. It may jump; for what people and other programs read. */
  nowMs(): number;
  /** A clock that never goes back, in milliseconds with a fraction, from a beginning of its own; for durations. */
  monotonicMs(): number;
  /** Calls `callback` once, after at least `delayMs`. */
  setTimeout(callback: () => void, delayMs: number): TimerId;
  /** Calls `callback` again and again, each `intervalMs`. */
  setInterval(callback: () => void, intervalMs: number): TimerId;
  /** Takes back a timeout; an unknown or past one is fine. */
  clearTimeout(timer: TimerId | undefined): void;
  /** Ends an interval; an unknown or ended one is fine. */
  clearInterval(timer: TimerId | undefined): void;
  /** A number from 0 up to, but not including, 1. Not for secrets. */
  random(): number;
  /** Bytes; in the real world good enough for secrets. */
  randomBytes(length: number): Uint8Array<ArrayBuffer>;
  /** A UUID of version 4 (RFC 9562, section 5.4). */
  randomUuid(): string;
}

/**
 * Lets the process end although the timer is pending, where timers keep a process alive; for what a
 * library does in the background of a program that is not its own.
 */
export function unrefTimer(timer: TimerId): void {
  if (typeof timer === "object" && "unref" in timer) (timer as { unref(): void }).unref();
}

/** The platform's own clock, timers and randomness: the default everywhere. */
export const realWorld: World = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimeout: (callback, delayMs) => setTimeout(callback, delayMs),
  setInterval: (callback, intervalMs) => setInterval(callback, intervalMs),
  clearTimeout: (timer) => clearTimeout(timer as number | undefined),
  clearInterval: (timer) => clearInterval(timer as number | undefined),
  random: () => Math.random(),
  randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  randomUuid: () => crypto.randomUUID(),
};
