/**
 * Connecting to a host that has several addresses: the next one is tried while the one before has
 * not answered, and the first that answers is taken (Happy Eyeballs, RFC 8305, section 5).
 *
 * @module
 */
import { pause } from "../../service/resilience.ts";
import type { World } from "../../service/world/world.ts";

/** Options of {@linkcode connectToFirst}. */
export interface ConnectToFirstOptions<Connection> {
  /** In the order in which they are tried, at least one. */
  addresses: readonly string[];
  /** Tries one. */
  attempt: (address: string) => Promise<Connection>;
  /** Lets a connection go that came after another was taken. */
  discard: (connection: Connection) => void;
  /** How long an address has to itself before the next one is tried, too, in milliseconds. @default 250 */
  attemptDelayMs?: number;
  /** Whose time it is. */
  world: Pick<World, "setTimeout" | "clearTimeout">;
}

/**
 * The first connection that comes about.
 *
 * @throws what the first address failed with, when all have failed
 *
 * @example
 * ```ts
 * const connection = await connectToFirst({
 *   addresses: ["::1", "127.0.0.1"],
 *   attempt: (hostname) => Deno.connect({ hostname, port: 443 }),
 *   discard: (late) => late.close(),
 *   world,
 * });
 * ```
 */
export async function connectToFirst<Connection>(
  { addresses, attempt, discard, attemptDelayMs = 250, world }: ConnectToFirstOptions<Connection>,
): Promise<Connection> {
  const errors: { order: number; error: unknown }[] = [];
  const won = Promise.withResolvers<Connection>();
  let taken = false;
  const over = new AbortController();

  /** Resolves when the attempt has failed, or another has won. */
  async function tryAddress(address: string, order: number): Promise<void> {
    try {
      const connection = await attempt(address);
      if (taken) return discard(connection);
      taken = true;
      over.abort();
      won.resolve(connection);
    } catch (error) {
      errors.push({ order, error });
    }
  }

  async function tryAll(): Promise<void> {
    const attempts: Promise<void>[] = [];
    for (const [order, address] of addresses.entries()) {
      if (taken) return;
      const trying = tryAddress(address, order);
      attempts.push(trying);
      // One that fails hands on to the next at once.
      const ended = new AbortController();
      void trying.then(() => ended.abort());
      const signal = AbortSignal.any([over.signal, ended.signal]);
      if (order < addresses.length - 1) await pause(attemptDelayMs, { signal, world });
    }
    await Promise.all(attempts);
    if (taken) return;
    errors.sort((a, b) => a.order - b.order);
    won.reject(errors[0]?.error ?? new RangeError("Cannot connect as there is no address"));
  }

  void tryAll();
  return await won.promise;
}
