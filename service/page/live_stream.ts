/**
 * A stream of server-sent events that a page lives on: one state that is always shown, its own
 * reconnection (the browser's gives no number of attempts and gives up on an error status), what
 * was missed asked for by the last event's id, and at most one delivery a frame.
 *
 * @module
 */
import { type ReadonlySignal, signal } from "@preact/signals";
import { type EventSourceLike, openSource } from "./stream_source.ts";
import { retryDelayMs } from "./retry_delay.ts";

export type { EventSourceLike } from "./stream_source.ts";

/** Where a stream is. */
export type StreamState =
  | { readonly kind: "connecting" }
  | { readonly kind: "live" }
  /** Connected, as far as is known, but nothing has come since `sinceMs`, though something is due. */
  | { readonly kind: "silent"; readonly sinceMs: number }
  /** `attempt` counts from 1; the next one is made at `retryAtMs`. */
  | { readonly kind: "reconnecting"; readonly attempt: number; readonly retryAtMs: number };

/** An event as it came. */
export interface StreamMessage {
  readonly name: string;
  readonly data: unknown;
}

/** Options of {@linkcode LiveStream}. */
export interface LiveStreamOptions {
  /** Makes the URL of a connection, given the id of the last event seen. */
  url: (lastEventId: string | undefined) => string;
  /** Names of the events to listen for. */
  events: readonly string[];
  /** Gets what came since the last frame, in order. */
  onMessages: (messages: readonly StreamMessage[]) => void;
  /** The most messages kept for one frame; a tab in the background gets no frames. @default 1_000 */
  maxQueuedMessages?: number;
  /** The longest wait before the first reconnection, in milliseconds, above 0; it doubles with each one after. @default 500 */
  retryBaseDelayMs?: number;
  /** The longest wait before any reconnection, in milliseconds, above 0. @default 8_000 */
  retryMaxDelayMs?: number;
  /** Without any event for so long it is said: what is shown may be old, in milliseconds. @default 5_000 */
  staleAfterMs?: number;
  /** A connection without any event for so long counts as broken, in milliseconds; the server sends one each second. @default 15_000 */
  silenceTimeoutMs?: number;
  /**
   * A page that nobody has seen for so long gives its stream up, in milliseconds: nobody reads it, and
   * where a browser shares no connection among its tabs, a seventh one would not load at all. Seen
   * again, it connects and catches up.
   *
   * @default 10_000
   */
  sleepAfterMs?: number;
  /** What of the browser it uses; tests give another one. @default the browser */
  platform?: StreamPlatform;
}

/** What of a browser the stream uses. */
export interface StreamPlatform {
  open(url: string): EventSourceLike;
  nextFrame(run: () => void): void;
  setTimer(run: () => void, ms: number): unknown;
  clearTimer(timer: unknown): void;
  now(): number;
  random(): number;
  /** Whether anybody can see the page. @default always */
  isVisible?(): boolean;
  /** Calls when that may have changed. @default never */
  onVisibility?(listen: () => void): void;
}

const browser: StreamPlatform = {
  open: openSource,
  nextFrame(run) {
    // A hidden tab has no frames; what it gets is taken in all the same, so that it is never behind.
    if (document.visibilityState === "hidden") setTimeout(run, 250);
    else requestAnimationFrame(run);
  },
  setTimer: (run, ms) => setTimeout(run, ms),
  clearTimer: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
  now: () => Date.now(),
  random: () => Math.random(),
  isVisible: () => document.visibilityState !== "hidden",
  onVisibility: (listen) => document.addEventListener("visibilitychange", listen),
};

/**
 * A stream. Call `start()` once; it goes on until `stop()`.
 *
 * @example
 * ```ts
 * const stream = new LiveStream({
 *   url: (lastEventId) => `/api/stream?lastEventId=${encodeURIComponent(lastEventId ?? "")}`,
 *   events: ["hello", "traces"],
 *   onMessages: (messages) => rows.value = rows.value.add(messages.map(({ data }) => data)),
 * });
 * stream.start();
 * effect(() => console.log(stream.state.value.kind)); // connecting, live, reconnecting
 * ```
 */
export class LiveStream {
  readonly #options: Required<LiveStreamOptions>;
  readonly #state = signal<StreamState>({ kind: "connecting" });
  #source: EventSourceLike | undefined;
  #lastEventId: string | undefined;
  #attempt = 0;
  #retryTimer: unknown;
  #silenceTimer: unknown;
  #staleTimer: unknown;
  #queue: StreamMessage[] = [];
  #frameAsked = false;
  #lost = 0;
  #started = false;
  #asleep = false;
  #sleepTimer: unknown;

  constructor(options: LiveStreamOptions) {
    this.#options = {
      maxQueuedMessages: 1_000,
      retryBaseDelayMs: 500,
      retryMaxDelayMs: 8_000,
      staleAfterMs: 5_000,
      silenceTimeoutMs: 15_000,
      sleepAfterMs: 10_000,
      platform: browser,
      ...options,
    };
    this.#options.platform.onVisibility?.(() => this.#seenOrNot());
  }

  /** True while the page is out of sight and has given its connection up. */
  get asleep(): boolean {
    return this.#asleep;
  }

  /** Where the stream is. */
  get state(): ReadonlySignal<StreamState> {
    return this.#state;
  }

  /** Messages left out because no frame came for too long. */
  get lost(): number {
    return this.#lost;
  }

  /** Connects. */
  start(): void {
    this.#started = true;
    this.#connect();
    this.#seenOrNot();
  }

  /** Connects again at once: for another URL (a filter), or because a person does not want to wait. */
  restart({ forget = false }: { forget?: boolean } = {}): void {
    this.stop();
    if (forget) this.#lastEventId = undefined;
    this.start();
  }

  /** Ends the connection. What has come and was not delivered yet is dropped. */
  stop(): void {
    this.#started = false;
    this.#asleep = false;
    this.#options.platform.clearTimer(this.#sleepTimer);
    this.#source?.close();
    this.#source = undefined;
    this.#queue = [];
    this.#options.platform.clearTimer(this.#retryTimer);
    this.#options.platform.clearTimer(this.#silenceTimer);
    this.#options.platform.clearTimer(this.#staleTimer);
  }

  #seenOrNot(): void {
    const { platform, sleepAfterMs } = this.#options;
    if (!this.#started) return;
    platform.clearTimer(this.#sleepTimer);
    if (!(platform.isVisible?.() ?? true)) {
      if (!this.#asleep) this.#sleepTimer = platform.setTimer(() => this.#sleep(), sleepAfterMs);
    } else if (this.#asleep) {
      this.#asleep = false;
      this.#attempt = 0;
      this.#state.value = { kind: "connecting" };
      this.#connect();
    }
  }

  #sleep(): void {
    const { platform } = this.#options;
    this.#asleep = true;
    this.#source?.close();
    this.#source = undefined;
    platform.clearTimer(this.#silenceTimer);
    platform.clearTimer(this.#staleTimer);
    platform.clearTimer(this.#retryTimer);
  }

  #connect(): void {
    const { platform, url, events } = this.#options;
    const source = platform.open(url(this.#lastEventId));
    this.#source = source;
    // Each listener asks whether its connection is still the one that counts.
    source.addEventListener("error", () => this.#source === source && this.#broken());
    for (const name of events) {
      source.addEventListener(name, (event) => {
        if (this.#source === source) this.#take(name, event);
      });
    }
    this.#watchSilence();
  }

  #take(name: string, event: { data?: unknown; lastEventId?: string }): void {
    let data: unknown;
    try {
      data = JSON.parse(String(event.data));
    } catch {
      // Half an event is a broken connection: what was missed comes with the next one.
      return this.#broken();
    }
    if (event.lastEventId) this.#lastEventId = event.lastEventId;
    this.#attempt = 0;
    if (this.#state.peek().kind !== "live") this.#state.value = { kind: "live" };
    this.#watchSilence();
    if (this.#queue.length >= this.#options.maxQueuedMessages) {
      this.#queue.shift();
      this.#lost++;
    }
    this.#queue.push({ name, data });
    this.#askFrame();
  }

  #askFrame(): void {
    if (this.#frameAsked) return;
    this.#frameAsked = true;
    this.#options.platform.nextFrame(() => {
      this.#frameAsked = false;
      const messages = this.#queue;
      this.#queue = [];
      if (messages.length > 0) this.#options.onMessages(messages);
    });
  }

  #watchSilence(): void {
    const { platform, silenceTimeoutMs, staleAfterMs } = this.#options;
    platform.clearTimer(this.#silenceTimer);
    platform.clearTimer(this.#staleTimer);
    const sinceMs = platform.now();
    this.#staleTimer = platform.setTimer(() => {
      if (this.#state.peek().kind === "live") this.#state.value = { kind: "silent", sinceMs };
    }, staleAfterMs);
    this.#silenceTimer = platform.setTimer(() => this.#broken(), silenceTimeoutMs);
  }

  #broken(): void {
    const { platform, retryBaseDelayMs, retryMaxDelayMs } = this.#options;
    this.#source?.close();
    this.#source = undefined;
    platform.clearTimer(this.#silenceTimer);
    platform.clearTimer(this.#staleTimer);
    platform.clearTimer(this.#retryTimer);
    const waitMs = retryDelayMs(
      ++this.#attempt,
      { baseDelayMs: retryBaseDelayMs, maxDelayMs: retryMaxDelayMs },
      platform,
    );
    this.#state.value = {
      kind: "reconnecting",
      attempt: this.#attempt,
      retryAtMs: platform.now() + waitMs,
    };
    this.#retryTimer = platform.setTimer(() => this.#connect(), waitMs);
  }
}
