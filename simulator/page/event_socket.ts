/**
 * The page's WebSocket: it connects again by itself, asks for what it has missed, and always says
 * where it is.
 *
 * @module
 */
import { type ReadonlySignal, signal } from "@preact/signals";
import type { StreamState } from "../../service/page/live_stream.ts";
import { retryDelayMs } from "../../service/page/retry_delay.ts";
import type { Hello, ServerMessage, Stats, StreamedEvent } from "../api.ts";
import { parseDigits } from "./stage_model.ts";

/** Options of {@linkcode EventSocket}. */
export interface EventSocketOptions {
  /** Makes the URL, given the id of the last event seen; empty at first. */
  url: (after: string) => string;
  onHello: (hello: Hello) => void;
  onEvents: (events: readonly StreamedEvent[]) => void;
  onStats: (stats: Stats) => void;
  /** Called when the server closed the connection with a reason. */
  onDropped: (reason: string) => void;
  /** The longest wait before the first reconnection, in milliseconds; it doubles. @default 500 */
  retryBaseDelayMs?: number;
  /** The longest wait at all, in milliseconds. @default 8_000 */
  retryMaxDelayMs?: number;
  /** A connection that was silent for so long is broken, in milliseconds; the server says something each 2 s. @default 6_000 */
  silenceTimeoutMs?: number;
}

/** A socket that comes back. */
export class EventSocket {
  readonly #options: Required<EventSocketOptions>;
  readonly #state = signal<StreamState>({ kind: "connecting" });
  #socket: WebSocket | undefined;
  #after = "";
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;

  constructor(options: EventSocketOptions) {
    this.#options = {
      retryBaseDelayMs: 500,
      retryMaxDelayMs: 8_000,
      silenceTimeoutMs: 6_000,
      ...options,
    };
  }

  /** Where it is. */
  get state(): ReadonlySignal<StreamState> {
    return this.#state;
  }

  /** Connects, at once and anew where it is connected already. */
  start(): void {
    this.stop();
    this.#connect();
  }

  /** Ends the connection. */
  stop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
  }

  #connect(): void {
    const socket = new WebSocket(this.#options.url(this.#after));
    this.#socket = socket;
    // Each listener asks whether its connection is still the one that counts.
    socket.onmessage = ({ data }) => {
      if (this.#socket === socket) this.#take(String(data));
    };
    socket.onclose = ({ reason, code }) => {
      if (this.#socket !== socket) return;
      if (code >= 4_000 && reason !== "") this.#options.onDropped(reason);
      this.#broken();
    };
    this.#watchSilence();
  }

  #take(text: string): void {
    this.#watchSilence();
    const message = parseDigits(text) as ServerMessage;
    switch (message.type) {
      case "hello":
        this.#attempt = 0;
        this.#state.value = { kind: "live" };
        return this.#options.onHello(message);
      case "stats":
        return this.#options.onStats(message);
      case "events":
        this.#after = message.events.at(-1)?.id ?? this.#after;
        return this.#options.onEvents(message.events);
    }
  }

  #watchSilence(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#broken(), this.#options.silenceTimeoutMs);
  }

  #broken(): void {
    this.stop();
    const { retryBaseDelayMs, retryMaxDelayMs } = this.#options;
    const waitMs = retryDelayMs(++this.#attempt, {
      baseDelayMs: retryBaseDelayMs,
      maxDelayMs: retryMaxDelayMs,
    });
    this.#state.value = {
      kind: "reconnecting",
      attempt: this.#attempt,
      retryAtMs: Date.now() + waitMs,
    };
    this.#timer = setTimeout(() => this.#connect(), waitMs);
  }
}
