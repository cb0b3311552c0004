/**
 * Where every event goes in, whatever it came by: it is read, counted, given to its client and
 * appended to the log, or refused and counted by reason.
 *
 * @module
 */
import type { World } from "../../service/world/world.ts";
import { type Client, Clients, type ClientSource, serverClient } from "./clients.ts";
import type { EventLog } from "./event_log.ts";
import { readTelemetryEvent, type RefusalKind, refusalReasons } from "./telemetry_event.ts";

/** Options of {@linkcode Recorder}. */
export interface RecorderOptions {
  log: EventLog;
  world: World;
  /** Called with each line that came by TCP, refused or not, as the contract prints them. @default nothing is */
  onReceived?: (line: string) => void;
  /** Clients at once. @default 20_000 */
  maxClients?: number;
}

/** What came in, for the page and the metrics. */
export interface RecorderCounts {
  /** Events taken. */
  events: number;
  /** Lines refused, by reason. */
  refused: Record<RefusalKind, number>;
  /** The last line that was refused: why, and its beginning. */
  lastRefused: { reason: string; beginning: string; atMs: number } | undefined;
}

const shownCharacters = 80;
/** The `name` of events that the server makes itself. */
const serverName = "Simple::Telemetry::Server";

/** Takes events in. */
export class Recorder {
  readonly clients: Clients;
  readonly counts: RecorderCounts = {
    events: 0,
    refused: { "not-json": 0, "not-utf-8": 0, "wrong-shape": 0, "too-long": 0 },
    lastRefused: undefined,
  };
  readonly #options: RecorderOptions;
  readonly #traceId: string;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#traceId = options.world.randomUuid();
    this.clients = new Clients({
      ...(options.maxClients !== undefined && { maxClients: options.maxClients }),
      onLost: (client) => this.#reportLost(client),
    });
  }

  /** A source of events, whose clients are told apart from those of others. */
  source(): ClientSource {
    return this.clients.source();
  }

  /** Takes a line that came by TCP; says what kind of event it was, `undefined` when it was refused. */
  receive(line: string, source: ClientSource): string | undefined {
    this.#options.onReceived?.(line);
    return this.take(line, source);
  }

  /** Takes a line, as {@linkcode receive} does, without a word on stdout. */
  take(line: string, source: ClientSource): string | undefined {
    const event = readTelemetryEvent(line);
    if (typeof event === "string") {
      this.#countRefusal(event, line);
      return undefined;
    }
    // Within JSON a carriage return is white space; within an event stream it would end the line.
    const json = line.includes("\r") ? line.replaceAll("\r", " ") : line;
    this.counts.events++;
    const client = source.clientOf(event, this.#options.world.nowMs());
    this.#options.log.append(client, event, json);
    return event.event;
  }

  /** Counts what could not even be read as a line. */
  refuse(kind: RefusalKind, beginning: string): void {
    this.#options.onReceived?.(beginning);
    this.#countRefusal(kind, beginning);
  }

  /** Adds an event of the server itself. */
  announce(event: string, attributes: readonly { key: string; value: unknown }[]): void {
    const { world, log } = this.#options;
    const traceId = this.#traceId;
    const json = `{"traceId":${JSON.stringify(traceId)},"name":${JSON.stringify(serverName)},` +
      `"event":${JSON.stringify(event)},"timeUnixNano":${nanoseconds(world.nowMs())},` +
      `"attributes":${JSON.stringify(attributes)}}`;
    log.append(serverClient, { traceId, name: serverName, event, pid: undefined }, json);
  }

  #countRefusal(kind: RefusalKind, beginning: string): void {
    this.counts.refused[kind]++;
    this.counts.lastRefused = {
      reason: refusalReasons[kind],
      beginning: beginning.slice(0, shownCharacters),
      atMs: this.#options.world.nowMs(),
    };
  }

  #reportLost({ number, name, traceId, pid }: Client): void {
    this.announce("clientLost", [
      { key: "client", value: { type: "integer", value: number } },
      { key: "name", value: { stringValue: name } },
      { key: "traceId", value: { stringValue: traceId } },
      ...(pid === undefined ? [] : [{ key: "pid", value: { type: "integer", value: pid } }]),
    ]);
  }
}

/** Milliseconds as nanoseconds: beyond 2^53, so as digits. */
export function nanoseconds(ms: number): string {
  return `${BigInt(Math.floor(ms)) * 1_000_000n}`;
}
