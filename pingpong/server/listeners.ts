/**
 * The server's three listeners: UDP for WebTransport, TCP for page and WebSocket, plain and with
 * TLS. Those with a certificate take another one while they run.
 *
 * @module
 */
import { type HttpServer, listen, type ListenOptions } from "../../service/http_server.ts";
import { StartError } from "../../service/life_cycle.ts";
import type { Log } from "../../service/log.ts";
import { reasonOf, timeoutSignal } from "../../service/resilience.ts";
import type { World } from "../../service/world/world.ts";
import type { CertificatePair } from "../certificates/certificate_files.ts";
import {
  fieldValue,
  serve,
  type ServeOptions,
  type WebTransportServer,
  type WebTransportSession,
} from "../http3/mod.ts";
import type { NamedClient } from "../protocol/session_terms.ts";
import type { Access, AccessRequest } from "./access.ts";
import type { Answering } from "./answering.ts";

/** How long requests on the listener with the old certificate may take to end, in milliseconds. */
const oldListenerMs = 5_000;

/** Options of {@linkcode listenWebTransport}: those of `serve()`, and these. */
export interface WebTransportListenerOptions
  extends Omit<ServeOptions, "decide" | "onSession" | "onRefused"> {
  /** Address to bind. */
  host: string;
  /** Decides about every request for a session. */
  decide: (request: AccessRequest) => Access;
  /** Answers the pings. */
  answering: Answering;
  /** Gets what happens. */
  log: Log;
}

/**
 * Listens for WebTransport sessions and answers them.
 *
 * @throws {StartError} the port cannot be bound or the certificate cannot be used
 */
export function listenWebTransport(options: WebTransportListenerOptions): WebTransportServer {
  const { decide, answering, log, ...transport } = options;
  // The client that decide() let in, until the session it asked for is there.
  const clients = new WeakMap<object, NamedClient>();
  try {
    return serve({
      ...transport,
      decide(request) {
        const header = (name: string) => fieldValue(request.fields, name);
        const access = decide({ ...request, header });
        if (access.status !== 200) {
          log.info("A session was refused", { status: access.status, reason: access.reason });
          return { status: access.status };
        }
        if (access.client) clients.set(request, access.client);
        return access;
      },
      onSession(session) {
        const peer = peerOf(session);
        log.debug("A session has begun", { peer, path: session.request.path });
        answering.answer(session, clients.get(session.request));
        session.closed.then(({ by, closeCode, reason }) =>
          log.debug("A session has ended", { peer, by, closeCode, reason })
        );
      },
      onRefused: (reason) => log.debug("A connection came to nothing", { reason }),
    });
  } catch (error) {
    throw udpError(error, options.host, options.port);
  }
}

function peerOf({ remoteAddr }: WebTransportSession): string {
  return `${remoteAddr.hostname}:${remoteAddr.port}`;
}

function udpError(error: unknown, host: string, port: number): StartError {
  const where = `Cannot listen on ${host}:${port}/udp`;
  if (error instanceof Deno.errors.AddrInUse) {
    return new StartError(
      `${where}: the port is in use. Stop the program that has it, or choose another port with --port (0 takes a free one).`,
    );
  }
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return new StartError(`${where}: not permitted (${error.message}).`);
  }
  return new StartError(
    `${where}: ${reasonOf(error)}. Check --host, --certificate-path and --key-path.`,
  );
}

/** Options of {@linkcode TcpListeners}. */
export interface TcpListenersOptions
  extends Pick<ListenOptions, "host" | "authenticated" | "allowRemoteWithoutAuth"> {
  /** Answers the requests. */
  handler: Parameters<typeof listen>[0];
  /** TCP port for plain HTTP; 0 takes a free one. */
  pagePort: number;
  /** TCP port for HTTPS; 0 takes a free one. */
  httpsPort: number;
  /** The certificate at the start. */
  pair: CertificatePair;
  /** Gets what happens. */
  log: Pick<Log, "warn">;
  /** Whose time it is. */
  world: World;
}

/** The page, discovery and WebSocket: over plain HTTP and over HTTPS. */
export class TcpListeners {
  readonly #options: TcpListenersOptions;
  readonly #page: HttpServer;
  #https: HttpServer;

  /** @throws {StartError} a port cannot be bound or the certificate cannot be used */
  constructor(options: TcpListenersOptions) {
    this.#options = options;
    this.#page = this.#listen({ port: options.pagePort, portFlag: "--page-port" });
    try {
      this.#https = this.listenHttps(options.pair, options.httpsPort);
    } catch (error) {
      this.#page.stop(AbortSignal.abort());
      throw error;
    }
  }

  /** Where the page is, plain. */
  get pageUrl(): string {
    return this.#page.url;
  }

  /** Where the page is, over TLS. */
  get httpsUrl(): string {
    return this.#https.url;
  }

  /**
   * A further HTTPS listener, beside the one there is, with another certificate.
   *
   * @throws {StartError} the port cannot be bound or the certificate cannot be used
   */
  listenHttps({ cert, key }: CertificatePair, port = this.#https.port): HttpServer {
    return this.#listen({
      port,
      portFlag: "--https-port",
      tls: { cert, key },
      // A renewed certificate needs a new listener while the old one still has requests.
      reusePort: Deno.build.os !== "windows",
    });
  }

  /** Puts this HTTPS listener in the place of the one there is, which gets to its end. */
  replaceHttps(renewed: HttpServer): void {
    const { log, world } = this.#options;
    const old = this.#https;
    this.#https = renewed;
    (async () => {
      using deadline = timeoutSignal(oldListenerMs, { world });
      await old.stop(deadline.signal);
    })().catch((error) =>
      log.warn("The listener with the old certificate failed to stop", { reason: reasonOf(error) })
    );
  }

  /** Stops accepting and waits for what is under way, until `deadline` aborts. */
  async stop(deadline: AbortSignal): Promise<void> {
    await Promise.all([this.#page.stop(deadline), this.#https.stop(deadline)]);
  }

  #listen(one: Pick<ListenOptions, "port" | "portFlag" | "tls" | "reusePort">): HttpServer {
    const { handler, host, authenticated, allowRemoteWithoutAuth } = this.#options;
    return listen(handler, {
      ...one,
      ...(host !== undefined && { host }),
      authenticated: authenticated ?? false,
      allowRemoteWithoutAuth: allowRemoteWithoutAuth ?? false,
    });
  }
}
