/**
 * Whether the program behind a page is still there, measured: for pages whose connection says
 * nothing by itself while nothing happens. A WebSocket's pings are answered below the page, and one
 * to a program that stands still stays open for minutes.
 *
 * @module
 */
import { withBase } from "./base_path.ts";

/** Options of {@linkcode Heartbeat}. */
export interface HeartbeatOptions {
  /** Nothing was heard since then, in milliseconds since the epoch. */
  onSilent: (sinceMs: number) => void;
  /** Something was heard after silence. */
  onHeard: () => void;
  /** Asks; whatever it resolves with is a sign of life. @default `GET /livez` */
  ask?: (signal: AbortSignal) => Promise<unknown>;
  /** From an answer to the next question, in milliseconds. @default 2_000 */
  everyMs?: number;
  /** Without a sign of life for so long it is silent, in milliseconds; no answer is waited for longer. @default 5_000 */
  staleAfterMs?: number;
  /** What of the browser it uses; tests give another one. @default the browser */
  platform?: HeartbeatPlatform;
}

/** What of a browser it uses. */
export interface HeartbeatPlatform {
  setTimer(run: () => void, ms: number): unknown;
  clearTimer(timer: unknown): void;
  now(): number;
  /** Whether anybody can see the page: nobody else is told, so nothing is asked. @default always */
  isVisible?(): boolean;
  /** Calls when that may have changed. @default never */
  onVisibility?(listen: () => void): void;
}

const browser: HeartbeatPlatform = {
  setTimer: (run, ms) => setTimeout(run, ms),
  clearTimer: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
  now: () => Date.now(),
  isVisible: () => document.visibilityState !== "hidden",
  onVisibility: (listen) => document.addEventListener("visibilitychange", listen),
};

async function askLiveness(signal: AbortSignal): Promise<void> {
  const response = await fetch(withBase("/livez"), { signal, cache: "no-store" });
  await response.body?.cancel();
}

/**
 * Asks again and again. Call `start()` when the connection is there and `stop()` when it is not.
 *
 * @example
 * ```ts
 * const heartbeat = new Heartbeat({
 *   onSilent: (sinceMs) => state.value = { kind: "silent", sinceMs },
 *   onHeard: () => state.value = { kind: "live" },
 * });
 * socket.onopen = () => heartbeat.start();
 * socket.onmessage = () => heartbeat.heard();
 * socket.onclose = () => heartbeat.stop();
 * ```
 */
export class Heartbeat {
  readonly #options: Required<HeartbeatOptions>;
  #started = false;
  #silent = false;
  /** The question that counts. */
  #asked: AbortController | undefined;
  #nextTimer: unknown;
  #staleTimer: unknown;

  constructor(options: HeartbeatOptions) {
    this.#options = {
      ask: askLiveness,
      everyMs: 2_000,
      staleAfterMs: 5_000,
      platform: browser,
      ...options,
    };
    this.#options.platform.onVisibility?.(() => this.#started && this.start());
  }

  /** Begins, from now on. */
  start(): void {
    this.stop();
    this.#started = true;
    if (!(this.#options.platform.isVisible?.() ?? true)) return;
    this.heard();
    this.#ask();
  }

  /** Ends. */
  stop(): void {
    const { platform } = this.#options;
    this.#started = false;
    this.#silent = false;
    this.#asked?.abort();
    this.#asked = undefined;
    platform.clearTimer(this.#nextTimer);
    platform.clearTimer(this.#staleTimer);
  }

  /** Something came by another way: as good as an answer. */
  heard(): void {
    const { platform, staleAfterMs, onSilent, onHeard } = this.#options;
    if (!this.#started) return;
    platform.clearTimer(this.#staleTimer);
    const sinceMs = platform.now();
    this.#staleTimer = platform.setTimer(() => {
      this.#silent = true;
      onSilent(sinceMs);
    }, staleAfterMs);
    if (!this.#silent) return;
    this.#silent = false;
    onHeard();
  }

  async #ask(): Promise<void> {
    const { platform, ask, everyMs, staleAfterMs } = this.#options;
    const asked = this.#asked = new AbortController();
    const giveUp = platform.setTimer(() => asked.abort(), staleAfterMs);
    try {
      await ask(asked.signal);
      if (this.#asked === asked) this.heard();
    } catch {
      // No answer is what is being measured; the timer of silence goes on.
    }
    platform.clearTimer(giveUp);
    if (this.#asked !== asked) return;
    this.#nextTimer = platform.setTimer(() => this.#ask(), everyMs);
  }
}
