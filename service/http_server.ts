/**
 * Listening for HTTP/1.1, and with TLS for HTTP/2 beside it, with the house rules: loopback unless authentication is on, a taken port
 * is a reason in words; requests under way, connections and every wait are bounded; and a stop drains
 * with a deadline.
 *
 * It is `node:net` below and llhttp, the parser of `node:http`, not `Deno.serve` (2.9.6): that
 * answers an upgrade it does not know, such as `Upgrade: h2c` with a body, by an empty 400 before a
 * handler sees it, where RFC 9110, section 7.8, lets a server ignore it; an `accept` that fails ends
 * the process; and a header, a body or a connection has no time-out. `node:http` itself can all that
 * at twice the price, as it makes two streams a request. What each costs is in `bench/README.md`.
 *
 * @module
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import net, { type AddressInfo } from "node:net";
import tls from "node:tls";
import { flag, InvalidArgumentError, parsePort } from "./command_line.ts";
import { toRequest } from "./http1/incoming_request.ts";
import { bindAll } from "./http_bind.ts";
import { HttpConnections, type HttpConnectionsOptions } from "./http_connections.ts";
import type { HttpExchange } from "./http_exchange.ts";
import { isWebSocketAnswer } from "./http_upgrade.ts";
import { type Service, StartError } from "./life_cycle.ts";
import { problemResponse } from "./problem.ts";
import { aborted, reasonOf, settledWithin } from "./resilience.ts";

/** What else is known of a request. */
export interface RequestInfo {
  /** Who asks. */
  readonly remoteAddr: Deno.NetAddr;
}

/** Answers a request; `fetch` of a Hono app is one. */
export type RequestHandler = (
  request: Request,
  info: RequestInfo,
) => Response | Promise<Response>;

/** Options of {@linkcode listen}. */
export interface ListenOptions extends HttpConnectionsOptions {
  /** Address to bind; `localhost` is both families of loopback. @default "127.0.0.1" */
  host?: string;
  /** Port to bind; 0 takes a free one. */
  port: number;
  /** The flag that sets the port, named in the message when the port is taken. */
  portFlag: string;
  /** The path under which a proxy has it, such as `/orrery`: taken away where the proxy leaves it. @default "" */
  basePath?: string | undefined;
  /** Whether every request is authenticated: only then may the address be other than loopback. @default false */
  authenticated?: boolean;
  /** Lets an unauthenticated server listen beyond loopback: the operator's explicit word. @default false */
  allowRemoteWithoutAuth?: boolean;
  /** Serves HTTPS with this chain and key, both PEM, by HTTP/2 to who offers it (ALPN). @default plain HTTP */
  tls?: { cert: string; key: string };
  /** Hears of a client that speaks HTTP/2 without TLS from its first byte, as gRPC does: it can be told nothing. @default nobody */
  onHttp2?: () => void;
  /** Requests under way at once; one more is answered 503 with `Retry-After`. @default 1024 */
  maxRequestsInFlight?: number;
}

/** A listening server. */
export interface HttpServer extends Service {
  /** The host it is bound to. */
  readonly host: string;
  /** The port it is bound to, the real one if 0 was asked for. */
  readonly port: number;
  /** `http://host:port` (or `https:`), with loopback for a wildcard address. */
  readonly url: string;
  /**
   * Has new connections greeted with another certificate; for a server with `tls`.
   *
   * @throws {Error} the pair cannot be used; the one before stays
   */
  replaceCertificate(tls: { cert: string; key: string }): void;
}

/** The two flags of every server, besides its port. */
export const hostFlags = {
  host: () =>
    flag("--host <address>", "address to listen on; beyond loopback only with authentication")
      .default("localhost", "localhost, 127.0.0.1 and ::1"),
  basePath: () =>
    flag("--base-path <path>", "path under which a proxy has it, such as /orrery")
      .argParser(parseBasePath),
  allowRemoteWithoutAuth: () =>
    flag(
      "--allow-remote-without-auth",
      "listen beyond loopback although nobody has to authenticate (a container's own network)",
    ),
};

/**
 * Reads the path under which a proxy has a server.
 *
 * @throws {InvalidArgumentError} it is none
 */
export function parseBasePath(text: string): string {
  const path = text.replace(/\/+$/, "");
  if (/^(?:\/[\w.~-]+)*$/.test(path) && !/\/\.\.?(?:\/|$)/.test(path)) return path;
  throw new InvalidArgumentError(
    "Give a path such as /orrery: letters, digits, '.', '_', '~', '-' and '/'.",
  );
}

/** A port flag such as `--page-port <port>`. */
export function portFlag<Usage extends `--${string} <port>`>(
  usage: Usage,
  description: string,
  port: number,
) {
  return flag(usage, description).argParser(parsePort).default(port);
}

/**
 * Binds and serves.
 *
 * @throws {StartError} the port is taken or may not be bound, or the address is not loopback
 * while nobody has to authenticate.
 *
 * @example
 * ```ts
 * const server = await listen(app.fetch, { host, port: 4242, portFlag: "--orb-api-port" });
 * log.info("Ready", { url: server.url });
 * await server.stop(deadline);
 * ```
 */
export async function listen(
  handler: RequestHandler,
  options: ListenOptions,
): Promise<HttpServer> {
  const { host = "127.0.0.1", maxRequestsInFlight = 1024 } = options;
  if (!options.authenticated && !options.allowRemoteWithoutAuth && !isLoopback(host)) {
    throw new StartError(
      `Refuses to listen on ${host}: it is not a loopback address and nobody has to authenticate. Listen on 127.0.0.1, turn authentication on, or say --allow-remote-without-auth.`,
    );
  }
  const listening = await bindAll(() => nodeServer(options), { ...options, host });
  const servers = listening.map(({ server }) => server);
  const bound = listening[0]!.address;
  const url = urlOf(bound, options.tls !== undefined);
  const { basePath, log } = options;
  const underWay = new RequestsUnderWay({ handler, url, basePath, maxRequestsInFlight, log });
  const connections = new HttpConnections(servers, bound.address, {
    handle: (exchange) => underWay.handle(exchange),
    isUpgraded: isWebSocketAnswer,
    onHttp2: () => options.onHttp2?.(),
  }, options);
  for (const server of servers) acceptConnections(server, connections, options);
  return {
    host: bound.address,
    port: bound.port,
    url,
    replaceCertificate(pair) {
      const secure = servers.filter((server) => server instanceof tls.Server);
      if (secure.length === 0) throw new TypeError("It serves no HTTPS");
      checkPair(pair);
      for (const server of secure) server.setSecureContext(pair);
    },
    stop: (deadline) => drain(servers, underWay, connections, deadline),
  };
}

function nodeServer({ tls: pair, headerTimeoutMs = 15_000 }: ListenOptions): net.Server {
  if (!pair) return net.createServer({ noDelay: true });
  checkPair(pair);
  return tls.createServer({
    ...pair,
    noDelay: true,
    ALPNProtocols: ["h2", "http/1.1"],
    handshakeTimeout: headerTimeoutMs,
  });
}

/**
 * node:tls says nothing about a pair that it cannot use, but to every client.
 *
 * @throws {Error} it cannot be used
 */
function checkPair({ cert, key }: { cert: string; key: string }): void {
  const matches = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  if (!matches) throw new Error("The key is not that of the certificate");
}

function acceptConnections(
  server: net.Server,
  connections: HttpConnections,
  options: ListenOptions,
): void {
  server.on(
    options.tls ? "secureConnection" : "connection",
    (socket: net.Socket) => connections.add(socket),
  );
  // What it was greeted with is no TLS, or it does not take the certificate: it can be told nothing.
  server.on("tlsClientError", (_error: Error, socket: net.Socket) => socket.destroy());
  server.on("error", (error) => {
    options.log?.warn("The HTTP server has an error", { reason: reasonOf(error) });
  });
}

function urlOf({ address, port }: AddressInfo, isHttps: boolean): string {
  const isWildcard = address === "0.0.0.0" || address === "::";
  const host = isWildcard ? "127.0.0.1" : address;
  return `${isHttps ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

interface Answering {
  handler: RequestHandler;
  url: string;
  basePath: string | undefined;
  maxRequestsInFlight: number;
  log: ListenOptions["log"];
}

/** What is being answered: not more than so many requests, each of which can be cut short. */
class RequestsUnderWay {
  readonly #options: Answering;
  readonly #open = new Set<HttpExchange>();
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(options: Answering) {
    this.#options = options;
  }

  handle(exchange: HttpExchange): void {
    const { handler, url, basePath, maxRequestsInFlight } = this.#options;
    const request = refusalOf(exchange) ?? toRequest(exchange, url, basePath) ??
      badRequest(badTarget);
    if (request instanceof Response) return exchange.answer(request);
    if (this.#idle) return exchange.answer(stopping());
    if (this.#open.size >= maxRequestsInFlight) {
      return exchange.answer(overloaded(maxRequestsInFlight));
    }
    this.#open.add(exchange);
    try {
      const response = handler(request, { remoteAddr: exchange.peer });
      if (response instanceof Response) this.#end(exchange, response);
      else {
        response.then(
          (response) => this.#end(exchange, response),
          (error) => this.#end(exchange, this.#failed(error)),
        );
      }
    } catch (error) {
      this.#end(exchange, this.#failed(error));
    }
  }

  #end(exchange: HttpExchange, response: Response): void {
    this.#open.delete(exchange);
    exchange.answer(response);
    if (this.#open.size === 0) this.#idle?.resolve();
  }

  #failed(error: unknown): Response {
    this.#options.log?.warn("A request handler failed", { reason: reasonOf(error) });
    return problemResponse(500, {
      title: "Internal error",
      detail: "The request failed on our side; the log has the cause.",
    });
  }

  /** Takes nothing new, and resolves when all is answered. */
  drain(): Promise<void> {
    this.#idle ??= Promise.withResolvers<void>();
    if (this.#open.size === 0) this.#idle.resolve();
    return this.#idle.promise;
  }

  cut(): void {
    for (const exchange of [...this.#open]) this.#end(exchange, cutShort());
  }
}

const badTarget = "The request's target or its Host header is not well-formed.";

/** What is no HTTP although its head could be read (RFC 9112, sections 2.5 and 3.2; RFC 9110, 9.3.6 and 10.1.1). */
function refusalOf({ head, awaitsBody }: HttpExchange): Response | undefined {
  const { version, hosts, method, expect } = head;
  if (version !== "1.1" && version !== "1.0" && version !== "2") {
    return problemResponse(505, {
      title: "HTTP version not supported",
      detail: `This server speaks HTTP/1.1, not HTTP/${version}.`,
    }, { connection: "close" });
  }
  if (version !== "1.0" && hosts !== 1) {
    return badRequest(`A request has one Host header, not ${hosts}.`);
  }
  if (method === "CONNECT") {
    return problemResponse(501, {
      title: "Not implemented",
      detail: "This server is no proxy: it makes no tunnels.",
    }, { connection: "close" });
  }
  if (expect !== undefined && !awaitsBody && expect !== "100-continue") {
    return problemResponse(417, {
      title: "Expectation failed",
      detail: "The only expectation that can be met is 100-continue.",
    }, { connection: "close" });
  }
  return undefined;
}

function badRequest(detail: string): Response {
  return problemResponse(400, { title: "Bad request", detail }, { connection: "close" });
}

/**
 * Waits for what is under way until `deadline` aborts; then it is cut.
 *
 * What is under way comes before the listener: who asks meanwhile is told so, by a 503, and is not
 * refused like one whose server is broken. An answer that streams on is waited for until it has ended,
 * or the deadline has passed.
 */
async function drain(
  servers: readonly net.Server[],
  underWay: RequestsUnderWay,
  connections: HttpConnections,
  deadline: AbortSignal,
): Promise<void> {
  const ended = new AbortController();
  const cut = aborted(AbortSignal.any([deadline, ended.signal])).then(() => {
    if (!ended.signal.aborted) underWay.cut();
  });
  await Promise.race([underWay.drain(), cut]);
  for (const server of servers) server.close();
  const drained = connections.drain();
  await Promise.race([drained, cut.then(() => settledWithin(drained, cutGraceMs))]);
  connections.cut();
  connections.stop();
  // Takes the listener back.
  ended.abort();
}

function overloaded(maxRequests: number): Response {
  return problemResponse(503, {
    title: "Overloaded",
    detail: `${maxRequests} requests are under way already. Try again later.`,
  }, { "retry-after": "1" });
}

/** How long requests that were cut have to get their last bytes out. */
const cutGraceMs = 500;

function stopping(): Response {
  return problemResponse(503, {
    title: "Shutting down",
    detail: "The server ends and takes no new requests. Send it again to another one.",
  }, { connection: "close", "retry-after": "1" });
}

function cutShort(): Response {
  return problemResponse(503, {
    title: "Shutting down",
    detail: "The server ends before the request was finished. Send it again to another one.",
  }, { connection: "close" });
}

/** True for 127.0.0.0/8, ::1 and `localhost`. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}
