/**
 * A program that is started again when it ends unasked: the demo goes on and shows what that does
 * to the others, which is what one comes to see.
 *
 * @module
 */
import { backoffDelayMs, pause, reasonOf } from "../service/resilience.ts";
import type { ProgramState } from "../service/program_list.ts";
import type { RunningProcess } from "../service/supervisor.ts";
import type { World } from "../service/world/world.ts";

/** Options of {@linkcode KeptProgram}. */
export interface KeptProgramOptions {
  /** Its name, for messages. */
  name: string;
  /** Starts it; called again after each end. */
  start: () => Promise<RunningProcess>;
  /** Prints a line for a person. */
  say: (text: string) => void;
  /** Hears how it is from now on, and how it ended. @default nobody does */
  onState?: (state: ProgramState, ended?: string) => void;
  /** Aborts when it is to end for good. */
  stopping: AbortSignal;
  world: World;
}

/** The longest wait before a start, at most this much after the first failure, doubling. */
const backoff = { baseDelayMs: 1_000, maxDelayMs: 30_000, jitter: 0.5 } as const;
/** Who stayed up this long is well again: its next failure counts as the first. */
const stableMs = 60_000;

/** Keeps one program up. `await using` ends it at the end of the block. */
export class KeptProgram implements AsyncDisposable {
  readonly name: string;
  readonly #options: KeptProgramOptions;
  readonly #stop = new AbortController();
  #process: RunningProcess | undefined;
  #kept: Promise<void> = Promise.resolve();
  #failures = 0;

  constructor(options: KeptProgramOptions) {
    this.name = options.name;
    this.#options = options;
    options.stopping.addEventListener("abort", () => this.#stop.abort(), { once: true });
  }

  /** Whether it is up. */
  get up(): boolean {
    return this.#process !== undefined;
  }

  /** Starts it for the first time; from then on it is kept up. @throws what `start` throws */
  async start(): Promise<this> {
    this.#options.onState?.("starting");
    this.#process = await this.#options.start();
    this.#options.onState?.("up");
    this.#kept = this.#keep(this.#process);
    return this;
  }

  /** Sends it a signal, unless it is not up: who starts may not listen to it yet. */
  signal(signal: Deno.Signal): void {
    this.#process?.signal(signal);
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#process?.stop();
    await this.#kept;
  }

  async #keep(first: RunningProcess): Promise<void> {
    const { world, say } = this.#options;
    const { signal } = this.#stop;
    let running: RunningProcess | undefined = first;
    while (true) {
      if (running) {
        const upSinceMs = world.monotonicMs();
        const status = await running.exited;
        if (signal.aborted) return;
        this.#process = undefined;
        this.#options.onState?.("down", howItEnded(status));
        // What it has left behind, such as the writer of its log.
        await running.stop();
        if (world.monotonicMs() - upSinceMs >= stableMs) this.#failures = 0;
        say(`${this.name} has ended unasked (${howItEnded(status)}); ${running.logFile} says why.`);
      }
      const delayMs = backoffDelayMs(++this.#failures, backoff, world);
      say(`${this.name} is started again in ${(delayMs / 1_000).toFixed(1)} s.`);
      await pause(delayMs, { signal, world });
      if (signal.aborted) return;
      running = await this.#startAgain();
      if (signal.aborted) return await running?.stop();
    }
  }

  async #startAgain(): Promise<RunningProcess | undefined> {
    const { start, say } = this.#options;
    try {
      this.#process = await start();
      this.#options.onState?.("up");
      say(`${this.name} is up again.`);
      return this.#process;
    } catch (error) {
      if (!this.#stop.signal.aborted) say(`${this.name} does not start. ${reasonOf(error)}`);
      return undefined;
    }
  }
}

function howItEnded({ signal, code }: Deno.CommandStatus): string {
  return signal ? `by ${signal}` : `with code ${code}`;
}
