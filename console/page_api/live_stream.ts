/**
 * `/api/stream`: what is new, as server-sent events (WHATWG HTML, "Server-sent events"). However
 * much comes in, a client gets at most so many rows a quarter of a second and gets the number of
 * all there were; a client that does not read loses rows, never the server its memory.
 *
 * @module
 */
import type { EventClient, ServerSentEvent } from "../../service/event_client.ts";
import { EventStreamHub } from "../../service/event_stream.ts";
import { checkPositiveIntegers } from "../../service/options.ts";
import { realWorld, type TimerId, type World } from "../../service/world/world.ts";
import type {
  HelloEvent,
  LogsEvent,
  Signal,
  StatsEvent,
  StreamEvents,
  TracesEvent,
} from "./stream_events.ts";
import { logRow, type StoredLog } from "../stores/log_store.ts";
import {
  type LogFilter,
  logFilter,
  parameterProblem,
  type Parameters,
  type TraceFilter,
  traceFilter,
} from "../queries/query.ts";
import type { TelemetryStore } from "../stores/telemetry_store.ts";
import { type Trace, traceSummary } from "../stores/trace_store.ts";

/** Options of {@linkcode LiveStream}. */
export interface LiveStreamOptions {
  /** What is new comes from here. */
  store: TelemetryStore;
  /** What `hello` says, but for `resume`. */
  hello: () => Omit<HelloEvent, "resume">;
  /** What `stats` says. */
  stats: () => StatsEvent;
  /** Time between two rounds of events, in milliseconds. @default 250 */
  roundMs?: number;
  /** The most traces, and the most log records, of one round. @default 100 */
  maxRowsPerRound?: number;
  /** The most traces, and the most log records, sent to catch up after a reconnect. @default 500 */
  maxCatchUpRows?: number;
  /** Clients at once; beyond it 503 with `Retry-After`. @default 256 */
  maxClients?: number;
  /** Bytes waiting for a client that does not read; beyond it its rows are skipped and reported as not shown. @default 1 MiB */
  maxQueuedBytes?: number;
  /** A client that has not read for so long is cut off, in milliseconds; it may connect again and catch up. @default 30_000 */
  maxStalledMs?: number;
  /** Time and chance. @default the real world */
  world?: World;
}

/** What is known of a client. */
interface Viewer {
  readonly signals: ReadonlySet<Signal>;
  readonly traceFilter: TraceFilter;
  readonly logFilter: LogFilter;
  /** Rows skipped because the client did not read, reported with the next event. */
  skipped: { traces: number; logs: number };
}
type Client = EventClient<Viewer>;

/** The filter of a signal that is not asked for. */
const nothing = { narrows: true, matches: () => false };

const signalNames = ["traces", "logs", "metrics"] as const;
/** Traces examined a round and client where a filter must read them; the others are estimated. */
const maxExamined = 2_000;

/**
 * Sends clients what is new.
 *
 * @example
 * ```ts
 * const stream = new LiveStream({ store, hello, stats, world });
 * app.get("/api/stream", (c) =>
 *   stream.open((name) => c.req.query(name), c.req.header("last-event-id")));
 * // …
 * stream.stop();
 * ```
 */
export class LiveStream {
  readonly #options: Required<LiveStreamOptions>;
  readonly #hub: EventStreamHub<Viewer>;
  readonly #timer: TimerId;
  readonly #roundsPerSecond: number;
  #rounds = 0;
  /** The store's order of changes up to which clients have been notified. */
  #notifiedSeq = 0;
  #servicesVersion = -1;

  constructor(options: LiveStreamOptions) {
    this.#options = {
      roundMs: 250,
      maxRowsPerRound: 100,
      maxCatchUpRows: 500,
      maxClients: 256,
      maxQueuedBytes: 1024 ** 2,
      maxStalledMs: 30_000,
      world: realWorld,
      ...options,
    };
    const { roundMs, maxRowsPerRound, maxCatchUpRows, world, store } = this.#options;
    checkPositiveIntegers("stream", { roundMs, maxRowsPerRound, maxCatchUpRows });
    const { maxClients, maxQueuedBytes, maxStalledMs } = this.#options;
    this.#hub = new EventStreamHub({ maxClients, maxQueuedBytes, maxStalledMs, world });
    this.#roundsPerSecond = Math.max(1, Math.round(1_000 / roundMs));
    this.#notifiedSeq = store.seq;
    this.#timer = world.setInterval(() => this.round(), roundMs);
  }

  /** Open streams. */
  get clients(): number {
    return this.#hub.size;
  }

  /**
   * Opens a stream.
   *
   * @throws {ProblemError} 400 for a wrong parameter, 503 when there are too many clients.
   */
  open(parameters: Parameters, lastEventId: string | undefined): Response {
    const { world } = this.#options;
    const signals = signalsParameter(parameters);
    // A search for traces may be no search for logs.
    const state: Viewer = {
      signals,
      traceFilter: signals.has("traces") ? traceFilter(parameters, { world }) : nothing,
      logFilter: signals.has("logs") ? logFilter(parameters, world) : nothing,
      skipped: { traces: 0, logs: 0 },
    };
    return this.#hub.open({
      state,
      greet: (client) => this.#greet(client, parameters("lastEventId") ?? lastEventId),
    });
  }

  /** Notifies all clients that the store was cleared. */
  cleared(): void {
    const atMs = this.#options.world.nowMs();
    for (const client of this.#hub.clients) this.#send(client, "cleared", { atMs });
  }

  /** Ends all streams. */
  stop(): void {
    this.#options.world.clearInterval(this.#timer);
    this.#hub.stop();
  }

  #greet(client: Client, lastEventId: string | undefined): void {
    const hello = this.#options.hello();
    const [instance, seqText] = lastEventId?.split(":") ?? [];
    const lastSeq = Number(seqText);
    const resume = lastEventId === undefined
      ? "none"
      : instance === hello.instance && Number.isSafeInteger(lastSeq)
      ? "resumed"
      : "reset";
    this.#send(client, "hello", { ...hello, resume });
    this.#send(client, "stats", this.#options.stats());
    this.#send(client, "services", this.#services());
    if (resume === "resumed") this.#catchUp(client, lastSeq);
  }

  #catchUp(client: Client, lastSeq: number): void {
    const { store, maxCatchUpRows } = this.#options;
    let traces: TracesEvent | undefined;
    if (client.state.signals.has("traces")) {
      // What waits for the next round comes with it.
      const missed = [...store.traces.newestFirst()].filter((trace) =>
        trace.changedSeq > lastSeq && !trace.announced && client.state.traceFilter.matches(trace)
      );
      missed.sort((a, b) => b.changedSeq - a.changedSeq);
      const shown = missed.slice(0, maxCatchUpRows).reverse();
      if (missed.length > 0) traces = { ...tracesEvent(shown, missed.length), catchUp: true };
    }
    let logs: LogsEvent | undefined;
    if (client.state.signals.has("logs")) {
      const missed: StoredLog[] = [];
      let seen = 0;
      for (const log of store.logs.newestFirst()) {
        if (log.seq <= lastSeq) break;
        if (log.seq > this.#notifiedSeq || !client.state.logFilter.matches(log)) continue;
        seen++;
        if (missed.length < maxCatchUpRows) missed.push(log);
      }
      if (seen > 0) logs = { ...logsEvent(missed.reverse(), seen), catchUp: true };
    }
    this.#sendRows(client, traces, logs);
  }

  /** Sends all clients what is new. Called by a timer each `roundMs`. */
  round(): void {
    const { store, stats, world } = this.#options;
    const traces = store.traces.takeChanged();
    const logs = this.#newLogs();
    this.#notifiedSeq = store.seq;
    const isSecond = ++this.#rounds % this.#roundsPerSecond === 0;
    const metrics = isSecond ? store.takeChangedMetrics() : [];
    if (isSecond) store.measureRates(world.nowMs());
    if (this.#hub.size === 0) return;

    const perSecond = isSecond ? { stats: stats(), services: this.#changedServices() } : undefined;
    for (const client of this.#hub.clients) {
      this.#sendRows(
        client,
        client.state.signals.has("traces") ? this.#newTraces(client, traces) : undefined,
        client.state.signals.has("logs") ? this.#matchingLogs(client, logs) : undefined,
      );
      if (perSecond !== undefined) {
        if (client.state.signals.has("metrics") && metrics.length > 0) {
          this.#send(client, "metrics", { names: metrics.slice(0, 500) });
        }
        if (perSecond.services !== undefined) this.#send(client, "services", perSecond.services);
        this.#send(client, "stats", perSecond.stats);
      }
    }
  }

  /** The log records since the last round, newest first. The ring may have lost some of them already. */
  #newLogs(): StoredLog[] {
    const logs: StoredLog[] = [];
    for (const log of this.#options.store.logs.newestFirst()) {
      if (log.seq <= this.#notifiedSeq) break;
      logs.push(log);
    }
    return logs;
  }

  #changedServices(): StreamEvents["services"] | undefined {
    const { services } = this.#options.store;
    if (services.version === this.#servicesVersion) return undefined;
    this.#servicesVersion = services.version;
    return this.#services();
  }

  #services(): StreamEvents["services"] {
    const rows = this.#options.store.serviceRows();
    rows.sort((a, b) => b.spans + b.logs - a.spans - a.logs);
    return { services: rows.slice(0, 200) };
  }

  /** The newest of the changed traces that the client wants to see, and how many there are. */
  #newTraces(client: Client, changed: readonly Trace[]): TracesEvent | undefined {
    const { maxRowsPerRound } = this.#options;
    const { narrows, matches } = client.state.traceFilter;
    const examined = narrows ? Math.min(changed.length, maxExamined) : changed.length;
    const shown: Trace[] = [];
    let matched = 0;
    for (let i = changed.length - 1; i >= changed.length - examined; i--) {
      const trace = changed[i]!;
      if (narrows && !matches(trace)) continue;
      matched++;
      if (trace.held && shown.length < maxRowsPerRound) shown.push(trace);
    }
    const estimated = examined === 0 ? 0 : Math.round(matched * changed.length / examined);
    const seen = estimated + client.state.skipped.traces;
    return seen === 0 ? undefined : tracesEvent(shown.reverse(), seen);
  }

  #matchingLogs(client: Client, newestFirst: readonly StoredLog[]): LogsEvent | undefined {
    const shown: StoredLog[] = [];
    let seen = client.state.skipped.logs;
    for (const log of newestFirst) {
      if (!client.state.logFilter.matches(log)) continue;
      seen++;
      if (shown.length < this.#options.maxRowsPerRound) shown.push(log);
    }
    return seen === 0 ? undefined : logsEvent(shown.reverse(), seen);
  }

  /**
   * Sends a round's rows in one piece. Only its last event carries the id: a connection that ends
   * before it gets the whole round again.
   */
  #sendRows(client: Client, traces: TracesEvent | undefined, logs: LogsEvent | undefined): void {
    const id = `${this.#options.hello().instance}:${this.#notifiedSeq}`;
    const events: ServerSentEvent[] = [];
    if (traces) events.push({ name: "traces", ...(!logs && { id }), data: traces });
    if (logs) events.push({ name: "logs", id, data: logs });
    if (events.length === 0) return;
    // A queue that is full takes nothing, though a little more might fit.
    const sent = !client.isFull && client.send(events);
    client.state.skipped = sent
      ? { traces: 0, logs: 0 }
      : { traces: traces?.sampled.seen ?? 0, logs: logs?.sampled.seen ?? 0 };
  }

  #send<Name extends keyof StreamEvents>(
    client: Client,
    name: Name,
    data: StreamEvents[Name],
  ): void {
    client.send({ name, data });
  }
}

function tracesEvent(traces: Trace[], seen: number): TracesEvent {
  return { traces: traces.map(traceSummary), sampled: { shown: traces.length, seen } };
}

function logsEvent(logs: StoredLog[], seen: number): LogsEvent {
  return { logs: logs.map(logRow), sampled: { shown: logs.length, seen } };
}

function signalsParameter(parameters: Parameters): Set<Signal> {
  const text = parameters("signals");
  if (!text) return new Set(signalNames);
  const names = text.split(",");
  const unknown = names.find((name) => !signalNames.some((known) => known === name));
  if (unknown !== undefined) {
    throw parameterProblem("signals", `signals is a list of ${signalNames.join(", ")}.`);
  }
  return new Set(names as Signal[]);
}
