/**
 * The page's WebSocket: many messages in flight, reconnection by itself, and a clear end for every
 * message: its answer, that the person does not want it any more, that its time is up, or that the
 * connection was lost while it was under way.
 *
 * @module
 */
import { type ReadonlySignal, signal } from "@preact/signals";
import {
  Heartbeat,
  type HeartbeatOptions,
  type HeartbeatPlatform,
} from "../../service/page/heartbeat.ts";
import type { StreamState } from "../../service/page/live_stream.ts";
import { retryDelayMs } from "../../service/page/retry_delay.ts";

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
  /** The longest wait before the first reconnection, in milliseconds; it doubles with each one after. @default 500 */
  retryBaseDelayMs?: number;
  /** The longest wait before a reconnection, in milliseconds. @default 8_000 */
  retryMaxDelayMs?: number;
  /** Asks whether the signer is there. @default its health */
  ask?: HeartbeatOptions["ask"];
  /** Timers and chance; tests give others. @default the browser's */
  platform?: HeartbeatPlatform & { random(): number };
}

/** How a message is sent. */
export interface SignOptions {
  /** Stops waiting for the answer. @default nothing does */
  cancelled?: AbortSignal;
  /** The longest wait for the answer, in milliseconds. @default as long as the connection lasts */
  timeoutMs?: number | undefined;
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

const browser: Required<SignClientOptions>["platform"] = {
  setTimer: (run, ms) => setTimeout(run, ms),
  clearTimer: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
  now: () => Date.now(),
  random: () => Math.random(),
  isVisible: () => document.visibilityState !== "hidden",
  onVisibility: (listen) => document.addEventListener("visibilitychange", listen),
};

const open = 1;
const mayBeSigned = "It may have been signed all the same.";

/** A connection that comes back. Call {@linkcode start} once. */
export class SignClient {
  readonly #options: Required<Omit<SignClientOptions, "ask">>;
  readonly #state = signal<StreamState>({ kind: "connecting" });
  readonly #heartbeat: Heartbeat;
  #socket: WebSocketLike | undefined;
  #waiting = new Map<number, (outcome: SignOutcome) => void>();
  #nextId = 1;
  #attempt = 0;
  #timer: unknown;

  constructor({ ask, ...options }: SignClientOptions) {
    this.#options = {
      retryBaseDelayMs: 500,
      retryMaxDelayMs: 8_000,
      platform: browser,
      ...options,
    };
    this.#heartbeat = new Heartbeat({
      onSilent: (sinceMs) => this.#state.value = { kind: "silent", sinceMs },
      onHeard: () => this.#state.value = { kind: "live" },
      platform: this.#options.platform,
      ...(ask && { ask }),
    });
  }

  /** Where the connection is. */
  get state(): ReadonlySignal<StreamState> {
    return this.#state;
  }

  /** Connects, now; the wait for the next attempt ends. */
  start(): void {
    this.#options.platform.clearTimer(this.#timer);
    this.#heartbeat.stop();
    this.#socket?.close();
    const socket = this.#options.open();
    this.#socket = socket;
    socket.onopen = () => {
      if (this.#socket !== socket) return;
      this.#attempt = 0;
      this.#state.value = { kind: "live" };
      this.#heartbeat.start();
    };
    socket.onmessage = ({ data }) => this.#take(data);
    socket.onclose = () => {
      if (this.#socket === socket) this.#lost();
    };
  }

  /** Sends a message; always resolves. */
  sign(message: string, { cancelled, timeoutMs }: SignOptions = {}): Promise<SignOutcome> {
    const socket = this.#socket;
    if (!socket || socket.readyState !== open) {
      return Promise.resolve(pageError("not-sent", "Not sent", "There is no connection yet."));
    }
    const { platform } = this.#options;
    const id = this.#nextId++;
    return new Promise((resolve) => {
      const end = (outcome: SignOutcome) => {
        if (!this.#waiting.delete(id)) return;
        platform.clearTimer(timer);
        cancelled?.removeEventListener("abort", onCancelled);
        resolve(outcome);
      };
      const onCancelled = () => end(pageError("cancelled", "Cancelled", mayBeSigned));
      const timer = timeoutMs === undefined ? undefined : platform.setTimer(() => {
        const detail = `Nothing came in ${timeoutMs / 1e3} s. ${mayBeSigned}`;
        end(pageError("no-answer", "No answer", detail));
      }, timeoutMs);
      cancelled?.addEventListener("abort", onCancelled);
      this.#waiting.set(id, end);
      socket.send(JSON.stringify({ id, message }));
    });
  }

  #take(data: unknown): void {
    this.#heartbeat.heard();
    const answer = JSON.parse(String(data)) as { id: number | null } & SignOutcome;
    // One that nobody waits for any more is left out.
    if (answer.id !== null) this.#waiting.get(answer.id)?.(answer);
  }

  #lost(): void {
    const { platform, retryBaseDelayMs, retryMaxDelayMs } = this.#options;
    this.#heartbeat.stop();
    for (const end of [...this.#waiting.values()]) {
      const detail = "The connection ended before the answer came. Send it again.";
      end(pageError("connection-lost", "Connection lost", detail));
    }
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
    this.#timer = platform.setTimer(() => this.start(), waitMs);
  }
}

function pageError(type: string, title: string, detail: string): SignOutcome {
  return { error: { type, title, detail } };
}
