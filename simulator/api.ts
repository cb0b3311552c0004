/**
 * What the server's WebSocket says, for the page and for programs: JSON text messages, each with a
 * `type`. A client filters by query (`/ws?trace=&name=&event=&after=`) or by a {@linkcode Subscribe}.
 *
 * @module
 */
import type { Client } from "./events/clients.ts";
import type { RefusalKind } from "./events/telemetry_event.ts";

export type { Client, ClientState } from "./events/clients.ts";

/** Which events a client wants; all that is named must fit. */
export interface Subscribe {
  type: "subscribe";
  /** Of this trace only. */
  trace?: string;
  /** Of clients whose name contains this. */
  name?: string;
  /** Of this kind only, such as `processStarted`. */
  event?: string;
  /** Replays what is kept after the event of this id; an empty text replays all that is kept. */
  after?: string;
}

/** Comes first. */
export interface Hello {
  type: "hello";
  /** Changes when the server starts anew: clients have other numbers then. */
  instance: string;
  version: string;
  /** Events that are kept for replay, at most. */
  ring: number;
  /** How the replay went: whole, anew, or with events that are not kept any more. */
  replay: "none" | "resumed" | "reset" | "gap";
  /** Events that are missing, where there is a gap. */
  missing: number;
  /** The console's page, where one is known, for links to traces. */
  console: string | undefined;
  /** A capture that is being replayed, and how fast. */
  playing: { file: string; speed: number } | undefined;
  /** Clients that run now. */
  clients: Client[];
}

/** An event, in {@linkcode Events}. */
export interface StreamedEvent {
  id: string;
  /** Which client it belongs to; 0 is the server itself. */
  client: number;
  /** When the server got it, in milliseconds since the epoch. */
  atMs: number;
  /** The event as it was sent, digit for digit. */
  data: unknown;
}

/** What is new, oldest first. */
export interface Events {
  type: "events";
  events: StreamedEvent[];
}

/** Comes every two seconds, and so is the heartbeat too. */
export interface Stats {
  type: "stats";
  atMs: number;
  /** Events since the start, and in the last second. */
  events: number;
  eventsPerSecond: number;
  /** Clients that run. */
  clients: number;
  /** Clients that were too many to have a sprite of their own. */
  clientsBeyondLimit: number;
  connections: { open: number; accepted: number; refused: number; silent: number };
  /** Lines refused since the start, by reason. */
  refused: Record<RefusalKind, number>;
  lastRefused: { reason: string; beginning: string; atMs: number } | undefined;
  /** Web clients that listen, and those dropped since the start, by reason. */
  webClients: number;
  dropped: Record<string, number>;
  rssBytes: number;
}

/** What the server says. */
export type ServerMessage = Hello | Events | Stats;

/** WebSocket close codes (RFC 6455, section 7.4.2): 4000 to 4999 are a program's own. */
export const closeCodes = {
  /** The client did not read as fast as events came. */
  tooSlow: 4_008,
  /** A message of the client was none of the protocol. */
  badMessage: 4_000,
} as const;
