/**
 * A connection that is kept between looks, and opened again with back-off when it breaks.
 *
 * @module
 */
import type { Endpoint } from "./endpoint.ts";
import { timedOut } from "./failure.ts";
import { GrpcConnection, type OnMoment } from "./grpc_connection.ts";

/** Options of {@linkcode KeptConnection}. */
export interface KeptConnectionOptions {
  endpoint: Endpoint;
  /** Larger messages fail their call. */
  maxMessageBytes: number;
  /** Told when a connection that was open is gone, with the reason. @default nobody */
  onLost?: (reason: Error) => void;
  /** The pause before the first attempt to open it again; doubled after each. @default 100 */
  reconnectBaseDelayMs?: number;
  /** The longest pause. @default 30_000 */
  reconnectMaxDelayMs?: number;
  /** How long one attempt may take. @default 5_000 */
  connectTimeoutMs?: number;
}

/** Keeps at most one connection to an endpoint. */
export class KeptConnection {
  readonly #options: KeptConnectionOptions;
  readonly #stopping = new AbortController();
  #current: GrpcConnection | undefined;
  #opening: Promise<GrpcConnection> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #attempts = 0;

  constructor(options: KeptConnectionOptions) {
    this.#options = options;
  }

  /**
   * The connection that is open, or a new one. A caller never waits for the back-off: it has asked
   * now. A connection that was there already is told as `onMoment` steps too, as reused.
   *
   * @throws {ObservationError} it cannot be opened.
   */
  async get(signal: AbortSignal, onMoment: OnMoment): Promise<GrpcConnection> {
    const kept = this.#current ?? await this.#opening?.catch(() => undefined);
    if (kept?.usable) {
      const attributes = {
        "observer.connection.reused": true,
        "observer.connection.age_ms": Math.max(0, Date.now() - kept.openedAtMs),
      };
      onMoment("TCP socket", attributes);
      onMoment("HTTP/2.0 connection", attributes);
      return kept;
    }
    return await this.#open(signal, onMoment);
  }

  /** Closes it for good. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#stopping.abort(new Error("The observer stops."));
    this.#current?.close();
    this.#current = undefined;
  }

  async #open(signal: AbortSignal, onMoment?: OnMoment): Promise<GrpcConnection> {
    clearTimeout(this.#timer);
    const { endpoint, maxMessageBytes } = this.#options;
    const connection = await (this.#opening = GrpcConnection.open(endpoint, {
      signal: AbortSignal.any([signal, this.#stopping.signal]),
      maxMessageBytes,
      ...(onMoment && { onMoment }),
    }).finally(() => this.#opening = undefined));
    this.#current = connection;
    this.#attempts = 0;
    connection.lost.addEventListener("abort", () => this.#lost(connection), { once: true });
    return connection;
  }

  #lost(connection: GrpcConnection): void {
    if (this.#current !== connection) return;
    this.#current = undefined;
    if (this.#stopping.signal.aborted) return;
    this.#options.onLost?.(connection.lost.reason);
    this.#reconnectLater();
  }

  /** Full jitter: many observers of one runtime do not come back in step. */
  #reconnectLater(): void {
    const { reconnectBaseDelayMs = 100, reconnectMaxDelayMs = 30_000 } = this.#options;
    const longest = Math.min(reconnectMaxDelayMs, reconnectBaseDelayMs * 2 ** this.#attempts++);
    this.#timer = setTimeout(() => this.#reconnect(), longest * (0.5 + Math.random() / 2));
  }

  async #reconnect(): Promise<void> {
    if (this.#current !== undefined || this.#opening !== undefined) return;
    const { endpoint, connectTimeoutMs = 5_000 } = this.#options;
    const deadline = new AbortController();
    const timer = setTimeout(
      () => deadline.abort(timedOut(endpoint, "connecting again", connectTimeoutMs)),
      connectTimeoutMs,
    );
    try {
      await this.#open(deadline.signal);
    } catch {
      // The reason was told when the connection was lost, and each look tells its own.
      if (!this.#stopping.signal.aborted) this.#reconnectLater();
    } finally {
      clearTimeout(timer);
    }
  }
}
