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
import {
  type CloseReason,
  EventClient,
  type EventClientOwner,
  type EventStreamCounters,
  eventText,
  nameOf,
  type SendOptions,
  type ServerSentEvent,
} from "./event_client.ts";
import { ProblemError } from "./problem.ts";
import { realWorld, type TimerId, type World } from "./world/world.ts";

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

/** How a stream begins. */
export interface OpenOptions<State> {
  /** What the caller wants to know of the client later. */
  state: State;
  /** The id of the last event that the client has seen: {@linkcode lastEventIdOf}. */
  lastEventId?: string | undefined;
  /** Sends what a client gets first, before what it has missed. */
  greet?: ((client: EventClient<State>, resume: Resume) => void) | undefined;
}

interface KeptEvent {
  readonly seq: number;
  readonly bytes: Uint8Array;
}

const encoder = new TextEncoder();
const heartbeatComment = encoder.encode(": alive\n\n");
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
  readonly #owner: EventClientOwner;
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
