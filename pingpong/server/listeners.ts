/**
 * The server's three listeners: UDP for WebTransport, TCP for page and WebSocket, plain and with
 * TLS. Those with a certificate take another one while they run.
 *
 * @module
 */
import { type HttpServer, listen, type ListenOptions } from "../../service/http_server.ts";
import { StartError } from "../../service/life_cycle.ts";
import type { Log } from "../../service/log.ts";
import { reasonOf } from "../../service/resilience.ts";
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
import type { Access, AccessRequest, RefusedSession } from "./access.ts";
import type { Answering } from "./answering.ts";

/** Options of {@linkcode listenWebTransport}: those of `serve()`, and these. */
export interface WebTransportListenerOptions
  extends Omit<ServeOptions, "decide" | "onSession" | "onRefused" | "onTaken"> {
  /** Address to bind. */
  host: string;
  /** Decides about every request for a session. */
  decide: (request: AccessRequest) => Access;
  /** Hears of each request for a session that is refused. */
  onRefused: (refusal: RefusedSession) => void;
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
  const { decide, answering, log, onRefused, ...transport } = options;
  // The client that decide() let in, until the session it asked for is there.
  const clients = new WeakMap<object, NamedClient>();
  try {
    return serve({
      ...transport,
      decide(request) {
        const header = (name: string) => fieldValue(request.fields, name);
        const access = decide({ ...request, header });
        if (access.status !== 200) {
          onRefused({ transport: "webtransport", ...access });
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
      onTaken: (address) =>
        log.warn(
          "Another program has this UDP port of IPv6's loopback: localhost may reach that one",
          {
            address,
          },
        ),
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

/** Options of {@linkcode listenTcp}. */
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
  log: Pick<Log, "warn" | "info">;
  /** Whose time it is. */
  world: World;
}

/**
 * Listens for the page, discovery and WebSocket: over plain HTTP and over HTTPS.
 *
 * @throws {StartError} a port cannot be bound or the certificate cannot be used
 */
export async function listenTcp(options: TcpListenersOptions): Promise<TcpListeners> {
  const { handler, host, authenticated, allowRemoteWithoutAuth, pair, log, world } = options;
  const shared = {
    ...(host !== undefined && { host }),
    authenticated: authenticated ?? false,
    allowRemoteWithoutAuth: allowRemoteWithoutAuth ?? false,
    ...{ log, world },
  };
  const page = await listen(handler, {
    ...{ ...shared, port: options.pagePort, portFlag: "--page-port" },
  });
  try {
    const { cert, key } = pair;
    const https = await listen(handler, {
      ...{ ...shared, port: options.httpsPort, portFlag: "--https-port", tls: { cert, key } },
    });
    return new TcpListeners(page, https);
  } catch (error) {
    await page.stop(AbortSignal.abort());
    throw error;
  }
}

/** The two of {@linkcode listenTcp}. */
export class TcpListeners {
  readonly #page: HttpServer;
  readonly #https: HttpServer;

  constructor(page: HttpServer, https: HttpServer) {
    this.#page = page;
    this.#https = https;
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
   * Greets new connections with another certificate.
   *
   * @throws {Error} it cannot be used; the one before stays
   */
  replaceCertificate({ cert, key }: CertificatePair): void {
    this.#https.replaceCertificate({ cert, key });
  }

  /** Stops accepting and waits for what is under way, until `deadline` aborts. */
  async stop(deadline: AbortSignal): Promise<void> {
    await Promise.all([this.#page.stop(deadline), this.#https.stop(deadline)]);
  }
}
