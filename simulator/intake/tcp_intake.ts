/**
 * Takes in events over TCP, one JSON object a line, from any number of processes at once. A line
 * that is none costs only itself; whoever sends nothing, never ends a line or vanishes costs nobody
 * else anything.
 *
 * @module
 */
import { StartError } from "../../service/life_cycle.ts";
import { limitedLog } from "../../service/limited_log.ts";
import type { Log } from "../../service/log.ts";
import { backoffDelayMs, pause, reasonOf, settledWithin } from "../../service/resilience.ts";
import type { TimerId, World } from "../../service/world/world.ts";
import type { ClientSource } from "../events/clients.ts";
import type { Recorder } from "../events/recorder.ts";
import { LineSplitter } from "./line_splitter.ts";

/** Options of {@linkcode startTcpIntake}. */
export interface TcpIntakeOptions {
  /** Address to bind. */
  host: string;
  /** Port to bind; 0 takes a free one. */
  port: number;
  /** Gets every line. */
  recorder: Recorder;
  log: Log;
  world: World;
  /** The longest line, in bytes. @default 1_048_576 */
  maxLineBytes?: number;
  /** Connections at once; one more is closed at once, and counted. @default 12_000 */
  maxConnections?: number;
  /** How long a connection may be silent before its first whole line, in milliseconds. @default 60_000 */
  firstLineTimeoutMs?: number;
  /** Serves this many connections and then {@linkcode TcpIntake.finished} resolves. @default any number */
  connectionLimit?: number;
}

/** How connections ended, and why some were closed by us. */
export interface IntakeCounts {
  /** Connections that are open. */
  open: number;
  /** Connections taken since the start. */
  accepted: number;
  /** Closed at once, as there were too many. */
  refused: number;
  /** Closed as they sent no whole line in time. */
  silent: number;
}

/** An intake that listens. */
export interface TcpIntake {
  readonly host: string;
  /** The port it is bound to. */
  readonly port: number;
  readonly counts: Readonly<IntakeCounts>;
  /** Resolves when the one connection of the single-threaded mode has ended after `processStopped`. */
  readonly finished: Promise<void>;
  /** Takes no more connections, reads what is under way until the deadline, and closes the rest. */
  stop(deadline: AbortSignal): Promise<void>;
}

/** A quiet connection needs no more; a busy one gets up to the most, for as long as it is busy. */
const leastBufferBytes = 2_048;
const mostBufferBytes = 32_768;
const sweepIntervalMs = 1_000;
/** How long clients get, at a stop, to send what is under way and close. */
const lastWordsMs = 250;

/**
 * Listens.
 *
 * @throws {StartError} the port is taken, or may not be bound
 */
export function startTcpIntake(options: TcpIntakeOptions): TcpIntake {
  const { host, port } = options;
  let listener: Deno.TcpListener;
  try {
    listener = Deno.listen({ hostname: host, port });
  } catch (error) {
    throw new StartError(
      `Cannot listen on ${host}:${port}: ${
        reasonOf(error)
      }. Stop the program that has the port, or choose another one with --port (0 takes a free one).`,
      { cause: error },
    );
  }
  return new Intake(listener, options);
}

/** One connection, from its first byte to its end. */
interface Connection {
  readonly socket: Deno.TcpConn;
  readonly source: ClientSource;
  readonly sinceMs: number;
  /** Whether a whole line has come. */
  spoken: boolean;
  ended: Promise<void>;
}

class Intake implements TcpIntake {
  readonly counts: IntakeCounts = { open: 0, accepted: 0, refused: 0, silent: 0 };
  readonly #listener: Deno.TcpListener;
  readonly #options: Required<Omit<TcpIntakeOptions, "connectionLimit">> & TcpIntakeOptions;
  readonly #connections = new Set<Connection>();
  readonly #warn: ReturnType<typeof limitedLog>;
  readonly #finished = Promise.withResolvers<void>();
  readonly #stopping = new AbortController();
  readonly #accepting: Promise<void>;
  readonly #sweeper: TimerId;

  constructor(listener: Deno.TcpListener, options: TcpIntakeOptions) {
    this.#listener = listener;
    this.#options = {
      maxLineBytes: 1_048_576,
      maxConnections: 12_000,
      firstLineTimeoutMs: 60_000,
      ...options,
    };
    this.#warn = limitedLog(options.log, { world: options.world });
    this.#accepting = this.#accept();
    this.#sweeper = options.world.setInterval(() => this.#closeSilent(), sweepIntervalMs);
  }

  get host(): string {
    return this.#listener.addr.hostname;
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  async stop(deadline: AbortSignal): Promise<void> {
    const { world } = this.#options;
    world.clearInterval(this.#sweeper);
    this.#stopping.abort();
    this.#listener.close();
    await this.#accepting;
    const ended = Promise.all([...this.#connections].map((connection) => connection.ended));
    // A client that reads the end of our side sends no more and closes its own: so nothing is lost.
    await Promise.all([...this.#connections].map(({ socket }) => closeWrite(socket)));
    await settledWithin(ended, lastWordsMs, { signal: deadline, world });
    for (const { socket } of this.#connections) close(socket);
    await ended;
  }

  async #accept(): Promise<void> {
    const { connectionLimit = Infinity, world, log } = this.#options;
    let failures = 0;
    while (!this.#stopping.signal.aborted && this.counts.accepted < connectionLimit) {
      try {
        const socket = await this.#listener.accept();
        failures = 0;
        this.#begin(socket);
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        // Out of descriptors, for instance: it passes, and what is open goes on.
        if (failures++ === 0) log.error("Cannot take connections", { reason: reasonOf(error) });
        const delayMs = backoffDelayMs(failures, { baseDelayMs: 10, maxDelayMs: 1_000 }, world);
        await pause(delayMs, { signal: this.#stopping.signal, world });
      }
    }
  }

  #begin(socket: Deno.TcpConn): void {
    if (this.#connections.size >= this.#options.maxConnections) {
      this.counts.refused++;
      this.#warn("Refused a connection: there are too many", {
        maxConnections: this.#options.maxConnections,
      });
      return close(socket);
    }
    this.counts.accepted++;
    // A process that vanished with its machine is found out by the system.
    socket.setKeepAlive(true);
    const connection: Connection = {
      socket,
      source: this.#options.recorder.source(),
      sinceMs: this.#options.world.monotonicMs(),
      spoken: false,
      ended: Promise.resolve(),
    };
    this.#connections.add(connection);
    this.counts.open = this.#connections.size;
    connection.ended = this.#read(connection);
  }

  async #read(connection: Connection): Promise<void> {
    const { recorder, maxLineBytes, connectionLimit } = this.#options;
    const { source, socket } = connection;
    let stopped = false;
    const splitter = new LineSplitter({
      onLine: (line) => {
        connection.spoken = true;
        if (recorder.receive(line, source) === "processStopped") stopped = true;
      },
      onRefused: (kind, beginning) => {
        connection.spoken = true;
        recorder.refuse(kind, beginning);
      },
    }, maxLineBytes);
    try {
      let buffer = new Uint8Array(leastBufferBytes);
      for (let read; (read = await socket.read(buffer)) !== null;) {
        splitter.push(buffer.subarray(0, read));
        const bytes = bufferBytes(buffer.length, read);
        if (bytes !== buffer.length) buffer = new Uint8Array(bytes);
        if (stopped && connectionLimit !== undefined) break;
      }
    } catch {
      // Reset by the other side, or closed by us: what came before counts.
    }
    splitter.end();
    source.end();
    close(socket);
    this.#connections.delete(connection);
    this.counts.open = this.#connections.size;
    if (connectionLimit !== undefined) this.#finished.resolve();
  }

  #closeSilent(): void {
    const { world, firstLineTimeoutMs } = this.#options;
    const nowMs = world.monotonicMs();
    for (const { spoken, sinceMs, socket } of this.#connections) {
      // In order of age: the first that is young enough ends it.
      if (nowMs - sinceMs < firstLineTimeoutMs) return;
      if (spoken) continue;
      this.counts.silent++;
      this.#warn("Closed a connection that sent no line", { timeoutMs: firstLineTimeoutMs });
      close(socket);
    }
  }
}

/** How large a connection's buffer is to be, after so much of it was filled. */
function bufferBytes(size: number, filled: number): number {
  if (filled === size) return Math.min(size * 2, mostBufferBytes);
  return filled * 4 <= size ? Math.max(size / 2, leastBufferBytes) : size;
}

async function closeWrite(socket: Deno.TcpConn): Promise<void> {
  try {
    await socket.closeWrite();
  } catch {
    // It is closed already.
  }
}

function close(socket: Deno.TcpConn): void {
  try {
    socket.close();
  } catch {
    // It is closed already.
  }
}
