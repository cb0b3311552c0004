/**
 * Waiting and trying again, the one way to do each: back-off with full jitter and a cap, a pause
 * that an `AbortSignal` ends, a bound on somebody else's promise, a signal that aborts after some
 * time, and the reason of an error in words.
 *
 * @module
 */
import { realWorld, type World } from "./world/world.ts";

/** Options of {@linkcode backoffDelayMs}. */
export interface BackoffOptions {
  /** The longest wait after the first failure, in milliseconds, above 0; it doubles from there. */
  baseDelayMs: number;
  /** The longest wait at all, in milliseconds. */
  maxDelayMs: number;
  /**
   * How much of a wait is left to chance, from 0 (none) to 1 (all of it: "full jitter").
   *
   * @default 1
   */
  jitter?: number;
}

/**
 * How long to wait before trying again: exponential back-off with jitter, so that many who failed
 * together do not come back together.
 *
 * @param failures how many attempts have failed in a row, from 1
 * @throws {RangeError} an option is out of range: without a wait it would be an endless loop
 *
 * @example
 * ```ts
 * const delayMs = backoffDelayMs(failures, { baseDelayMs: 100, maxDelayMs: 30_000 }, world);
 * ```
 */
export function backoffDelayMs(
  failures: number,
  { baseDelayMs, maxDelayMs, jitter = 1 }: BackoffOptions,
  world: Pick<World, "random"> = realWorld,
): number {
  for (const [name, value] of Object.entries({ baseDelayMs, maxDelayMs })) {
    if (!(value > 0)) {
      throw new RangeError(
        `Cannot back off as '${name}' must be above 0: current value is ${value}`,
      );
    }
  }
  if (!(jitter >= 0 && jitter <= 1)) {
    throw new RangeError(
      `Cannot back off as 'jitter' must be from 0 to 1: current value is ${jitter}`,
    );
  }
  // 2 ** 1024 is Infinity, and the cap holds there too.
  const wholeMs = Math.min(maxDelayMs, baseDelayMs * 2 ** Math.max(0, failures - 1));
  return wholeMs * (1 - jitter * world.random());
}

/** Options of {@linkcode pause}, {@linkcode settledWithin} and {@linkcode timeoutSignal}. */
export interface WaitOptions {
  /** Ends the wait early. @default nothing does */
  signal?: AbortSignal | undefined;
  /** Whose time it is. @default the real world */
  world?: Pick<World, "setTimeout" | "clearTimeout">;
}

/**
 * Waits for some time, or until the signal aborts. It never rejects: who has given a signal asks it.
 *
 * @returns true when the whole time has passed, false when the signal ended it
 *
 * @example
 * ```ts
 * while (!stopping.aborted && !await attempt()) {
 *   await pause(backoffDelayMs(++failures, backoff, world), { signal: stopping, world });
 * }
 * ```
 */
export function pause(
  durationMs: number,
  { signal, world = realWorld }: WaitOptions = {},
): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve(false);
    const timer = world.setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve(true);
    }, durationMs);
    function onAbort(): void {
      world.clearTimeout(timer);
      resolve(false);
    }
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/**
 * Waits for a promise, but no longer than `timeoutMs` or until the signal aborts. It never rejects.
 *
 * @returns true when the promise has settled, either way, within that time
 *
 * @example
 * ```ts
 * if (!await settledWithin(connection.closed, 500)) connection.destroy();
 * ```
 */
export async function settledWithin(
  promise: Promise<unknown>,
  timeoutMs: number,
  { signal, world = realWorld }: WaitOptions = {},
): Promise<boolean> {
  const ended = new AbortController();
  const onAbort = () => ended.abort();
  if (signal?.aborted) ended.abort();
  else signal?.addEventListener("abort", onAbort, { once: true });
  const settled = promise.then(() => true, () => true);
  const timeUp = pause(timeoutMs, { signal: ended.signal, world }).then(() => false);
  const result = await Promise.race([settled, timeUp]);
  signal?.removeEventListener("abort", onAbort);
  // Takes the timer back.
  ended.abort();
  return result;
}

/** A signal that aborts by itself; `using` takes its timer back. */
export interface TimeoutSignal extends Disposable {
  readonly signal: AbortSignal;
}

/**
 * A signal that aborts after `timeoutMs`, or with `signal`, whichever comes first.
 * `AbortSignal.timeout()` knows no virtual time, and its timer lives on when nobody waits any more.
 *
 * @param reason what it aborts with when the time is up. @default a `TimeoutError`
 *
 * @example
 * ```ts
 * using deadline = timeoutSignal(5_000, { world });
 * await fetch(url, { signal: deadline.signal });
 * ```
 */
export function timeoutSignal(
  timeoutMs: number,
  { signal, world = realWorld }: WaitOptions = {},
  reason: () => unknown = () => new DOMException(`Not done within ${timeoutMs} ms`, "TimeoutError"),
): TimeoutSignal {
  const controller = new AbortController();
  const onAbort = () => {
    world.clearTimeout(timer);
    controller.abort(signal?.reason);
  };
  const timer = world.setTimeout(() => {
    signal?.removeEventListener("abort", onAbort);
    controller.abort(reason());
  }, timeoutMs);
  if (signal?.aborted) onAbort();
  else signal?.addEventListener("abort", onAbort, { once: true });
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      world.clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    },
  };
}

/** Resolves when the signal aborts, at once if it has; without a signal, never. */
export function aborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) resolve();
    else signal?.addEventListener("abort", () => resolve(), { once: true });
  });
}

/**
 * Settles like the promise, or with `undefined` when the signal aborts before. For who waits again and
 * again under a signal that lives on: of a race with {@linkcode aborted} each leaves a listener behind.
 *
 * @example
 * ```ts
 * while (!stopping.aborted) await untilAborted((await connect()).closed, stopping);
 * ```
 */
export async function untilAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal,
): Promise<T | undefined> {
  const over = Promise.withResolvers<undefined>();
  const onAbort = () => over.resolve(undefined);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, over.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

const maxReasonLength = 300;

/**
 * The reason of an error in words, on one line: the innermost causes, as the outer messages of most
 * libraries say little. At most 300 characters.
 *
 * @example
 * ```ts
 * reasonOf(new Error("request failed", { cause: new Error("connection refused") }));
 * // "connection refused"
 * ```
 */
export function reasonOf(error: unknown): string {
  const reasons: string[] = [];
  function visit(one: unknown, depth: number): void {
    if (!(one instanceof Error) || depth > 6) return;
    const inner = one instanceof AggregateError ? one.errors : one.cause ? [one.cause] : [];
    const deeper = inner.filter((next) => next instanceof Error);
    if (deeper.length === 0) reasons.push(one.message || one.name);
    for (const next of deeper.slice(-2)) visit(next, depth + 1);
  }
  visit(error, 0);
  const words = [...new Set(reasons)].join("; ") || String(error);
  return words.replaceAll(/\s+/g, " ").slice(0, maxReasonLength);
}
