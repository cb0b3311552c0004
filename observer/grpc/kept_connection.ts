/**
 * A connection that is kept between polls, and opened again with back-off when it breaks.
 *
 * @module
 */
import { backoffDelayMs, timeoutSignal } from "../../service/resilience.ts";
import type { TimerId, World } from "../../service/world/world.ts";
import type { Endpoint } from "./endpoint.ts";
import { timedOut } from "./failure.ts";
import { GrpcConnection, type OnMoment } from "./grpc_connection.ts";

/** Options of {@linkcode KeptConnection}. */
export interface KeptConnectionOptions {
  endpoint: Endpoint;
  /** Larger messages fail their call, in bytes. */
  maxMessageBytes: number;
  /** Called when a connection that was open is gone, with the reason. @default nothing is */
  onLost?: (reason: Error) => void;
  /** The longest pause before the first attempt to open it again, in milliseconds; doubled after each. @default 100 */
  reconnectBaseDelayMs?: number;
  /** The longest pause, in milliseconds. @default 30_000 */
  reconnectMaxDelayMs?: number;
  /** How long a connection must last to count as stable, in milliseconds: only then does back-off begin anew. @default 5_000 */
  stableAfterMs?: number;
  /** How long one attempt may take, in milliseconds. @default 5_000 */
  connectTimeoutMs?: number;
  /** Time and chance. */
  world: World;
}

/** Keeps at most one connection to an endpoint. */
export class KeptConnection {
  readonly #options: KeptConnectionOptions;
  readonly #stopping = new AbortController();
  #current: GrpcConnection | undefined;
  #opening: Promise<GrpcConnection> | undefined;
  #timer: TimerId | undefined;
  /** Attempts that failed in a row; a connection that was lost at once counts as one. */
  #failures = 0;

  constructor(options: KeptConnectionOptions) {
    this.#options = options;
  }

  /**
   * The connection that is open, or a new one. A caller never waits for the back-off: it has asked
   * now. A connection that was there already is reported as steps too, marked as reused.
   *
   * @throws {ObservationError} it cannot be opened.
   */
  async get(signal: AbortSignal, onMoment: OnMoment): Promise<GrpcConnection> {
    const kept = this.#current ?? await this.#opening?.catch(() => undefined);
    if (kept?.usable) {
      const attributes = {
        "observer.connection.reused": true,
        "observer.connection.age_ms": Math.max(0, this.#options.world.nowMs() - kept.openedAtMs),
      };
      onMoment("TCP socket", attributes);
      onMoment("HTTP/2.0 connection", attributes);
      return kept;
    }
    return await this.#open(signal, onMoment);
  }

  /** Closes it for good. */
  stop(): void {
    this.#options.world.clearTimeout(this.#timer);
    this.#stopping.abort(new Error("The observer stops."));
    this.#current?.close();
    this.#current = undefined;
  }

  async #open(signal: AbortSignal, onMoment?: OnMoment): Promise<GrpcConnection> {
    const { endpoint, maxMessageBytes, world } = this.#options;
    world.clearTimeout(this.#timer);
    const connection = await (this.#opening = GrpcConnection.open(endpoint, {
      signal: AbortSignal.any([signal, this.#stopping.signal]),
      maxMessageBytes,
      world,
      ...(onMoment && { onMoment }),
    }).finally(() => this.#opening = undefined));
    const openedMs = world.monotonicMs();
    this.#current = connection;
    connection.lost.addEventListener("abort", () => this.#lost(connection, openedMs), {
      once: true,
    });
    return connection;
  }

  #lost(connection: GrpcConnection, openedMs: number): void {
    if (this.#current !== connection) return;
    this.#current = undefined;
    const { stableAfterMs = 5_000, world } = this.#options;
    // A peer that lets in and closes at once would otherwise be asked many times a second for ever.
    if (world.monotonicMs() - openedMs >= stableAfterMs) this.#failures = 0;
    if (this.#stopping.signal.aborted) return;
    this.#options.onLost?.(connection.lost.reason);
    this.#reconnectLater();
  }

  #reconnectLater(): void {
    const { reconnectBaseDelayMs = 100, reconnectMaxDelayMs = 30_000, world } = this.#options;
    const delayMs = backoffDelayMs(++this.#failures, {
      baseDelayMs: reconnectBaseDelayMs,
      maxDelayMs: reconnectMaxDelayMs,
      // Never at once: half of the wait is kept.
      jitter: 0.5,
    }, world);
    this.#timer = world.setTimeout(() => this.#reconnect(), delayMs);
  }

  async #reconnect(): Promise<void> {
    if (this.#current !== undefined || this.#opening !== undefined) return;
    const { endpoint, connectTimeoutMs = 5_000, world } = this.#options;
    using deadline = timeoutSignal(
      connectTimeoutMs,
      { world },
      () => timedOut(endpoint, "connecting again", connectTimeoutMs),
    );
    try {
      await this.#open(deadline.signal);
    } catch {
      // The reason was logged when the connection was lost, and each poll reports its own.
      if (!this.#stopping.signal.aborted) this.#reconnectLater();
    }
  }
}
