/**
 * The requests that wait for their answers, bounded in number and bytes, and how the last ones
 * ended.
 *
 * @module
 */
import type { SignError } from "./sign_error.ts";
import type { SignAnswer } from "./wire.ts";

/** How a request ended: with an answer, or without one in time. */
export type Ending = "answered" | "timed-out";

/** A request that waits for its answer. */
export interface PendingRequest {
  /** When it is given up, by the world's monotonic clock. */
  deadlineMs: number;
  /** The message's length. */
  bytes: number;
  /** Whether the bus has it: then the time is the service's, before it is the bus's. */
  sent: boolean;
  /** Ends the wait. */
  settle: (result: SignAnswer | SignError) => void;
}

/** Options of {@linkcode PendingRequests}. */
export interface PendingRequestsOptions {
  /** Requests at once. */
  maxRequests: number;
  /** Their messages' bytes together. */
  maxBytes: number;
}

const rememberedPerGeneration = 16_384;

/**
 * Requests by their id, in the order of their deadlines, as all have the same time.
 *
 * @example
 * ```ts
 * const pending = new PendingRequests({ maxRequests: 100, maxBytes: 1_000_000 });
 * if (pending.hasRoomFor(message.length)) pending.add(msgId, request);
 * ```
 */
export class PendingRequests {
  readonly #options: PendingRequestsOptions;
  readonly #waiting = new Map<string, PendingRequest>();
  readonly #ended = new EndedRequests();
  #bytes = 0;
  #onNone = () => {};

  constructor(options: PendingRequestsOptions) {
    this.#options = options;
  }

  /** Requests that wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Whether one more with a message of this length is within the limits. */
  hasRoomFor(bytes: number): boolean {
    const { maxRequests, maxBytes } = this.#options;
    return this.#waiting.size < maxRequests && this.#bytes + bytes <= maxBytes;
  }

  has(msgId: string): boolean {
    return this.#waiting.has(msgId);
  }

  add(msgId: string, request: PendingRequest): void {
    this.#waiting.set(msgId, request);
    this.#bytes += request.bytes;
  }

  /** Ends a request that waits; another is left alone. */
  end(msgId: string, how: Ending, result: SignAnswer | SignError): void {
    const request = this.#waiting.get(msgId);
    if (!request) return;
    this.#waiting.delete(msgId);
    this.#bytes -= request.bytes;
    this.#ended.add(msgId, how);
    request.settle(result);
    if (this.#waiting.size === 0) this.#onNone();
  }

  /** The first request, if its time is up. */
  overdue(nowMs: number): readonly [msgId: string, request: PendingRequest] | undefined {
    for (const entry of this.#waiting) return entry[1].deadlineMs <= nowMs ? entry : undefined;
    return undefined;
  }

  /** The ids of all that wait. */
  ids(): string[] {
    return [...this.#waiting.keys()];
  }

  /** How a request ended, if it was lately: it distinguishes a double or late answer from a stranger's. */
  endingOf(msgId: string): Ending | undefined {
    return this.#ended.endingOf(msgId);
  }

  /** Resolves when none waits. */
  none(): Promise<void> {
    if (this.#waiting.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onNone = resolve);
  }
}

/** How the last requests ended, in two generations: forgetting one at a time would cost more than all else. */
class EndedRequests {
  #young = new Map<string, Ending>();
  #old = new Map<string, Ending>();

  add(msgId: string, how: Ending): void {
    if (this.#young.size >= rememberedPerGeneration) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(msgId, how);
  }

  endingOf(msgId: string): Ending | undefined {
    return this.#young.get(msgId) ?? this.#old.get(msgId);
  }
}
