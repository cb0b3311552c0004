/**
 * The ping-pong server, put together: certificate, mailbox, access, listeners, announcement.
 *
 * @module
 */
import { lockForThisProcess } from "../../service/data_folder.ts";
import { Guard, type GuardOptions } from "../../service/http_guard.ts";
import { isLoopback } from "../../service/http_server.ts";
import { type Service, type ServiceContext, StartError } from "../../service/life_cycle.ts";
import { limitedLog } from "../../service/limited_log.ts";
import { aborted } from "../../service/resilience.ts";
import {
  browserObjections,
  certificateNames,
  type CertificatePair,
  makeMissingCertificate,
  needsPin,
  readCertificate,
} from "../certificates/certificate_files.ts";
import { CertificateRenewal } from "../certificates/renewal.ts";
import { announce } from "../discovery/announcement.ts";
import type { WebTransportServer } from "../http3/mod.ts";
import { closeCodes } from "../protocol/session_terms.ts";
import { readToken } from "../protocol/token.ts";
import { type WellKnown, wellKnownPath } from "../protocol/well_known.ts";
import { accessRule, type RefusedSession } from "./access.ts";
import { Answering } from "./answering.ts";
import { listenTcp, listenWebTransport, type TcpListeners } from "./listeners.ts";
import type { Mailbox } from "./mailbox.ts";
import { MemoryMailbox } from "./memory_mailbox.ts";
import { SqliteMailbox } from "./sqlite_mailbox.ts";
import { webApp } from "./web.ts";
import { WebSocketSessions } from "./websocket_sessions.ts";

/** Options of {@linkcode startPingpongServer}. */
export interface PingpongServerOptions {
  /** Address to listen on, all ports; `localhost` is both families of loopback. @default "127.0.0.1" */
  host?: string;
  /** UDP port of WebTransport, 0 to 65,535; 0 takes a free one. */
  port: number;
  /** TCP port of page, discovery and WebSocket in plain HTTP; 0 takes a free one. */
  pagePort: number;
  /** TCP port of the same in HTTPS; 0 takes a free one. */
  httpsPort: number;
  /** The certificate chain, PEM. It is read again when it changes. */
  certificatePath: string;
  /** Its private key, PEM. */
  keyPath: string;
  /** Makes both files, and the hash beside the certificate, if there are none. @default false */
  generateCertificate?: true;
  /** How often certificate and key are read, in milliseconds, above 0. @default 1_000 */
  certificatePollMs?: number;
  /** A file with the token that a client must show. @default no token */
  tokenFile?: string;
  /** Lets it listen beyond loopback although no token is asked for. @default false */
  allowRemoteWithoutAuth?: true;
  /**
   * Names this server is known by, without port, besides loopback's, `host` and those that the
   * certificate is for.
   *
   * @default none
   */
  allowedHost?: readonly string[];
  /** Origins of web pages that may connect, beside the server's own. @default none */
  allowedOrigin?: readonly string[];
  /** The same, by its first name. @default none */
  allowOrigin?: readonly string[];
  /** Paths that sessions are had at. @default any */
  path?: readonly string[];
  /** The name to announce on the local network, by DNS-SD. @default none: it is not announced */
  announce?: string;
  /** The address to announce. @default `host`; for a wildcard all addresses of this machine */
  announceAddress?: string;
  /** SQLite file of the mailbox. @default memory */
  mailbox?: string;
  /** Answers kept for one client, at least 1. @default 1_024 */
  mailboxMaxAnswers?: number;
  /** How long an answer is kept, in milliseconds, above 0. @default 600_000 */
  mailboxMaxAgeMs?: number;
  /** Sessions at once, of each transport, at least 1. @default 4_096 */
  maxSessions?: number;
  /** The most bytes of a frame, at least 1. @default 1_048_576 */
  maxFrameBytes?: number;
  /** How often a silent peer is probed, in milliseconds, above 0. @default 500 */
  heartbeatMs?: number;
  /** How long a peer may be silent until it counts as dead, in milliseconds, above 0. @default 2_000 */
  heartbeatTimeoutMs?: number;
}

/** A running ping-pong server. */
export interface PingpongServer extends Service {
  /** Where sessions are had, such as `https://127.0.0.1:4433/`. */
  readonly url: string;
  /** The page and WebSocket, plain. */
  readonly pageUrl: string;
  /** The page and WebSocket, over TLS. */
  readonly httpsUrl: string;
  /** SHA-256 of the certificate in use. */
  certificateHash(): Uint8Array;
  /** Reads the certificate's files now; true if new ones are in use. Never rejects. */
  reloadCertificate(): Promise<boolean>;
}

/** How often the mailbox drops what is too old, in milliseconds. */
const expireEveryMs = 10_000;

/**
 * Starts the server.
 *
 * @throws {StartError} a port is taken, the certificate, the token or the mailbox cannot be used,
 * or it would listen beyond loopback without a token.
 *
 * @example
 * ```ts
 * const server = await startPingpongServer(
 *   { port: 4433, pagePort: 4480, httpsPort: 4433, certificatePath: "cert.pem", keyPath: "key.pem" },
 *   context,
 * );
 * await server.stop(AbortSignal.timeout(5_000));
 * ```
 */
export async function startPingpongServer(
  options: PingpongServerOptions,
  context: ServiceContext,
): Promise<PingpongServer> {
  const { host = "127.0.0.1" } = options;
  const { health, log, telemetry: { tracer, meter }, world } = context;
  const token = options.tokenFile === undefined ? undefined : await readToken(options.tokenFile);
  refuseUnguarded(host, options, token);
  if (options.generateCertificate) await makeMissingCertificate(options, world);
  const pair = await readCertificate(options);

  await using undo = new AsyncDisposableStack();
  if (options.mailbox !== undefined) {
    // Two would each keep count of their own, and take away what the other has counted.
    undo.use(await lockForThisProcess(`${options.mailbox}.lock`, "--mailbox"));
  }
  const mailbox = openMailbox(options, context);
  undo.defer(() => mailbox.close());
  const limits = { ...(options.maxFrameBytes && { maxFrameBytes: options.maxFrameBytes }) };
  const answering = new Answering({ mailbox, tracer, meter, ...limits });
  const guardOptions = guardOptionsOf(options, certificateNames(pair.cert));
  const decide = accessRule({
    guard: new Guard(guardOptions),
    waiting: (client) => answering.waiting(client),
    ...(token !== undefined && { token }),
    ...(options.path && { paths: options.path }),
  });
  const idleTimeoutMs = options.heartbeatTimeoutMs ?? 2_000;
  const maxSessions = options.maxSessions ?? 4_096;
  const warn = limitedLog(log, { maxLinesPerSecond: 5, world });
  const onRefused = (refusal: RefusedSession) => warn("A session was refused", { ...refusal });
  const webtransport = listenWebTransport({
    ...{ host, port: options.port, cert: pair.cert, key: pair.key, decide, answering, log, world },
    ...{ maxSessions, keepAliveMs: options.heartbeatMs ?? 500, idleTimeoutMs, onRefused },
  });
  undo.defer(() => webtransport.close());
  const sessions = new WebSocketSessions({
    ...{ answering, decide, maxSessions, idleTimeoutMs, onRefused, ...limits },
  });
  const wellKnown = () => describe(options, webtransport, renewal.pair);
  const app = webApp({ guard: guardOptions, sessions, onRefused, wellKnown }, context);
  const tcp = await listenTcp({
    ...{ handler: app.fetch, host, pair, log, world, authenticated: token !== undefined },
    ...{ pagePort: options.pagePort, httpsPort: options.httpsPort },
    allowRemoteWithoutAuth: options.allowRemoteWithoutAuth ?? false,
  });
  undo.defer(() => tcp.stop(AbortSignal.abort()));
  const renewal = new CertificateRenewal({
    ...{ pair, log, world, pollMs: options.certificatePollMs ?? 1_000 },
    read: () => readCertificate(options),
    apply: (renewed) => {
      useCertificate(renewed, webtransport, tcp);
      warnOfObjections(renewed, context);
    },
  });
  undo.defer(() => renewal.stop());
  undo.defer(await announceIfAsked(options, webtransport, context));
  const expiry = world.setInterval(() => mailbox.expire(), expireEveryMs);
  undo.defer(() => world.clearInterval(expiry));

  renewal.start();
  warnOfObjections(pair, context);
  health.set("webtransport", "ok");
  const url = urlOf(host, webtransport.addr.port);
  log.info(`Ping-pong over WebTransport at ${url}`, { sha256: pair.hash.toHex() });
  log.info(`Page, discovery and WebSocket at ${tcp.pageUrl} and ${tcp.httpsUrl}`);
  return new RunningServer(url, { webtransport, sessions, tcp, renewal, resources: undo.move() });
}

/** What a running server is made of. */
interface Parts {
  webtransport: WebTransportServer;
  sessions: WebSocketSessions;
  tcp: TcpListeners;
  renewal: CertificateRenewal;
  /** Everything else that must be given back, and all of the above once more. */
  resources: AsyncDisposableStack;
}

class RunningServer implements PingpongServer {
  readonly url: string;
  readonly #parts: Parts;

  constructor(url: string, parts: Parts) {
    this.url = url;
    this.#parts = parts;
  }

  get pageUrl(): string {
    return this.#parts.tcp.pageUrl;
  }

  get httpsUrl(): string {
    return this.#parts.tcp.httpsUrl;
  }

  certificateHash(): Uint8Array {
    return this.#parts.renewal.pair.hash;
  }

  reloadCertificate(): Promise<boolean> {
    return this.#parts.renewal.poll();
  }

  async stop(deadline: AbortSignal): Promise<void> {
    const { webtransport, sessions, tcp, renewal, resources } = this.#parts;
    // No listener may be made any more.
    await renewal.stop();
    webtransport.stopAccepting();
    const reason = "the server ends";
    await Promise.all([
      // What their ends mean to the mailbox comes before its end.
      Promise.race([sessions.close(closeCodes.goingAway, reason), aborted(deadline)]),
      webtransport.close({ closeCode: closeCodes.goingAway, reason }),
      tcp.stop(deadline),
    ]);
    await resources.disposeAsync();
  }
}

function refuseUnguarded(
  host: string,
  options: PingpongServerOptions,
  token: string | undefined,
): void {
  if (token !== undefined || options.allowRemoteWithoutAuth || isLoopback(host)) return;
  throw new StartError(
    `Refuses to listen on ${host}: it is not a loopback address and no token is asked for. Listen on 127.0.0.1, give --token-file, or say --allow-remote-without-auth.`,
  );
}

function openMailbox(options: PingpongServerOptions, { log, world }: ServiceContext): Mailbox {
  const bounds = {
    world,
    ...(options.mailboxMaxAnswers && { maxAnswersPerClient: options.mailboxMaxAnswers }),
    ...(options.mailboxMaxAgeMs && { maxAgeMs: options.mailboxMaxAgeMs }),
  };
  const path = options.mailbox;
  if (path === undefined) return new MemoryMailbox(bounds);
  return new SqliteMailbox(path, {
    ...bounds,
    onState(state) {
      if (state === "ok") log.info("Answers are kept in the mailbox again", { path });
      else log.warn("Answers cannot be kept and are sent all the same", { path, ...state });
    },
  });
}

/** The page's port is another one than that of the sessions: to the guard they are one host. */
function guardOptionsOf(
  { host, allowedHost = [], allowedOrigin = [], allowOrigin = [] }: PingpongServerOptions,
  certificateNames: readonly string[],
): GuardOptions {
  return {
    ...(host !== undefined && { host }),
    allowedHosts: [...allowedHost, ...certificateNames],
    allowedOrigins: [...allowedOrigin, ...allowOrigin],
    anyPort: true,
    publicPaths: [wellKnownPath],
  };
}

/** What the server says of itself at its well-known path. */
function describe(
  { path }: PingpongServerOptions,
  { addr }: WebTransportServer,
  { cert, hash }: CertificatePair,
): WellKnown {
  const first = path?.[0] ?? "/";
  return {
    version: 1,
    webtransport: {
      port: addr.port,
      path: first,
      certificateHashes: needsPin(cert) ? [{ algorithm: "sha-256", value: hash.toHex() }] : [],
    },
    websocket: { path: first },
  };
}

/** What a browser will say of it is better known before one says it. */
function warnOfObjections({ cert }: CertificatePair, { log, world }: ServiceContext): void {
  const objections = browserObjections(cert, world);
  if (objections.length === 0) return;
  log.warn("Browsers will refuse this certificate", {
    reason: objections.join("; "),
    advice: "deno task pingpong:gen-certs makes one that they take",
  });
}

/** All or nothing: the first refuses a pair that cannot be used, and the second has nothing to refuse. */
function useCertificate(
  renewed: CertificatePair,
  webtransport: WebTransportServer,
  tcp: TcpListeners,
): void {
  webtransport.replaceCertificate(renewed.cert, renewed.key);
  tcp.replaceCertificate(renewed);
}

/** Announces the server where that is asked for, and gives what takes it back. */
async function announceIfAsked(
  options: PingpongServerOptions,
  { addr }: WebTransportServer,
  { log, world }: ServiceContext,
): Promise<() => Promise<void>> {
  if (options.announce === undefined) return () => Promise.resolve();
  const address = options.announceAddress ?? options.host ?? "127.0.0.1";
  const path = options.path?.[0];
  const onRenamed = (name: string) =>
    log.warn("Another has our name on the local network: announced by another one", { name });
  const announced = await announce({
    ...{ instance: options.announce, port: addr.port, address, onRenamed, world },
    ...(path && { path }),
  });
  const { instance: name, isLocal } = announced;
  if (isLocal) {
    log.warn("Announced on this machine only, as it listens on loopback", { name, address });
  } else {
    log.info("Announced on the local network", { name, address });
  }
  return () => announced.stop();
}

function urlOf(host: string, port: number): string {
  const reachable = ["0.0.0.0", "::", "localhost"].includes(host) ? "127.0.0.1" : host;
  return `https://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}/`;
}
