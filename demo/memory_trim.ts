/**
 * Memory that the demo's programs no longer use goes back to the machine: V8 collects what is left of
 * a start only when its heap has grown by as much again, and glibc keeps what it is given back.
 *
 * Deno does both at once when `SIGUSR2` comes, where `DENO_USR2_MEMORY_TRIM` is set. PSS of all
 * programs: 430 MB before and 383 after it, 431 and 402 half a minute later; of the first start after a
 * change 552 and 408.
 *
 * @module
 */
import type { TimerId, World } from "../service/world/world.ts";

const variable = "DENO_USR2_MEMORY_TRIM";

/** What a program's environment has for it. Elsewhere than on Linux Deno does not listen to it. */
export const memoryTrimVariables: Readonly<Record<string, string>> = Deno.build.os === "linux"
  ? { [variable]: "1" }
  : {};

/** This process, if it was started so that it listens: who has no variable is ended by the signal. */
export function trimmableSelf(): Trimmable[] {
  if (!Deno.env.has(variable)) return [];
  return [{ signal: (signal) => Deno.kill(Deno.pid, signal) }];
}

/** A program that can be asked. */
export interface Trimmable {
  /** Sends it a signal, unless it is not up. */
  signal(signal: Deno.Signal): void;
}

/** Options of {@linkcode MemoryTrim}. */
export interface MemoryTrimOptions {
  /** Who is asked, in turn. */
  programs: readonly Trimmable[];
  world: Pick<World, "setInterval" | "clearInterval">;
  /** How often each is asked, in milliseconds. @default 30_000 */
  periodMs?: number;
  /** Whether programs listen to it: who does not is ended by it. @default on Linux */
  enabled?: boolean;
}

/**
 * Asks one program after the other, evenly over the period, so that none waits for the collections of
 * the others. `using` ends it at the end of the block.
 *
 * @example
 * ```ts
 * using trim = new MemoryTrim({ programs: kept, world });
 * ```
 */
export class MemoryTrim implements Disposable {
  readonly #world: MemoryTrimOptions["world"];
  readonly #timer: TimerId | undefined;

  constructor(options: MemoryTrimOptions) {
    const { programs, world, periodMs = 30_000, enabled = Deno.build.os === "linux" } = options;
    this.#world = world;
    if (!enabled || programs.length === 0) return;
    let next = 0;
    this.#timer = world.setInterval(
      () => programs[next++ % programs.length]!.signal("SIGUSR2"),
      periodMs / programs.length,
    );
  }

  /** Asks nobody any more. */
  [Symbol.dispose](): void {
    this.#world.clearInterval(this.#timer);
  }
}
