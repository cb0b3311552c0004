/**
 * Server-sent events (WHATWG HTML, "Server-sent events"): one hub for each stream of a server.
 *
 * However many clients there are and however they read, memory is bounded: a client has a queue of
 * so many bytes, and what does not go into it is refused to the sender, replaces what waits, or
 * costs the client its connection, as the sender chooses. No client slows another.
 *
 * Three ways to use it, which go together:
 *
 * - {@linkcode EventStreamHub.broadcast}: every client gets every event. With `maxReplayEvents` the
 *   last ones are kept, and a client that comes back gets what it has missed.
 * - `broadcast(event, { latest: true })`: only the newest of a name matters, such as a state.
 * - {@linkcode EventClient.send}: each client gets its own, as where everybody has a filter.
 *
 * @module
 */
import type { Meter } from "@opentelemetry/api";
import type { Context } from "hono";
import { ProblemError } from "./problem.ts";
import { realWorld, type TimerId, type World } from "./world/world.ts";

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

/** How the start of a stream fits to what the client has seen before. */
export type Resume =
  /** It is new here. */
  | "none"
  /** It gets what it has missed. */
  | "resumed"
  /** What it has missed is not known any more: it must begin anew. */
  | "reset";

/** Options of {@linkcode EventStreamHub}. */
export interface EventStreamHubOptions {
  /** Clients at once; one more is answered 503 with `Retry-After`. @default 64 */
  maxClients?: number;
  /**
   * Bytes that may wait for one client. A single event that is larger goes to a client for which
   * nothing waits.
   *
   * @default 1 MiB
   */
  maxQueuedBytes?: number;
  /** A client for which something waits and that has not read for so long is dropped, in milliseconds. @default 30_000 */
  maxStalledMs?: number;
  /** Events kept to be replayed; 0 for none. @default 0 */
  maxReplayEvents?: number;
  /** Bytes of events kept to be replayed. @default 4 MiB */
  maxReplayBytes?: number;
  /** How long a browser waits before it connects again, in milliseconds. @default 1_000 */
  retryMs?: number;
  /** A stream that was silent for so long gets a comment, in milliseconds; at the latest after twice the time. @default 10_000 */
  heartbeatMs?: number;
  /** What a silent stream gets instead: a page cannot see comments. @default a comment */
  heartbeatEvent?: (() => ServerSentEvent) | undefined;
  /** Ends every stream. @default nothing does */
  stopping?: AbortSignal | undefined;
  /** Time and chance. @default the real world */
  world?: World;
  /** Makes the instruments `<prefix>.clients`, `<prefix>.events` and `<prefix>.closed`. @default none are made */
  metrics?: { meter: Meter; prefix: string } | undefined;
}

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

/** How a stream begins. */
export interface OpenOptions<State> {
  /** What the caller wants to know of the client later. */
  state: State;
  /** The id of the last event that the client has seen: {@linkcode lastEventIdOf}. */
  lastEventId?: string | undefined;
  /** Sends what a client gets first, before what it has missed. */
  greet?: ((client: EventClient<State>, resume: Resume) => void) | undefined;
}

/** What of a hub its clients use. */
interface ClientOwner {
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

interface KeptEvent {
  readonly seq: number;
  readonly bytes: Uint8Array;
}

const encoder = new TextEncoder();
const heartbeatComment = encoder.encode(": alive\n\n");
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
  readonly #owner: ClientOwner;
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

  constructor(owner: ClientOwner, state: State) {
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

/**
 * A stream's clients.
 *
 * @throws {RangeError} an option is out of range
 *
 * @example
 * ```ts
 * const hub = new EventStreamHub<undefined>({ maxReplayEvents: 1_000, stopping, world });
 * app.get("/api/stream", (c) => hub.open({ state: undefined, lastEventId: lastEventIdOf(c) }));
 * hub.broadcast({ name: "signed", data: { id: 7 } });
 * ```
 */
export class EventStreamHub<State> {
  /** What has happened so far. */
  readonly counters: EventStreamCounters = {
    opened: 0,
    refused: 0,
    sent: 0,
    skipped: 0,
    replaced: 0,
    replayed: 0,
    closed: { left: 0, slow: 0, stalled: 0, stopping: 0, closed: 0 },
  };
  readonly #options: Required<EventStreamHubOptions>;
  readonly #clients = new Set<EventClient<State>>();
  readonly #owner: ClientOwner;
  /** Ids of another hub, as of this program before a restart, do not begin like this. */
  readonly #epoch: string;
  readonly #kept: KeptEvent[] = [];
  #keptBytes = 0;
  #seq = 0;
  #timer: TimerId | undefined;
  #stopped = false;
  readonly #onStopping = () => this.stop();

  constructor(options: EventStreamHubOptions = {}) {
    this.#options = withDefaults(options);
    const { world, stopping, maxQueuedBytes } = this.#options;
    this.#epoch = world.randomUuid().slice(0, 8);
    this.#owner = {
      maxQueuedBytes,
      world,
      counters: this.counters,
      forget: (client, reason) => this.#forget(client as EventClient<State>, reason),
    };
    if (options.metrics) observe(options.metrics, this);
    if (stopping?.aborted) this.#stopped = true;
    else stopping?.addEventListener("abort", this.#onStopping, { once: true });
  }

  /** The open streams. */
  get clients(): Iterable<EventClient<State>> {
    return this.#clients;
  }

  /** How many streams are open. */
  get size(): number {
    return this.#clients.size;
  }

  /**
   * Opens a stream.
   *
   * @throws {ProblemError} 503 with `Retry-After` when there are too many, or the server stops
   */
  open({ state, lastEventId, greet }: OpenOptions<State>): Response {
    const { maxClients, retryMs } = this.#options;
    if (this.#stopped) throw unavailable("Shutting down", "The server ends. Try again later.");
    if (this.#clients.size >= maxClients) {
      this.counters.refused++;
      throw unavailable(
        "Too many streams",
        `${maxClients} streams are open already. Close a page, or try again later.`,
      );
    }
    const client = new EventClient<State>(this.#owner, state);
    this.#clients.add(client);
    this.counters.opened++;
    this.#startTimer();
    client.sendComment(encoder.encode(`retry: ${retryMs}\n\n`));
    const missed = this.#missedSince(lastEventId);
    greet?.(
      client,
      missed === undefined ? lastEventId === undefined ? "none" : "reset" : "resumed",
    );
    if (missed !== undefined) client.replay(missed);
    return new Response(client.body, {
      headers: {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store",
        // Proxies must not collect events before they pass them on.
        "x-accel-buffering": "no",
      },
    });
  }

  /**
   * Sends an event to every client. One whose queue is full is dropped, as it would have a gap that
   * nobody knows of: it comes back and gets what it has missed. With `latest` it stays, and gets
   * the newest later.
   */
  broadcast(event: ServerSentEvent, { latest = false }: SendOptions = {}): void {
    const replays = this.#options.maxReplayEvents > 0;
    const id = event.id ?? (replays ? `${this.#epoch}:${this.#seq + 1}` : undefined);
    const bytes = encoder.encode(eventText(id === undefined ? event : { ...event, id }));
    if (replays) this.#keep(bytes);
    for (const client of this.#clients) {
      const sent = client.sendBytes(bytes, 1, latest ? nameOf(event) : undefined);
      if (!sent && !latest) client.close("slow");
    }
  }

  /** Ends every stream; no new one is opened. */
  stop(): void {
    this.#stopped = true;
    this.#options.stopping?.removeEventListener("abort", this.#onStopping);
    for (const client of this.#clients) client.close("stopping");
  }

  #forget(client: EventClient<State>, reason: CloseReason): void {
    this.#clients.delete(client);
    this.counters.closed[reason]++;
    if (this.#clients.size > 0) return;
    this.#options.world.clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #keep(bytes: Uint8Array): void {
    const { maxReplayEvents, maxReplayBytes } = this.#options;
    this.#kept.push({ seq: ++this.#seq, bytes });
    this.#keptBytes += bytes.length;
    while (this.#kept.length > maxReplayEvents || this.#keptBytes > maxReplayBytes) {
      this.#keptBytes -= this.#kept.shift()!.bytes.length;
    }
  }

  /** What came after this event, as far as it is all still known. */
  #missedSince(lastEventId: string | undefined): Uint8Array[] | undefined {
    const [epoch, text = ""] = lastEventId?.split(":") ?? [];
    const seq = Number(text);
    if (epoch !== this.#epoch || !/^\d{1,15}$/.test(text) || seq > this.#seq) return undefined;
    const first = this.#seq - this.#kept.length + 1;
    if (seq + 1 < first) return undefined;
    return this.#kept.slice(seq + 1 - first).map(({ bytes }) => bytes);
  }

  #startTimer(): void {
    const { world, heartbeatMs, maxStalledMs } = this.#options;
    this.#timer ??= world.setInterval(() => this.#tick(), Math.min(heartbeatMs, maxStalledMs));
  }

  #tick(): void {
    const { heartbeatMs, heartbeatEvent, maxStalledMs } = this.#options;
    for (const client of this.#clients) {
      if (client.isStalled(maxStalledMs)) client.close("stalled");
      else if (client.isSilent(heartbeatMs)) {
        if (heartbeatEvent) client.send(heartbeatEvent(), { latest: true });
        else client.sendComment(heartbeatComment);
      }
    }
  }
}

/**
 * The id of the last event that a client has seen: of the query, as a page's own reconnection gives
 * it, or of the header that a browser sends by itself.
 *
 * @example
 * ```ts
 * app.get("/api/stream", (c) => hub.open({ state: undefined, lastEventId: lastEventIdOf(c) }));
 * ```
 */
export function lastEventIdOf(c: Context): string | undefined {
  return c.req.query("lastEventId") ?? c.req.header("last-event-id");
}

function withDefaults(options: EventStreamHubOptions): Required<EventStreamHubOptions> {
  const all = {
    maxClients: 64,
    maxQueuedBytes: 1024 ** 2,
    maxStalledMs: 30_000,
    maxReplayEvents: 0,
    maxReplayBytes: 4 * 1024 ** 2,
    retryMs: 1_000,
    heartbeatMs: 10_000,
    heartbeatEvent: undefined,
    stopping: undefined,
    world: realWorld,
    metrics: undefined,
    ...options,
  };
  const least = { maxClients: 1, maxQueuedBytes: 1, maxStalledMs: 1, heartbeatMs: 1, retryMs: 0 };
  for (const [name, min] of Object.entries({ ...least, maxReplayEvents: 0, maxReplayBytes: 0 })) {
    const value = all[name as keyof typeof least];
    if (!Number.isSafeInteger(value) || value < min) {
      throw new RangeError(
        `Cannot make a stream as '${name}' must be an integer of at least ${min}: current value is ${value}`,
      );
    }
  }
  return all;
}

function observe(
  { meter, prefix }: { meter: Meter; prefix: string },
  hub: Pick<EventStreamHub<unknown>, "counters" | "size">,
): void {
  meter.createObservableUpDownCounter(`${prefix}.clients`, {
    description: "Event streams open.",
    unit: "{stream}",
  }).addCallback((result) => result.observe(hub.size));
  meter.createObservableCounter(`${prefix}.events`, {
    description: "Events to clients, by what became of them.",
    unit: "{event}",
  }).addCallback((result) => {
    for (const outcome of ["sent", "skipped", "replaced", "replayed"] as const) {
      result.observe(hub.counters[outcome], { outcome });
    }
  });
  meter.createObservableCounter(`${prefix}.closed`, {
    description: "Event streams ended, by reason.",
    unit: "{stream}",
  }).addCallback((result) => {
    for (const [reason, count] of Object.entries(hub.counters.closed)) {
      result.observe(count, { reason });
    }
  });
}

function unavailable(title: string, detail: string): ProblemError {
  return new ProblemError(503, { title, detail }, { "retry-after": "5" });
}

function nameOf(event: ServerSentEvent): string {
  return event.name ?? "message";
}

/** JSON has no line ends of its own, so one `data` line does. */
function eventText({ name, id, data }: ServerSentEvent): string {
  const nameLine = name === undefined ? "" : `event: ${name}\n`;
  const idLine = id === undefined ? "" : `id: ${id}\n`;
  return `${nameLine}${idLine}data: ${JSON.stringify(data ?? null)}\n\n`;
}
