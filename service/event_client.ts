/**
 * One client of a stream of server-sent events: a queue of so many bytes, emptied as the client
 * reads. {@linkcode EventStreamHub} in `event_stream.ts` makes them.
 *
 * @module
 */
import type { World } from "./world/world.ts";

/** An event. */
export interface ServerSentEvent {
  /** What a page listens for. @default "message" */
  name?: string;
  /** What a client that comes back says it has seen last. @default the hub's own if it replays, else none */
  id?: string;
  /** What it says; sent as JSON. */
  data: unknown;
}

/**
 * Why a stream has ended: the client went away (`left`), it was dropped because its queue was full
 * (`slow`) or because it had not read for long (`stalled`), the server stops, or its owner
 * closed it.
 */
export type CloseReason = "left" | "slow" | "stalled" | "stopping" | "closed";

/** What has happened so far. */
export interface EventStreamCounters {
  /** Streams opened. */
  opened: number;
  /** Streams refused because there were too many. */
  refused: number;
  /** Events put into a client's queue. */
  sent: number;
  /** Events that did not fit into a client's queue. */
  skipped: number;
  /** Events that gave way, in a client's queue, to a newer one of their name. */
  replaced: number;
  /** Events sent again to clients that came back. */
  replayed: number;
  /** Streams ended. */
  readonly closed: Record<CloseReason, number>;
}

/** How an event is sent. */
export interface SendOptions {
  /** It takes the place of an event of its name that still waits. @default false */
  latest?: boolean;
}

/** What of a hub its clients use. */
export interface EventClientOwner {
  readonly maxQueuedBytes: number;
  readonly world: World;
  readonly counters: EventStreamCounters;
  forget(client: EventClient<unknown>, reason: CloseReason): void;
}

interface Piece {
  readonly bytes: Uint8Array;
  /** Set where a newer event of this name may take its place. */
  readonly latestOf: string | undefined;
}

const encoder = new TextEncoder();
/** What one read takes out of a queue: more would only wait elsewhere. */
const maxReadBytes = 65_536;

const farewells: Record<CloseReason, string> = {
  left: "",
  slow: "too slow: what it had not read did not fit into its queue",
  stalled: "stalled: it has not read for too long",
  stopping: "the server stops",
  closed: "done",
};

/** One stream: a queue that is emptied as its client reads. */
export class EventClient<State> {
  /** What the caller has given it. */
  readonly state: State;
  /** What the client is answered with. */
  readonly body: ReadableStream<Uint8Array>;
  readonly #owner: EventClientOwner;
  readonly #queue: Piece[] = [];
  #queuedBytes = 0;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  /** Somebody reads, and there was nothing. */
  #wanted = false;
  #ended = false;
  /** The client went away, and took the stream with it: there is nothing to close. */
  #left = false;
  /** Since when something waits without being read. */
  #waitingSinceMs: number | undefined;
  #sentMs: number;

  constructor(owner: EventClientOwner, state: State) {
    this.#owner = owner;
    this.state = state;
    this.#sentMs = owner.world.monotonicMs();
    this.body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => {
        this.#wanted = true;
        this.#flush();
      },
      cancel: () => {
        this.#left = true;
        this.close("left");
      },
    }, { highWaterMark: 0 });
  }

  /** Bytes that wait for it. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** True when something waits already that leaves no room for more. */
  get isFull(): boolean {
    return this.#queuedBytes >= this.#owner.maxQueuedBytes;
  }

  /**
   * Sends events in one piece, all of them or none.
   *
   * @returns false when they do not fit into its queue or the stream has ended: nothing was sent
   */
  send(events: ServerSentEvent | readonly ServerSentEvent[], options: SendOptions = {}): boolean {
    const list: readonly ServerSentEvent[] = Array.isArray(events) ? events : [events];
    const bytes = encoder.encode(list.map(eventText).join(""));
    return this.sendBytes(bytes, list.length, options.latest ? nameOf(list[0]!) : undefined);
  }

  /** Ends the stream, with a comment that says why. */
  close(reason: CloseReason = "closed"): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#owner.forget(this, reason);
    if (reason === "slow" || reason === "stalled" || reason === "left") this.#empty();
    if (reason === "left") return;
    this.#push(encoder.encode(`: ${farewells[reason]}\n\n`));
    this.#flush();
  }

  /** Sends what is encoded already. For the hub. */
  sendBytes(bytes: Uint8Array, events: number, latestOf?: string): boolean {
    const { counters, maxQueuedBytes } = this.#owner;
    if (this.#ended) return false;
    const older = latestOf === undefined
      ? -1
      : this.#queue.findIndex((piece) => piece.latestOf === latestOf);
    const queuedBytes = this.#queuedBytes - (this.#queue[older]?.bytes.length ?? 0);
    if (queuedBytes > 0 && queuedBytes + bytes.length > maxQueuedBytes) {
      counters.skipped += events;
      return false;
    }
    if (older >= 0) {
      this.#queue.splice(older, 1);
      this.#queuedBytes = queuedBytes;
      counters.replaced++;
    }
    counters.sent += events;
    this.#push(bytes, latestOf);
    this.#flush();
    return true;
  }

  /** Sends what was missed; it is bounded by what the hub keeps. For the hub. */
  replay(pieces: readonly Uint8Array[]): void {
    for (const bytes of pieces) this.#push(bytes);
    this.#owner.counters.replayed += pieces.length;
    this.#flush();
  }

  /** Sends what is no event. For the hub. */
  sendComment(bytes: Uint8Array): void {
    if (this.#ended) return;
    this.#push(bytes);
    this.#flush();
  }

  /** True when something has waited for so long without being read. For the hub. */
  isStalled(maxStalledMs: number): boolean {
    return this.#waitingSinceMs !== undefined &&
      this.#owner.world.monotonicMs() - this.#waitingSinceMs >= maxStalledMs;
  }

  /** True when nothing waits and nothing was sent for so long. For the hub. */
  isSilent(durationMs: number): boolean {
    return this.#queue.length === 0 &&
      this.#owner.world.monotonicMs() - this.#sentMs >= durationMs;
  }

  #push(bytes: Uint8Array, latestOf?: string): void {
    this.#queue.push({ bytes, latestOf });
    this.#queuedBytes += bytes.length;
    this.#sentMs = this.#owner.world.monotonicMs();
    if (!this.#wanted) this.#waitingSinceMs ??= this.#sentMs;
  }

  #empty(): void {
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    this.#waitingSinceMs = undefined;
  }

  /** Gives the reader what it asked for, as far as it is there. */
  #flush(): void {
    if (!this.#wanted) return;
    if (this.#queue.length > 0) {
      this.#wanted = false;
      // A read is a sign of life, though more may wait.
      this.#waitingSinceMs = undefined;
      const bytes = this.#take();
      if (this.#queue.length > 0) this.#waitingSinceMs = this.#owner.world.monotonicMs();
      this.#controller.enqueue(bytes);
    }
    // What was just given out may have met a client that had gone away.
    if (this.#ended && !this.#left && this.#queue.length === 0) {
      this.#wanted = false;
      this.#controller.close();
    }
  }

  #take(): Uint8Array {
    let count = 0;
    let length = 0;
    do {
      length += this.#queue[count]!.bytes.length;
      count++;
    } while (
      count < this.#queue.length && length + this.#queue[count]!.bytes.length <= maxReadBytes
    );
    const pieces = this.#queue.splice(0, count);
    this.#queuedBytes -= length;
    if (pieces.length === 1) return pieces[0]!.bytes;
    const whole = new Uint8Array(length);
    let offset = 0;
    for (const { bytes } of pieces) {
      whole.set(bytes, offset);
      offset += bytes.length;
    }
    return whole;
  }
}

/** By what a newer event knows an older one of its kind. For the hub. */
export function nameOf(event: ServerSentEvent): string {
  return event.name ?? "message";
}

/** An event as it is sent: JSON has no line ends of its own, so one `data` line does. For the hub. */
export function eventText({ name, id, data }: ServerSentEvent): string {
  const nameLine = name === undefined ? "" : `event: ${name}\n`;
  const idLine = id === undefined ? "" : `id: ${id}\n`;
  return `${nameLine}${idLine}data: ${JSON.stringify(data ?? null)}\n\n`;
}
