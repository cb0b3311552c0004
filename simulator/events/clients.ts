/**
 * The clients, each a sprite on the page: which there are, and which event belongs to which.
 *
 * A connection carries one process as a rule, and then all of its events are that process's, even
 * those that belong to another's trace. A connection may carry many, as a fleet's does: then trace
 * and name tell them apart.
 *
 * @module
 */
import type { TelemetryEvent } from "./telemetry_event.ts";

/** `lost`: its connection ended without `processStopped`. */
export type ClientState = "running" | "stopped" | "lost";

/** A process as it is known. */
export interface Client {
  /** Unique in this run of the server, from 1. */
  readonly number: number;
  readonly name: string;
  readonly pid: number | undefined;
  /** The trace of its first event. */
  readonly traceId: string;
  readonly state: ClientState;
  /** When its first event came in, in milliseconds since the epoch. */
  readonly sinceMs: number;
}

/** Options of {@linkcode Clients}. */
export interface ClientsOptions {
  /** Clients at once; the events of further ones are shown as the server's own. @default 20_000 */
  maxClients?: number;
  /** Called for each client whose connection ended before it had stopped. */
  onLost?: (client: Client) => void;
}

/** The server's own sprite, and that of clients beyond the limit. */
export const serverClient = 0;

/** Knows the clients that run. */
export class Clients {
  readonly #options: Required<ClientsOptions>;
  readonly #running = new Map<number, Client>();
  #last = 0;
  #beyondLimit = 0;

  constructor(options: ClientsOptions = {}) {
    this.#options = { maxClients: 20_000, onLost: () => {}, ...options };
  }

  /** Those that run, oldest first. */
  get running(): Iterable<Client> {
    return this.#running.values();
  }

  /** How many run. */
  get count(): number {
    return this.#running.size;
  }

  /** Clients that were more than the limit. */
  get beyondLimit(): number {
    return this.#beyondLimit;
  }

  /** A source of events: a TCP connection, or a resource of OpenTelemetry. */
  source(): ClientSource {
    return new ClientSource(this);
  }

  /** Adds a client; for {@linkcode ClientSource}. */
  add(event: TelemetryEvent, atMs: number): Client | undefined {
    if (this.#running.size >= this.#options.maxClients) return undefined;
    const { name, pid, traceId } = event;
    const client: Client = {
      number: ++this.#last,
      name,
      pid,
      traceId,
      state: "running",
      sinceMs: atMs,
    };
    this.#running.set(client.number, client);
    return client;
  }

  /** Counts a client that had no room; for {@linkcode ClientSource}. */
  countBeyondLimit(): void {
    this.#beyondLimit++;
  }

  /** Removes a client; for {@linkcode ClientSource}. */
  remove(client: Client, state: "stopped" | "lost"): void {
    if (!this.#running.delete(client.number)) return;
    if (state === "lost") this.#options.onLost({ ...client, state });
  }
}

/** Says which client an event of one connection belongs to. */
export class ClientSource {
  readonly #clients: Clients;
  /** Those of this connection that run, by trace and name, and by name and process. */
  readonly #byTrace = new Map<string, Client>();
  readonly #byProcess = new Map<string, Client>();
  /** There was no room for a client of this connection: counted once. */
  #beyondLimit = false;

  constructor(clients: Clients) {
    this.#clients = clients;
  }

  /** Clients of this connection that run. */
  get clients(): number {
    return this.#byTrace.size;
  }

  /** The number of the event's client, which is new or goes with it where the event says so. */
  clientOf(event: TelemetryEvent, atMs: number): number {
    const starts = event.event === "processStarted";
    const known = this.#find(event);
    // The same process once more is another one: the one before never said that it stopped.
    if (known && starts) this.#remove(known, "lost");
    const client = starts
      ? this.#add(event, atMs)
      : known ?? this.#only() ?? this.#add(event, atMs);
    if (client && event.event === "processStopped") this.#remove(client, "stopped");
    return client?.number ?? serverClient;
  }

  /** The connection has ended: whoever has not stopped is lost. */
  end(): void {
    for (const client of [...this.#byTrace.values()]) this.#remove(client, "lost");
  }

  #find(event: TelemetryEvent): Client | undefined {
    // A process that says which it is may take part in many traces.
    return (event.pid === undefined ? undefined : this.#byProcess.get(processKey(event))) ??
      this.#byTrace.get(traceKey(event));
  }

  #add(event: TelemetryEvent, atMs: number): Client | undefined {
    const client = this.#clients.add(event, atMs);
    if (!client) {
      if (!this.#beyondLimit) this.#clients.countBeyondLimit();
      this.#beyondLimit = true;
      return undefined;
    }
    this.#byTrace.set(traceKey(client), client);
    if (client.pid !== undefined) this.#byProcess.set(processKey(client), client);
    return client;
  }

  #remove(client: Client, state: "stopped" | "lost"): void {
    this.#byTrace.delete(traceKey(client));
    this.#byProcess.delete(processKey(client));
    this.#clients.remove(client, state);
  }

  #only(): Client | undefined {
    return this.#byTrace.size === 1 ? this.#byTrace.values().next().value : undefined;
  }
}

function traceKey({ traceId, name }: Pick<Client, "traceId" | "name">): string {
  return `${traceId}\n${name}`;
}

function processKey({ pid, name }: Pick<Client, "pid" | "name">): string {
  return `${pid}\n${name}`;
}
