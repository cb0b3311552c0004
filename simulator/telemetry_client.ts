/**
 * A client for TypeScript programs: says that a process has started, what it does, and that it has
 * stopped, so that it is a sprite on the simulator's page. It never throws into the program it is
 * in, keeps it alive for nothing, and costs it a bounded buffer while the server is away.
 *
 * Where OpenTelemetry is set up in the program, a process, and each call and job of the wrappers in
 * `client/wrappers.ts`, is a span too, and events carry the trace that is active: sprites whose
 * events share a trace are seen to talk to each other.
 *
 * ```ts
 * import { TelemetryClient } from "./telemetry_client.ts";
 *
 * const client = new TelemetryClient({ name: "checkout" });
 * client.start();
 * client.event("order 17 accepted");
 * await client.stop();
 * ```
 *
 * @module
 */
import { type Span, SpanKind, trace } from "@opentelemetry/api";
import { realWorld, type World } from "../service/world/world.ts";
import { type EventAttributes, eventJson, traceIdAsUuid } from "./client/event_json.ts";
import { LineConnection } from "./client/line_connection.ts";

export type { AttributeValue, EventAttributes } from "./client/event_json.ts";

/** Options of {@linkcode TelemetryClient}. */
export interface TelemetryClientOptions {
  /** The server's host. @default `SIMPLE_TELEMETRY_HOST`, or 127.0.0.1 */
  host?: string;
  /** The server's port. @default `SIMPLE_TELEMETRY_PORT`, or 1234 */
  port?: number;
  /** The program, as the page shows it. @default "Simple::Telemetry::Client" */
  name?: string;
  /** The process's own trace, a UUID. @default a new one */
  traceId?: string;
  /** The process. @default its own pid */
  pid?: number;
  /** Events that wait while the server is away; beyond it the oldest are dropped and counted. @default 10_000 */
  maxBufferedEvents?: number;
  /** How long {@linkcode TelemetryClient.stop} waits for the server, in milliseconds. @default 500 */
  stopTimeoutMs?: number;
  /**
   * Calls {@linkcode TelemetryClient.stop} when the program has nothing left to do. A program that
   * is ended by a signal or by `Deno.exit()` calls it itself.
   *
   * @default true
   */
  stopAtExit?: boolean;
  /** Time and chance. @default the real world */
  world?: World;
}

/** What goes with one event. */
export interface EventOptions {
  /** The trace it belongs to, a UUID. @default that of the active OpenTelemetry span, or the process's own */
  traceId?: string;
  /** More than the arguments. @default none */
  attributes?: EventAttributes;
}

const defaultName = "Simple::Telemetry::Client";
const defaultPort = 1234;

/** Tells the simulator's server what this process does. */
export class TelemetryClient {
  /** The process's own trace. */
  readonly traceId: string;
  readonly name: string;
  readonly #options: TelemetryClientOptions;
  readonly #world: World;
  readonly #connection: LineConnection;
  readonly #pid: number;
  #startedMs: number | undefined;
  #span: Span | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: TelemetryClientOptions = {}) {
    const { world = realWorld, maxBufferedEvents } = options;
    this.#options = options;
    this.#world = world;
    this.name = options.name ?? defaultName;
    this.traceId = options.traceId ?? world.randomUuid();
    this.#pid = options.pid ?? Deno.pid;
    this.#connection = new LineConnection({
      host: options.host ?? fromEnvironment("SIMPLE_TELEMETRY_HOST") ?? "127.0.0.1",
      port: options.port ?? (Number(fromEnvironment("SIMPLE_TELEMETRY_PORT")) || defaultPort),
      ...(maxBufferedEvents !== undefined && { maxBufferedLines: maxBufferedEvents }),
      world,
    });
  }

  /** Events dropped, as the server was away for longer than the buffer lasts. */
  get dropped(): number {
    return this.#connection.dropped;
  }

  /** Events that wait for the server. */
  get buffered(): number {
    return this.#connection.buffered;
  }

  /** Whether the server is there, as far as is known. */
  get connected(): boolean {
    return this.#connection.connected;
  }

  /** Sends `processStarted`; a second call does nothing. */
  start(): void {
    if (this.#startedMs !== undefined) return;
    this.#startedMs = this.#world.monotonicMs();
    this.#span = trace.getTracer("simulator").startSpan(this.name, {
      kind: SpanKind.INTERNAL,
      attributes: { "process.pid": this.#pid },
    });
    this.send("processStarted", { pid: this.#pid }, this.traceId);
    if (this.#options.stopAtExit ?? true) this.#stopAtExit();
  }

  /** Sends `processingPerformed`: a piece of work has been done. */
  event(args: string, { traceId, attributes }: EventOptions = {}): void {
    this.send("processingPerformed", { args, ...attributes }, traceId);
    this.#span?.addEvent("processingPerformed", { args });
  }

  /** Sends an event of any kind; what goes wrong costs the event and nothing else. */
  send(event: string, attributes: EventAttributes = {}, traceId?: string): void {
    const active = trace.getActiveSpan()?.spanContext().traceId;
    this.#connection.send(eventJson({
      traceId: traceId ?? (active ? traceIdAsUuid(active) : this.traceId),
      name: this.name,
      event,
      timeUnixNano: BigInt(this.#world.nowMs()) * 1_000_000n,
      attributes,
    }));
  }

  /**
   * Sends `processStopped` and closes the connection; waits for a server that is away no longer
   * than `stopTimeoutMs`. A second call does nothing. It never rejects.
   */
  stop(): Promise<void> {
    return this.#stopped ??= this.#stop();
  }

  /** Stops at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(): Promise<void> {
    const runtimeMs = this.#world.monotonicMs() - (this.#startedMs ?? this.#world.monotonicMs());
    this.send("processStopped", {
      pid: this.#pid,
      totalRuntime: {
        type: "number",
        unit: "nanoseconds",
        value: BigInt(Math.round(runtimeMs * 1_000_000)),
      },
    }, this.traceId);
    this.#span?.end();
    await this.#connection.close(this.#options.stopTimeoutMs ?? 500);
  }

  /** `beforeunload` comes when nothing is left to do, and again after what it has begun is done. */
  #stopAtExit(): void {
    globalThis.addEventListener("beforeunload", (event) => {
      if (this.#stopped) return;
      event.preventDefault();
      this.stop();
    });
  }
}

/** A program without the permission to read the variable goes on without it. */
function fromEnvironment(name: string): string | undefined {
  if (Deno.permissions.querySync({ name: "env", variable: name }).state !== "granted") {
    return undefined;
  }
  return Deno.env.get(name) || undefined;
}
