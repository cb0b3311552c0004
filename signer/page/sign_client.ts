/**
 * The page's WebSocket: many messages in flight, reconnection by itself, and a clear end for every
 * message, also for those that were under way when the connection was lost.
 *
 * @module
 */
import { type ReadonlySignal, signal } from "@preact/signals";
import type { StreamState } from "../../service/page/live_stream.ts";

/** What came of a message. */
export type SignOutcome =
  | {
    readonly ok: { signature: string; algorithm: string; keyId: string | null };
    readonly traceId?: string;
  }
  | {
    readonly error: { type: string; title: string; detail: string };
    readonly traceId?: string;
  };

/** Options of {@linkcode SignClient}. */
export interface SignClientOptions {
  /** Opens a socket. */
  open: () => WebSocketLike;
  /** Wait before the first reconnection; doubles with each one after. @default 500 */
  retryBaseDelayMs?: number;
  /** The longest wait before a reconnection. @default 8000 */
  retryMaxDelayMs?: number;
  /** For tests: timers and chance. */
  platform?: {
    setTimer(run: () => void, ms: number): unknown;
    clearTimer(timer: unknown): void;
    now(): number;
    random(): number;
  };
}

/** The part of a WebSocket that is used. */
export interface WebSocketLike {
  readonly readyState: number;
  send(text: string): void;
  close(): void;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
}

const browser = {
  setTimer: (run: () => void, ms: number) => setTimeout(run, ms),
  clearTimer: (timer: unknown) => clearTimeout(timer as ReturnType<typeof setTimeout>),
  now: () => Date.now(),
  random: () => Math.random(),
};

const open = 1;

/** A connection that comes back. Call {@linkcode start} once. */
export class SignClient {
  readonly #options: Required<SignClientOptions>;
  readonly #state = signal<StreamState>({ kind: "connecting" });
  #socket: WebSocketLike | undefined;
  #waiting = new Map<number, (outcome: SignOutcome) => void>();
  #nextId = 1;
  #attempt = 0;
  #timer: unknown;

  constructor(options: SignClientOptions) {
    this.#options = {
      retryBaseDelayMs: 500,
      retryMaxDelayMs: 8_000,
      platform: browser,
      ...options,
    };
  }

  /** Where the connection is. */
  get state(): ReadonlySignal<StreamState> {
    return this.#state;
  }

  /** Connects, now; the wait for the next attempt ends. */
  start(): void {
    this.#options.platform.clearTimer(this.#timer);
    this.#socket?.close();
    const socket = this.#options.open();
    this.#socket = socket;
    socket.onopen = () => {
      if (this.#socket !== socket) return;
      this.#attempt = 0;
      this.#state.value = { kind: "live" };
    };
    socket.onmessage = ({ data }) => this.#take(data);
    socket.onclose = () => {
      if (this.#socket === socket) this.#lost();
    };
  }

  /** Sends a message; always resolves. */
  sign(message: string): Promise<SignOutcome> {
    const socket = this.#socket;
    if (!socket || socket.readyState !== open) {
      return Promise.resolve(pageError("not-sent", "Not sent", "There is no connection yet."));
    }
    const id = this.#nextId++;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      socket.send(JSON.stringify({ id, message }));
    });
  }

  #take(data: unknown): void {
    const answer = JSON.parse(String(data)) as { id: number | null } & SignOutcome;
    if (answer.id === null) return;
    const settle = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    settle?.(answer);
  }

  #lost(): void {
    const { platform, retryBaseDelayMs, retryMaxDelayMs } = this.#options;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const settle of waiting) {
      settle(
        pageError(
          "connection-lost",
          "Connection lost",
          "The connection ended before the answer came. Send it again.",
        ),
      );
    }
    const delay = Math.min(retryMaxDelayMs, retryBaseDelayMs * 2 ** this.#attempt);
    const waitMs = delay * (0.5 + platform.random() / 2);
    this.#attempt++;
    this.#state.value = {
      kind: "reconnecting",
      attempt: this.#attempt,
      retryAtMs: platform.now() + waitMs,
    };
    this.#timer = platform.setTimer(() => this.start(), waitMs);
  }
}

function pageError(type: string, title: string, detail: string): SignOutcome {
  return { error: { type, title, detail } };
}
