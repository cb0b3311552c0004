/**
 * Listening for HTTP/1.1 with the house rules: loopback unless authentication is on, a taken port
 * is a reason in words; requests under way, connections and every wait are bounded; and a stop drains
 * with a deadline.
 *
 * It is `node:http` below, not `Deno.serve` (2.9.6): that answers an upgrade it does not know, such
 * as `Upgrade: h2c` with a body, by an empty 400 before a handler sees it, where RFC 9110, section
 * 7.8, lets a server ignore it; an `accept` that fails ends the process; and a header, a body or a
 * connection has no time-out. What it costs is in `bench/README.md`.
 *
 * @module
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import http, { ServerResponse } from "node:http";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { flag, parsePort } from "./command_line.ts";
import { HttpConnections, type HttpConnectionsOptions } from "./http_connections.ts";
import {
  type NodeRequest,
  rawAnswer,
  type RequestInfo,
  sendResponse,
  toRequest,
} from "./http_exchange.ts";
import { asksForWebSocket, isWebSocketAnswer } from "./http_upgrade.ts";
import { type Service, StartError } from "./life_cycle.ts";
import { problemResponse } from "./problem.ts";
import { aborted, reasonOf, settledWithin } from "./resilience.ts";

/** Answers a request; `fetch` of a Hono app is one. */
export type RequestHandler = (
  request: Request,
  info: RequestInfo,
) => Response | Promise<Response>;

/** Options of {@linkcode listen}. */
export interface ListenOptions extends HttpConnectionsOptions {
  /** Address to bind. @default "127.0.0.1" */
  host?: string;
  /** Port to bind; 0 takes a free one. */
  port: number;
  /** The flag that sets the port, named in the message when the port is taken. */
  portFlag: string;
  /** Whether every request is authenticated: only then may the address be other than loopback. @default false */
  authenticated?: boolean;
  /** Lets an unauthenticated server listen beyond loopback: the operator's explicit word. @default false */
  allowRemoteWithoutAuth?: boolean;
  /** Serves HTTPS with this chain and key, both PEM. @default plain HTTP */
  tls?: { cert: string; key: string };
  /** Hears of a client that speaks HTTP/2 from its first byte, as gRPC does: it can be told nothing. @default nobody */
  onHttp2?: () => void;
  /** Requests under way at once; one more is answered 503 with `Retry-After`. @default 1024 */
  maxRequestsInFlight?: number;
  /** How long a request's line and header may take, from the connection's first moment for the first one, in milliseconds; then 408, and it is closed. @default 15_000 */
  headerTimeoutMs?: number;
  /** How long a connection may wait for its next request, in milliseconds; then it is closed. @default 75_000 */
  idleTimeoutMs?: number;
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
      .default("127.0.0.1"),
  allowRemoteWithoutAuth: () =>
    flag(
      "--allow-remote-without-auth",
      "listen beyond loopback although nobody has to authenticate (a container's own network)",
    ),
};

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
  const underWay = new RequestsUnderWay(handler, maxRequestsInFlight);
  const server = nodeServer(options);
  const bound = await bind(server, host, options);
  const wildcard = bound.address === "0.0.0.0" || bound.address === "::";
  const urlHost = wildcard ? "127.0.0.1" : bound.address;
  const url = `${options.tls ? "https" : "http"}://${
    urlHost.includes(":") ? `[${urlHost}]` : urlHost
  }:${bound.port}`;
  const connections = new HttpConnections(server, bound.address, options);
  answerRequests({ server, url, underWay, connections, options });
  return {
    host: bound.address,
    port: bound.port,
    url,
    replaceCertificate(pair) {
      if (!(server instanceof https.Server)) throw new TypeError("It serves no HTTPS");
      checkPair(pair);
      server.setSecureContext(pair);
    },
    stop: (deadline) => drain(server, underWay, connections, deadline),
  };
}

type NodeServer = http.Server | https.Server;

function nodeServer(options: ListenOptions): NodeServer {
  const { headerTimeoutMs = 15_000, requestTimeoutMs = 60_000, idleTimeoutMs = 75_000, tls } =
    options;
  const common = {
    headersTimeout: Math.min(headerTimeoutMs, requestTimeoutMs),
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: idleTimeoutMs,
    connectionsCheckingInterval: 250,
    // Any other upgrade is ignored, and the request answered as if it had not asked (RFC 9110, section 7.8).
    shouldUpgradeCallback: asksForWebSocket,
  };
  if (tls) checkPair(tls);
  return tls
    ? https.createServer({ ...common, ...tls, handshakeTimeout: common.headersTimeout })
    : http.createServer(common);
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

/** @throws {StartError} the address cannot be had */
async function bind(
  server: NodeServer,
  host: string,
  options: ListenOptions,
): Promise<AddressInfo> {
  const { port, portFlag } = options;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port }, () => {
        server.off("error", reject);
        resolve();
      });
    });
  } catch (error) {
    throw listenError(error, host, port, portFlag);
  }
  return server.address() as AddressInfo;
}

interface Answering {
  server: NodeServer;
  url: string;
  underWay: RequestsUnderWay;
  connections: HttpConnections;
  options: ListenOptions;
}

function answerRequests({ server, url, underWay, connections, options }: Answering): void {
  const answer = async (node: NodeRequest, outgoing: ServerResponse) => {
    const { socket } = node.incoming;
    connections.begin(socket);
    outgoing.once("close", () => connections.end(node.incoming));
    const request = toRequest(node, url);
    const response = request
      ? await underWay.answer(request, infoOf(socket)).catch((error) => failed(error, options))
      : badTarget();
    if (isWebSocketAnswer(response)) return connections.remove(socket);
    await sendResponse(response, node, outgoing);
  };
  server.on(options.tls ? "secureConnection" : "connection", (socket) => connections.add(socket));
  server.on("request", (incoming, outgoing) => answer({ incoming }, outgoing));
  server.on("checkContinue", (incoming, outgoing) => {
    answer({ incoming, askForBody: () => outgoing.writeContinue() }, outgoing);
  });
  server.on("upgrade", (incoming, stream, head) => {
    const socket = stream as Socket;
    // A client that goes away meanwhile is found by whoever writes to it.
    socket.on("error", () => {});
    // What comes from now on is for the WebSocket to read.
    socket.pause();
    const outgoing = new ServerResponse(incoming);
    outgoing.shouldKeepAlive = false;
    outgoing.assignSocket(socket);
    outgoing.once("finish", () => socket.destroySoon());
    answer({ incoming, upgrade: { socket, head } }, outgoing);
  });
  server.on("clientError", (error: Error & { code?: string }, stream) => {
    if (error.code === "HPE_PAUSED_H2_UPGRADE") options.onHttp2?.();
    refuseBroken(error, stream as Socket);
  });
  server.on("error", (error) => {
    options.log?.warn("The HTTP server has an error", { reason: reasonOf(error) });
  });
}

function infoOf({ remoteAddress, remotePort }: Socket): RequestInfo {
  return {
    remoteAddr: { transport: "tcp", hostname: remoteAddress ?? "", port: remotePort ?? 0 },
  };
}

function failed(error: unknown, { log }: ListenOptions): Response {
  log?.warn("A request handler failed", { reason: reasonOf(error) });
  return problemResponse(500, {
    title: "Internal error",
    detail: "The request failed on our side; the log has the cause.",
  });
}

function badTarget(): Response {
  return problemResponse(400, {
    title: "Bad request",
    detail: "The request's target or its Host header is not well-formed.",
  }, { connection: "close" });
}

/** Answers what is not HTTP, or has not become a request in time, if nothing was answered yet. */
function refuseBroken(error: Error & { code?: string }, socket: Socket): void {
  const begun = (socket as { _httpMessage?: ServerResponse })._httpMessage;
  const isGreeted = !(socket instanceof TLSSocket) || socket.alpnProtocol !== null;
  if (!socket.writable || error.code === "ECONNRESET" || begun || !isGreeted) {
    socket.destroy();
    return;
  }
  const [status, title, detail] = brokenReasons[error.code ?? ""] ??
    [400, "Bad Request", `This is not HTTP/1.1: ${error.message}.`] as const;
  const problem = JSON.stringify({ type: "about:blank", title, status, detail });
  socket.end(rawAnswer(status, title, problem));
  socket.destroySoon();
}

const brokenReasons: Record<string, readonly [number, string, string]> = {
  ERR_HTTP_REQUEST_TIMEOUT: [
    408,
    "Request Timeout",
    "The request did not arrive in time. Send it again, whole.",
  ],
  HPE_HEADER_OVERFLOW: [
    431,
    "Request Header Fields Too Large",
    "The header is too large. Send less of it.",
  ],
};

/** What is being answered: not more than so many requests, each of which can be cut short. */
class RequestsUnderWay {
  readonly #handler: RequestHandler;
  readonly #max: number;
  /** One entry a request: what answers it early when the drain deadline has passed. */
  readonly #answers = new Set<(response: Response) => void>();
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(handler: RequestHandler, max: number) {
    this.#handler = handler;
    this.#max = max;
  }

  answer(request: Request, info: RequestInfo): Promise<Response> {
    if (this.#idle) return Promise.resolve(stopping());
    if (this.#answers.size >= this.#max) return Promise.resolve(overloaded(this.#max));
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    this.#answers.add(resolve);
    const done = () => {
      this.#answers.delete(resolve);
      if (this.#answers.size === 0) this.#idle?.resolve();
    };
    promise.then(done, done);
    try {
      Promise.resolve(this.#handler(request, info)).then(resolve, reject);
    } catch (error) {
      reject(error);
    }
    return promise;
  }

  /** Takes nothing new, and resolves when all is answered. */
  drain(): Promise<void> {
    this.#idle ??= Promise.withResolvers<void>();
    if (this.#answers.size === 0) this.#idle.resolve();
    return this.#idle.promise;
  }

  cut(): void {
    for (const answer of this.#answers) answer(cutShort());
  }
}

/**
 * Waits for what is under way until `deadline` aborts; then it is cut.
 *
 * What is under way comes before the listener: who asks meanwhile is told so, by a 503, and is not
 * refused like one whose server is broken. An answer that streams on is waited for until it has ended,
 * or the deadline has passed.
 */
async function drain(
  server: NodeServer,
  underWay: RequestsUnderWay,
  connections: HttpConnections,
  deadline: AbortSignal,
): Promise<void> {
  const ended = new AbortController();
  const cut = aborted(AbortSignal.any([deadline, ended.signal])).then(() => {
    if (!ended.signal.aborted) underWay.cut();
  });
  await Promise.race([underWay.drain(), cut]);
  server.close();
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

function listenError(error: unknown, host: string, port: number, portFlag: string): unknown {
  const where = `Cannot listen on ${host}:${port}`;
  const { code } = error as { code?: string };
  if (code === "EADDRINUSE") {
    return new StartError(
      `${where}: the port is in use. Stop the program that has it, or choose another port with ${portFlag} (0 takes a free one).`,
    );
  }
  if (code === "EACCES" || code === "EPERM" || error instanceof Deno.errors.NotCapable) {
    return new StartError(
      `${where}: not permitted (${
        reasonOf(error)
      }). Choose a port above 1023 with ${portFlag}, or grant --allow-net.`,
    );
  }
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND" || code === "EINVAL") {
    return new StartError(
      `${where}: ${reasonOf(error)}. Give an address of this machine with --host.`,
    );
  }
  return error;
}
