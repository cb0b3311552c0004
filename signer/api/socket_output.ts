/**
 * Sending on a WebSocket whose peer may read slowly or not at all: what waits is bounded, and who
 * does not read for too long is cut off.
 *
 * @module
 */

/** The part of a WebSocket that is used here. */
export interface OutputSocket {
  readonly readyState: number;
  readonly bufferedAmount: number;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** Options of {@linkcode SocketOutput}. */
export interface SocketOutputOptions {
  /** Bytes given to the operating system's side that the peer has not taken; beyond it answers wait here. @default 262_144 */
  maxBufferedBytes?: number;
  /** Answers that wait here; one more cuts the peer off. @default 1_024 */
  maxQueued?: number;
  /** Their characters; more cut the peer off. @default 4_194_304 */
  maxQueuedLength?: number;
  /** How long a peer may take nothing while answers wait. @default 10_000 */
  slowReaderTimeoutMs?: number;
  /** How often a full peer is looked at. @default 20 */
  pollIntervalMs?: number;
  /** Told when the peer is cut off. */
  onCut?: (why: string) => void;
}

const open = 1;

/** The way out of one socket. */
export class SocketOutput {
  #socket: OutputSocket;
  #options: Required<SocketOutputOptions>;
  #queue: string[] = [];
  #queuedLength = 0;
  #onDrained: (() => void) | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #lowestBytes = Infinity;
  #progressMs = 0;
  #ended = false;

  constructor(socket: OutputSocket, options: SocketOutputOptions = {}) {
    this.#socket = socket;
    this.#options = {
      maxBufferedBytes: options.maxBufferedBytes ?? 262_144,
      maxQueued: options.maxQueued ?? 1_024,
      maxQueuedLength: options.maxQueuedLength ?? 4_194_304,
      slowReaderTimeoutMs: options.slowReaderTimeoutMs ?? 10_000,
      pollIntervalMs: options.pollIntervalMs ?? 20,
      onCut: options.onCut ?? (() => {}),
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
      return this.#cut("too many answers wait");
    }
    this.#queue.push(text);
    this.#queuedLength = length;
    if (this.#timer !== undefined) return;
    this.#lowestBytes = this.#socket.bufferedAmount;
    this.#progressMs = performance.now();
    this.#timer = setInterval(() => this.#drain(), this.#options.pollIntervalMs);
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
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #hasRoom(): boolean {
    return this.#socket.bufferedAmount <= this.#options.maxBufferedBytes;
  }

  #drain(): void {
    if (this.#socket.readyState !== open) return this.end();
    const nowMs = performance.now();
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
      clearInterval(this.#timer);
      this.#timer = undefined;
      this.#onDrained?.();
    } else if (nowMs - this.#progressMs > this.#options.slowReaderTimeoutMs) {
      this.#cut("the peer reads nothing");
    }
  }

  #cut(why: string): void {
    this.end();
    this.#options.onCut(why);
    // 1013: try again later (the IANA registry of close codes).
    this.#socket.close(1013, why);
  }
}
