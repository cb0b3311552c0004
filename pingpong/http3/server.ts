/**
 * The server's end of WebTransport over HTTP/3: {@linkcode serve}.
 *
 * @module
 */
import { h3Codes, messageOf } from "./errors.ts";
import { alpnProtocols, transportOptions } from "./quic.ts";
import { type Decide, Http3Session } from "./session.ts";
import {
  type CloseRequest,
  requirePositive,
  type SessionLimits,
  sessionLimits,
  type SessionOptions,
  type WebTransportSession,
} from "./webtransport.ts";

/** Options of {@linkcode serve}. */
export interface ServeOptions extends SessionOptions {
  /** Address to bind; `localhost` is both families of loopback. @default "127.0.0.1" */
  host?: string;
  /** UDP port to bind, 0 to 65,535; 0 takes a free one. */
  port: number;
  /** The certificate chain, PEM. */
  cert: string;
  /** Its private key, PEM. */
  key: string;
  /** Says yes or no to a CONNECT before any data. @default 200 to all */
  decide?: Decide;
  /** Gets every established session. */
  onSession: (session: WebTransportSession) => void;
  /** Gets the reason of every connection that came to nothing. @default nothing does */
  onRefused?: (reason: string) => void;
  /** Gets the address of the other family where another program has that port of `localhost`. @default nothing does */
  onTaken?: (address: string) => void;
  /** Sessions at once, at least 1; one more connection is refused. @default 4_096 */
  maxSessions?: number;
  /** Connections at once that are still in their handshake, at least 1. @default 1_024 */
  maxHandshakes?: number;
}

/** A server that {@linkcode serve} has started. */
export interface WebTransportServer {
  /** Where it listens. */
  readonly addr: Deno.NetAddr;
  /** The sessions that are open. */
  readonly sessions: ReadonlySet<WebTransportSession>;
  /** New connections get this certificate; the open ones keep theirs. @throws when it is unusable */
  replaceCertificate(cert: string, key: string): void;
  /** Takes no more sessions; those that are open go on. */
  stopAccepting(): void;
  /** Ends all sessions with a code and a reason, and the endpoint. */
  close(info?: CloseRequest): Promise<void>;
}

/**
 * Listens for sessions. Whatever a peer does in its handshake ends that connection alone.
 *
 * @throws when the address cannot be bound or the certificate is unusable
 * @throws {RangeError} an option is out of range
 *
 * @example
 * ```ts
 * const server = serve({
 *   port: 4433,
 *   cert,
 *   key,
 *   decide: ({ path }) => ({ status: path === "/echo" ? 200 : 404 }),
 *   async onSession(session) {
 *     for await (const { readable, writable } of session.incomingBidirectionalStreams) {
 *       readable.pipeTo(writable);
 *     }
 *   },
 * });
 * await server.close({ closeCode: 0, reason: "bye" });
 * ```
 */
export function serve(options: ServeOptions): WebTransportServer {
  return new Http3Server(options);
}

class Http3Server implements WebTransportServer {
  readonly sessions = new Set<WebTransportSession>();
  readonly #endpoints: readonly Deno.QuicEndpoint[];
  readonly #limits: SessionLimits;
  readonly #decide: Decide;
  readonly #onSession: (session: WebTransportSession) => void;
  readonly #onRefused: (reason: string) => void;
  readonly #maxSessions: number;
  readonly #maxHandshakes: number;
  #handshakes = 0;
  #accepting = true;

  constructor(options: ServeOptions) {
    const { host = "127.0.0.1", maxSessions = 4_096, maxHandshakes = 1_024 } = options;
    const { decide = () => ({ status: 200 }), onRefused = () => {} } = options;
    for (const [name, value] of Object.entries({ maxSessions, maxHandshakes })) {
      requirePositive("serve", name, value);
    }
    this.#limits = sessionLimits(options);
    this.#decide = decide;
    this.#onSession = options.onSession;
    this.#onRefused = onRefused;
    this.#maxSessions = maxSessions;
    this.#maxHandshakes = maxHandshakes;
    this.#endpoints = bindEndpoints(host, options.port, options.onTaken);
    try {
      this.replaceCertificate(options.cert, options.key);
    } catch (error) {
      for (const endpoint of this.#endpoints) endpoint.close();
      throw error;
    }
  }

  get addr(): Deno.NetAddr {
    return this.#endpoints[0]!.addr;
  }

  replaceCertificate(cert: string, key: string): void {
    const transport = transportOptions(this.#limits);
    // A pair that cannot be used fails at the first one.
    for (const endpoint of this.#endpoints) {
      this.#acceptAll(endpoint.listen({ cert, key, alpnProtocols, ...transport }));
    }
  }

  stopAccepting(): void {
    this.#accepting = false;
  }

  async close(info: CloseRequest = {}): Promise<void> {
    this.#accepting = false;
    await Promise.all([...this.sessions].map((session) => session.close(info)));
    const end = { closeCode: h3Codes.noError, reason: info.reason ?? "" };
    for (const endpoint of this.#endpoints) endpoint.close(end);
  }

  async #acceptAll(listener: Deno.QuicListener): Promise<void> {
    while (true) {
      let incoming: Deno.QuicIncoming;
      try {
        incoming = await listener.incoming();
      } catch {
        // The endpoint has been closed: the only way this ends.
        return;
      }
      if (this.#hasRoom()) {
        this.#establish(incoming);
      } else {
        incoming.refuse();
        this.#onRefused(this.#accepting ? "too many sessions or handshakes" : "shutting down");
      }
    }
  }

  #hasRoom(): boolean {
    return this.#accepting && this.#handshakes < this.#maxHandshakes &&
      this.sessions.size < this.#maxSessions;
  }

  async #establish(incoming: Deno.QuicIncoming): Promise<void> {
    this.#handshakes++;
    try {
      const conn = await (incoming.accept() as Promise<Deno.QuicConn>);
      const session = new Http3Session(conn, "server", this.#limits);
      try {
        await session.accept(this.#decide);
      } catch (error) {
        session.abandon("handshake failed");
        throw error;
      }
      this.sessions.add(session);
      session.closed.then(() => this.sessions.delete(session));
      this.#onSession(session);
    } catch (error) {
      this.#onRefused(messageOf(error));
    } finally {
      this.#handshakes--;
    }
  }
}

/** Attempts to find a port that is free in both families. */
const portAttempts = 8;

/** The endpoint of an address, or for `localhost` those of both families with the same port. */
function bindEndpoints(
  host: string,
  port: number,
  onTaken: (address: string) => void = () => {},
): Deno.QuicEndpoint[] {
  if (host !== "localhost") return [new Deno.QuicEndpoint({ hostname: host, port })];
  for (let attempt = 1;; attempt++) {
    const first = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port });
    try {
      return [first, new Deno.QuicEndpoint({ hostname: "::1", port: first.addr.port })];
    } catch (error) {
      // A machine without IPv6 has the one family.
      if (!(error instanceof Deno.errors.AddrInUse)) return [first];
      if (port !== 0 || attempt === portAttempts) {
        onTaken(`[::1]:${first.addr.port}`);
        return [first];
      }
      first.close();
    }
  }
}
