/**
 * `/api/stream`: what is new, as server-sent events (WHATWG HTML, "Server-sent events"). However
 * much comes in, a client gets at most so many rows a quarter of a second and is told how many
 * there were; a client that does not read loses rows, never the server its memory.
 *
 * @module
 */
import { ProblemError } from "../../service/problem.ts";
import type {
  HelloEvent,
  LogsEvent,
  Signal,
  StatsEvent,
  StreamEvents,
  TracesEvent,
} from "./api.ts";
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
  store: TelemetryStore;
  /** What `hello` says, but for `resume`. */
  hello: () => Omit<HelloEvent, "resume">;
  /** What `stats` says. */
  stats: () => StatsEvent;
  /** Time between two rounds of events. @default 250 */
  roundMs?: number;
  /** The most traces, and the most log records, of one round. @default 100 */
  maxRowsPerRound?: number;
  /** The most traces, and the most log records, sent to catch up after a reconnect. @default 500 */
  maxCatchUpRows?: number;
  /** Clients at once; beyond it 503 with `Retry-After`. @default 64 */
  maxClients?: number;
  /** Bytes waiting for a client that does not read; beyond it its rows are skipped and told as not shown. @default 1 MiB */
  maxQueuedBytes?: number;
  /** A client that has not read for so long is cut off; it may connect again and catch up. @default 30_000 */
  maxStalledMs?: number;
}

interface Client {
  readonly signals: ReadonlySet<Signal>;
  readonly traceFilter: TraceFilter;
  readonly logFilter: LogFilter;
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
  /** Rows skipped because the client did not read, to be told with the next event. */
  skipped: { traces: number; logs: number };
  /** When its queue was last seen below the limit. */
  readingMs: number;
  lastSentMs: number;
}

const signalNames = ["traces", "logs", "metrics"] as const;
/** Traces looked at a round and client where a filter must look into them; the others are estimated. */
const maxExamined = 2_000;
const heartbeatMs = 10_000;
const encoder = new TextEncoder();

/** Tells clients what is new. */
export class LiveStream {
  readonly #options: Required<LiveStreamOptions>;
  readonly #clients = new Set<Client>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #rounds = 0;
  /** The store's order of changes up to which clients have been told. */
  #toldSeq = 0;
  #servicesVersion = -1;
  readonly #roundsPerSecond: number;

  constructor(options: LiveStreamOptions) {
    this.#options = {
      roundMs: 250,
      maxRowsPerRound: 100,
      maxCatchUpRows: 500,
      maxClients: 64,
      maxQueuedBytes: 1024 ** 2,
      maxStalledMs: 30_000,
      ...options,
    };
    this.#roundsPerSecond = Math.max(1, Math.round(1_000 / this.#options.roundMs));
    this.#toldSeq = options.store.seq;
    this.#timer = setInterval(() => this.round(), this.#options.roundMs);
  }

  /** Open streams. */
  get clients(): number {
    return this.#clients.size;
  }

  /**
   * Opens a stream.
   *
   * @throws {ProblemError} 400 for a wrong parameter, 503 when there are too many clients.
   */
  open(parameters: Parameters, lastEventId: string | undefined): Response {
    const signals = signalsParameter(parameters);
    const filters = { traceFilter: traceFilter(parameters), logFilter: logFilter(parameters) };
    if (this.#clients.size >= this.#options.maxClients) {
      throw new ProblemError(503, {
        title: "Too many streams",
        detail: `${this.#options.maxClients} streams are open already. Close a page, or try later.`,
      }, { "retry-after": "5" });
    }
    let client: Client;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const now = Date.now();
        client = {
          signals,
          ...filters,
          controller,
          skipped: { traces: 0, logs: 0 },
          readingMs: now,
          lastSentMs: now,
        };
        this.#clients.add(client);
        this.#greet(client, parameters("lastEventId") ?? lastEventId);
      },
      cancel: () => {
        this.#clients.delete(client);
      },
    }, new ByteLengthQueuingStrategy({ highWaterMark: this.#options.maxQueuedBytes }));
    return new Response(body, {
      headers: {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store",
        // Proxies must not collect events before they pass them on.
        "x-accel-buffering": "no",
      },
    });
  }

  /** Tells all clients that the store was cleared. */
  cleared(): void {
    for (const client of this.#clients) this.#send(client, "cleared", { atMs: Date.now() });
  }

  /** Ends all streams. */
  stop(): void {
    clearInterval(this.#timer);
    for (const client of this.#clients) this.#close(client);
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
    client.controller.enqueue(encoder.encode("retry: 1000\n\n"));
    this.#send(client, "hello", { ...hello, resume });
    this.#send(client, "stats", this.#options.stats());
    this.#send(client, "services", this.#services());
    if (resume === "resumed") this.#catchUp(client, lastSeq);
  }

  #catchUp(client: Client, lastSeq: number): void {
    const { store, maxCatchUpRows } = this.#options;
    let traces: TracesEvent | undefined;
    if (client.signals.has("traces")) {
      // What waits for the next round comes with it.
      const missed = [...store.traces.newestFirst()].filter((trace) =>
        trace.changedSeq > lastSeq && !trace.announced && client.traceFilter.matches(trace)
      );
      missed.sort((a, b) => b.changedSeq - a.changedSeq);
      const shown = missed.slice(0, maxCatchUpRows).reverse();
      if (missed.length > 0) traces = { ...tracesEvent(shown, missed.length), catchUp: true };
    }
    let logs: LogsEvent | undefined;
    if (client.signals.has("logs")) {
      const missed: StoredLog[] = [];
      let seen = 0;
      for (const log of store.logs.newestFirst()) {
        if (log.seq <= lastSeq) break;
        if (log.seq > this.#toldSeq || !client.logFilter.matches(log)) continue;
        seen++;
        if (missed.length < maxCatchUpRows) missed.push(log);
      }
      if (seen > 0) logs = { ...logsEvent(missed.reverse(), seen), catchUp: true };
    }
    this.#sendRows(client, traces, logs);
  }

  /** Tells all clients what is new. Called by a timer each `roundMs`. */
  round(): void {
    const { store, stats } = this.#options;
    const now = Date.now();
    const traces = store.traces.takeChanged();
    const logs = this.#newLogs();
    this.#toldSeq = store.seq;
    const isSecond = ++this.#rounds % this.#roundsPerSecond === 0;
    const metrics = isSecond ? store.takeChangedMetrics() : [];
    if (isSecond) store.measureRates(now);
    if (this.#clients.size === 0) return;

    const perSecond = isSecond ? { stats: stats(), services: this.#changedServices() } : undefined;
    for (const client of this.#clients) {
      if (this.#isStalled(client, now)) continue;
      this.#sendRows(
        client,
        client.signals.has("traces") ? this.#newTraces(client, traces) : undefined,
        client.signals.has("logs") ? this.#matchingLogs(client, logs) : undefined,
      );
      if (perSecond !== undefined) {
        if (client.signals.has("metrics") && metrics.length > 0) {
          this.#send(client, "metrics", { names: metrics.slice(0, 500) });
        }
        if (perSecond.services !== undefined) this.#send(client, "services", perSecond.services);
        this.#send(client, "stats", perSecond.stats);
      }
      if (now - client.lastSentMs > heartbeatMs) this.#enqueue(client, ": alive\n\n");
    }
  }

  /** The log records since the last round, newest first. The ring may have lost some of them already. */
  #newLogs(): StoredLog[] {
    const logs: StoredLog[] = [];
    for (const log of this.#options.store.logs.newestFirst()) {
      if (log.seq <= this.#toldSeq) break;
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
    const { narrows, matches } = client.traceFilter;
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
    const seen = estimated + client.skipped.traces;
    return seen === 0 ? undefined : tracesEvent(shown.reverse(), seen);
  }

  #matchingLogs(client: Client, newestFirst: readonly StoredLog[]): LogsEvent | undefined {
    const shown: StoredLog[] = [];
    let seen = client.skipped.logs;
    for (const log of newestFirst) {
      if (!client.logFilter.matches(log)) continue;
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
    const id = `${this.#options.hello().instance}:${this.#toldSeq}`;
    const text = (traces ? eventText("traces", traces, logs ? undefined : id) : "") +
      (logs ? eventText("logs", logs, id) : "");
    if (text === "") return;
    const sent = this.#enqueue(client, text);
    client.skipped = sent
      ? { traces: 0, logs: 0 }
      : { traces: traces?.sampled.seen ?? 0, logs: logs?.sampled.seen ?? 0 };
  }

  #send<Name extends keyof StreamEvents>(
    client: Client,
    name: Name,
    data: StreamEvents[Name],
  ): void {
    this.#enqueue(client, eventText(name, data));
  }

  #enqueue(client: Client, text: string): boolean {
    if ((client.controller.desiredSize ?? 0) <= 0) return false;
    client.controller.enqueue(encoder.encode(text));
    client.lastSentMs = Date.now();
    return true;
  }

  #isStalled(client: Client, nowMs: number): boolean {
    if ((client.controller.desiredSize ?? 0) > 0) client.readingMs = nowMs;
    else if (nowMs - client.readingMs > this.#options.maxStalledMs) {
      this.#close(client);
      return true;
    }
    return false;
  }

  #close(client: Client): void {
    this.#clients.delete(client);
    client.controller.close();
  }
}

function eventText<Name extends keyof StreamEvents>(
  name: Name,
  data: StreamEvents[Name],
  id?: string,
): string {
  const idLine = id === undefined ? "" : `id: ${id}\n`;
  return `event: ${name}\n${idLine}data: ${JSON.stringify(data)}\n\n`;
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
