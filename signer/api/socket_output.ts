/**
 * Sending on a WebSocket whose peer may read slowly or not at all: what waits is bounded, and who
 * does not read for too long is cut off.
 *
 * @module
 */

import { checkPositiveIntegers } from "../../service/options.ts";
import { realWorld, type TimerId, type World } from "../../service/world/world.ts";

/** The part of a WebSocket that is used here. */
export interface OutputSocket {
  readonly readyState: number;
  readonly bufferedAmount: number;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** Options of {@linkcode SocketOutput}. */
export interface SocketOutputOptions {
  /** What the peer has not taken of what was sent, in bytes; beyond it answers wait here. 0 lets one out at a time. @default 262_144 */
  maxBufferedBytes?: number;
  /** Answers that wait here; one more cuts the peer off. @default 1_024 */
  maxQueued?: number;
  /** Their characters; more cut the peer off. @default 4_194_304 */
  maxQueuedLength?: number;
  /** How long a peer may take nothing while answers wait, in milliseconds. @default 10_000 */
  slowReaderTimeoutMs?: number;
  /** Time between two polls of a peer for which answers wait, in milliseconds. @default 20 */
  pollIntervalMs?: number;
  /** Notified when the peer is cut off. @default nobody is */
  onCut?: (why: string) => void;
  /** Time and chance. @default realWorld */
  world?: World;
}

const open = 1;
/** Of the IANA registry of close codes. */
const tryAgainLater = 1013;

/**
 * The way out of one socket.
 *
 * @throws {RangeError} an option is out of range
 *
 * @example
 * ```ts
 * const output = new SocketOutput(socket, { onCut: (why) => log.warn("Cut off", { why }) });
 * output.send("ok: …");
 * socket.onclose = () => output.end();
 * ```
 */
export class SocketOutput {
  #socket: OutputSocket;
  #options: Required<SocketOutputOptions>;
  #queue: string[] = [];
  #queuedLength = 0;
  #onDrained: (() => void) | undefined;
  #timer: TimerId | undefined;
  #lowestBytes = Infinity;
  #progressMs = 0;
  #ended = false;

  constructor(socket: OutputSocket, options: SocketOutputOptions = {}) {
    const { maxQueued, maxQueuedLength, slowReaderTimeoutMs, pollIntervalMs } = options;
    checkPositiveIntegers("send to a socket", {
      ...{ maxQueued, maxQueuedLength, slowReaderTimeoutMs, pollIntervalMs },
    });
    this.#socket = socket;
    this.#options = {
      maxBufferedBytes: options.maxBufferedBytes ?? 262_144,
      maxQueued: options.maxQueued ?? 1_024,
      maxQueuedLength: options.maxQueuedLength ?? 4_194_304,
      slowReaderTimeoutMs: options.slowReaderTimeoutMs ?? 10_000,
      pollIntervalMs: options.pollIntervalMs ?? 20,
      onCut: options.onCut ?? (() => {}),
      world: options.world ?? realWorld,
    };
  }

  /** Answers that wait for the peer. */
  get queued(): number {
    return this.#queue.length;
  }

  /** Sends, now or when the peer has made room; nothing once the socket has ended. */
  send(text: string): void {
    if (this.#ended || this.#socket.readyState !== open) return this.end();
    if (this.#queue.length === 0 && this.#hasRoom()) return this.#socket.send(text);
    const { maxQueued, maxQueuedLength } = this.#options;
    const length = this.#queuedLength + text.length;
    if (this.#queue.length >= maxQueued || (this.#queue.length > 0 && length > maxQueuedLength)) {
      return this.cut(tryAgainLater, "too many answers wait");
    }
    this.#queue.push(text);
    this.#queuedLength = length;
    if (this.#timer !== undefined) return;
    this.#lowestBytes = this.#socket.bufferedAmount;
    this.#progressMs = this.#options.world.monotonicMs();
    this.#timer = this.#options.world.setInterval(
      () => this.#drain(),
      this.#options.pollIntervalMs,
    );
  }

  /** Resolves when nothing waits any more. */
  async drained(): Promise<void> {
    if (this.#queue.length > 0) await new Promise<void>((resolve) => this.#onDrained = resolve);
  }

  /** Forgets what waits. */
  end(): void {
    this.#ended = true;
    this.#queue = [];
    this.#queuedLength = 0;
    this.#onDrained?.();
    this.#stopPolling();
  }

  /** Closes the socket, forgets what waits, and says why. */
  cut(code: number, why: string): void {
    this.end();
    this.#options.onCut(why);
    this.#socket.close(code, why);
  }

  #stopPolling(): void {
    this.#options.world.clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #hasRoom(): boolean {
    return this.#socket.bufferedAmount <= this.#options.maxBufferedBytes;
  }

  #drain(): void {
    if (this.#socket.readyState !== open) return this.end();
    const nowMs = this.#options.world.monotonicMs();
    if (this.#socket.bufferedAmount < this.#lowestBytes) {
      this.#lowestBytes = this.#socket.bufferedAmount;
      this.#progressMs = nowMs;
    }
    while (this.#queue.length > 0 && this.#hasRoom()) {
      const text = this.#queue.shift()!;
      this.#queuedLength -= text.length;
      this.#socket.send(text);
      this.#lowestBytes = this.#socket.bufferedAmount;
      this.#progressMs = nowMs;
    }
    if (this.#queue.length === 0) {
      this.#stopPolling();
      this.#onDrained?.();
    } else if (nowMs - this.#progressMs > this.#options.slowReaderTimeoutMs) {
      this.cut(tryAgainLater, "the peer reads nothing");
    }
  }
}
