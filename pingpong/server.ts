#!/usr/bin/env -S deno run --v8-flags=--no-allocation-site-pretenuring --unstable-net --allow-net --allow-read --allow-write --allow-sys=networkInterfaces --allow-env=OTEL_*,PINGPONG_SERVER_*
/**
 * The ping-pong server: answers every ping it gets over WebTransport (streams both ways, streams
 * one way, datagrams) and over WebSocket, keeps the answers of clients that named themselves
 * until they have them, and serves a page that pings from the browser.
 *
 * Exports {@linkcode startPingpongServer}; can also be used as a CLI:
 *
 * ```sh
 * deno task pingpong:gen-certs
 * deno task pingpong:server
 * deno task pingpong:server --mailbox mailbox.sqlite --token-file token
 * ```
 *
 * @module
 */
import { readToken } from "./protocol/token.ts";
import { closeCodes, type NamedClient, websocketCodeBase } from "./protocol/session_terms.ts";
import type { WellKnown } from "./protocol/well_known.ts";
import {
  commandLine,
  flag,
  InvalidArgumentError,
  parseDuration,
  parseInteger,
} from "../service/command_line.ts";
import {
  hostFlags,
  type HttpServer,
  isLoopback,
  listen,
  portFlag,
} from "../service/http_server.ts";
import {
  runService,
  type Service,
  type ServiceContext,
  StartError,
} from "../service/life_cycle.ts";
import { accessRule } from "./server/access.ts";
import { Answering } from "./server/answering.ts";
import { certificateHash } from "./certificates/certificate.ts";
import { announce, isInstanceName } from "./discovery/discovery.ts";
import { generateCertificates } from "./gen_certs.ts";
import { MemoryMailbox } from "./server/memory_mailbox.ts";
import { SqliteMailbox } from "./server/sqlite_mailbox.ts";
import { webRoutes } from "./server/web.ts";
import {
  fieldValue,
  serve,
  type WebTransportServer,
  type WebTransportSession,
} from "./http3/mod.ts";

/** Options of {@linkcode startPingpongServer}. */
export interface PingpongServerOptions {
  /** Address to listen on, all ports. @default "127.0.0.1" */
  host?: string;
  /** UDP port of WebTransport; 0 takes a free one. */
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
  /** How often certificate and key are looked at, in milliseconds. @default 1_000 */
  certificatePollMs?: number;
  /** A file with the token that a client must show. @default no token */
  tokenFile?: string;
  /** Lets it listen beyond loopback although no token is asked for. @default false */
  allowRemoteWithoutAuth?: true;
  /** Origins of web pages that may connect, beside the server's own. @default none */
  allowOrigin?: readonly string[];
  /** Paths that sessions are had at. @default any */
  path?: readonly string[];
  /** The name to announce on the local network, by DNS-SD. @default none: it is not announced */
  announce?: string;
  /** The address to announce. @default `host`; for a wildcard all addresses of this machine */
  announceAddress?: string;
  /** SQLite file of the mailbox. @default memory */
  mailbox?: string;
  /** Answers kept for one client. @default 1_024 */
  mailboxMaxAnswers?: number;
  /** How long an answer is kept, in milliseconds. @default 600_000 */
  mailboxMaxAgeMs?: number;
  /** Sessions at once, of each transport. @default 4_096 */
  maxSessions?: number;
  /** The most bytes of a frame. @default 1_048_576 */
  maxFrameBytes?: number;
  /** How often a silent peer is probed, in milliseconds. @default 500 */
  heartbeatMs?: number;
  /** How long a peer may be silent until it counts as dead, in milliseconds. @default 2_000 */
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
  /** Looks at the certificate's files now; true if new ones are in use. */
  reloadCertificate(): Promise<boolean>;
}

/**
 * Starts the server.
 *
 * @throws {StartError} a port is taken, the certificate, the token or the mailbox cannot be used,
 * or it would listen beyond loopback without a token.
 */
export async function startPingpongServer(
  options: PingpongServerOptions,
  context: ServiceContext,
): Promise<PingpongServer> {
  const { host = "127.0.0.1", maxSessions = 4_096, certificatePollMs = 1_000 } = options;
  const { health, log, telemetry } = context;
  const token = options.tokenFile === undefined ? undefined : await readToken(options.tokenFile);
  if (token === undefined && !options.allowRemoteWithoutAuth && !isLoopback(host)) {
    throw new StartError(
      `Refuses to listen on ${host}: it is not a loopback address and no token is asked for. Listen on 127.0.0.1, give --token-file, or say --allow-remote-without-auth.`,
    );
  }
  if (options.generateCertificate) await makeMissingCertificate(options);
  let pair = await readCertificate(options.certificatePath, options.keyPath);

  await using undo = new AsyncDisposableStack();
  const bounds = {
    ...(options.mailboxMaxAnswers && { maxAnswersPerClient: options.mailboxMaxAnswers }),
    ...(options.mailboxMaxAgeMs && { maxAgeMs: options.mailboxMaxAgeMs }),
  };
  const mailbox = options.mailbox === undefined
    ? new MemoryMailbox(bounds)
    : new SqliteMailbox(options.mailbox, bounds);
  undo.defer(() => mailbox.close());
  const limits = { ...(options.maxFrameBytes && { maxFrameBytes: options.maxFrameBytes }) };
  const answering = new Answering({
    mailbox,
    tracer: telemetry.tracer,
    meter: telemetry.meter,
    ...limits,
  });
  const decide = accessRule({
    ...(token !== undefined && { token }),
    ...(options.allowOrigin && { origins: options.allowOrigin }),
    ...(options.path && { paths: options.path }),
    waiting: (client) => answering.waiting(client),
  });

  const webtransport = listenUdp();
  undo.defer(() => webtransport.close());
  const sockets = new Set<WebSocket>();
  const web = webRoutes({
    answering,
    decide,
    health,
    log,
    wellKnown,
    sockets,
    maxSockets: maxSessions,
    idleTimeoutS: (options.heartbeatTimeoutMs ?? 2_000) / 1_000,
    ...limits,
  });
  const page = listenTcp(options.pagePort, "--page-port");
  undo.defer(() => page.stop(AbortSignal.abort()));
  let https = listenTcp(options.httpsPort, "--https-port", pair);
  undo.defer(() => https.stop(AbortSignal.abort()));

  function listenUdp(): WebTransportServer {
    // The client that decide() let in, until the session it asked for is there.
    const clients = new WeakMap<object, NamedClient>();
    const onSession = (session: WebTransportSession) => {
      log.debug("A session has begun", { peer: peerOf(session), path: session.request.path });
      answering.answer(session, clients.get(session.request));
      session.closed.then(({ by, closeCode, reason }) =>
        log.debug("A session has ended", { peer: peerOf(session), by, closeCode, reason })
      );
    };
    try {
      return serve({
        host,
        port: options.port,
        ...pair,
        maxSessions,
        keepAliveMs: options.heartbeatMs ?? 500,
        idleTimeoutMs: options.heartbeatTimeoutMs ?? 2_000,
        decide: (request) => {
          const access = decide({
            ...request,
            header: (name) => fieldValue(request.fields, name),
          });
          if (access.status !== 200) {
            log.info("A session was refused", { status: access.status, reason: access.reason });
            return { status: access.status };
          }
          if (access.client) clients.set(request, access.client);
          return access;
        },
        onSession,
        onRefused: (reason) => log.debug("A connection came to nothing", { reason }),
      });
    } catch (error) {
      throw udpError(error, host, options.port);
    }
  }

  function listenTcp(
    port: number,
    portFlag: string,
    tls?: { cert: string; key: string },
  ): HttpServer {
    return listen(web.fetch, {
      host,
      port,
      portFlag,
      authenticated: token !== undefined,
      ...(options.allowRemoteWithoutAuth && { allowRemoteWithoutAuth: true }),
      // A renewed certificate needs a new listener while the old one still has requests.
      ...(tls && { tls, reusePort: Deno.build.os !== "windows" }),
    });
  }

  function wellKnown(): WellKnown {
    return {
      version: 1,
      webtransport: {
        port: webtransport.addr.port,
        path: options.path?.[0] ?? "/",
        certificateHashes: [{ algorithm: "sha-256", value: pair.hash.toHex() }],
      },
      websocket: { path: options.path?.[0] ?? "/" },
    };
  }

  async function reloadCertificate(): Promise<boolean> {
    let renewed: CertificatePair;
    try {
      renewed = await readCertificate(options.certificatePath, options.keyPath);
      if (renewed.cert === pair.cert && renewed.key === pair.key) return false;
      webtransport.replaceCertificate(renewed.cert, renewed.key);
    } catch (error) {
      // Half-written, most likely: what is in use stays, and the next look may find both whole.
      log.warn("The new certificate cannot be used, the old one stays", { reason: String(error) });
      return false;
    }
    pair = renewed;
    const old = https;
    https = listenTcp(old.port, "--https-port", pair);
    old.stop(AbortSignal.timeout(5_000)).catch((error) =>
      log.warn("The listener with the old certificate failed to stop", { reason: String(error) })
    );
    log.info("A new certificate is in use", { sha256: pair.hash.toHex() });
    return true;
  }

  let reloading: Promise<unknown> = Promise.resolve();
  const timers = [
    setInterval(() => reloading = reloading.then(reloadCertificate), certificatePollMs),
    setInterval(() => mailbox.expire(), 10_000),
  ];
  undo.defer(async () => {
    timers.forEach(clearInterval);
    await reloading;
  });

  if (options.announce !== undefined) {
    const address = options.announceAddress ?? host;
    const { port } = webtransport.addr;
    const path = options.path?.[0];
    const silence = await announce({
      ...{ instance: options.announce, port, address },
      ...(path && { path }),
    });
    undo.defer(silence);
    log.info("Announced on the local network", { name: options.announce, address });
  }
  health.set("webtransport", "ok");
  const url = urlOf(host, webtransport.addr.port);
  log.info(`Ping-pong over WebTransport at ${url}`, { sha256: pair.hash.toHex() });
  log.info(`Page, discovery and WebSocket at ${page.url} and ${https.url}`);
  const resources = undo.move();
  return {
    url,
    pageUrl: page.url,
    httpsUrl: https.url,
    certificateHash: () => pair.hash,
    reloadCertificate,
    async stop(deadline) {
      timers.forEach(clearInterval);
      await reloading;
      webtransport.stopAccepting();
      const reason = "the server ends";
      for (const socket of sockets) {
        // A socket in its handshake ends with its listener.
        if (socket.readyState === WebSocket.OPEN) {
          socket.close(websocketCodeBase + closeCodes.goingAway, reason);
        }
      }
      await Promise.all([
        webtransport.close({ closeCode: closeCodes.goingAway, reason }),
        page.stop(deadline),
        https.stop(deadline),
      ]);
      await resources.disposeAsync();
    },
  };
}

/** For a first start and for demonstrations; what is there stays, even if it has expired. */
async function makeMissingCertificate(options: PingpongServerOptions): Promise<void> {
  const { certificatePath, keyPath } = options;
  for (const path of [certificatePath, keyPath]) {
    try {
      await Deno.stat(path);
      return;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) return;
    }
  }
  const pinPath = `${certificatePath.replace(/\.pem$/, "")}.sha256`;
  await generateCertificates({ certificatePath, keyPath, pinPath });
}

interface CertificatePair {
  cert: string;
  key: string;
  hash: Uint8Array;
}

async function readCertificate(certPath: string, keyPath: string): Promise<CertificatePair> {
  const read = async (path: string, flag: string) => {
    try {
      return await Deno.readTextFile(path);
    } catch (error) {
      throw new StartError(
        `Cannot read ${path}: ${
          error instanceof Error ? error.message : String(error)
        }. Make a certificate with 'deno task pingpong:gen-certs', or name another file with ${flag}.`,
      );
    }
  };
  const cert = await read(certPath, "--certificate-path");
  const key = await read(keyPath, "--key-path");
  try {
    return { cert, key, hash: await certificateHash(cert) };
  } catch (error) {
    throw new StartError(
      `Cannot use ${certPath}: ${error instanceof Error ? error.message : String(error)}.`,
    );
  }
}

function udpError(error: unknown, host: string, port: number): unknown {
  if (error instanceof Deno.errors.AddrInUse) {
    return new StartError(
      `Cannot listen on ${host}:${port}/udp: the port is in use. Stop the program that has it, or choose another port with --port (0 takes a free one).`,
    );
  }
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return new StartError(
      `Cannot listen on ${host}:${port}/udp: not permitted (${error.message}).`,
    );
  }
  return new StartError(
    `Cannot listen on ${host}:${port}/udp: ${
      error instanceof Error ? error.message : String(error)
    }. Check --host, --certificate-path and --key-path.`,
  );
}

function urlOf(host: string, port: number): string {
  const reachable = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return `https://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}/`;
}

function peerOf({ remoteAddr }: WebTransportSession): string {
  return `${remoteAddr.hostname}:${remoteAddr.port}`;
}

function parseInstance(text: string): string {
  if (!isInstanceName(text)) {
    throw new InvalidArgumentError("Give 1 to 63 bytes without a dot, such as a host's short name");
  }
  return text;
}

async function main(): Promise<void> {
  const command = commandLine({
    name: "pingpong-server",
    summary:
      "Answers pings over WebTransport (streams, datagrams) and WebSocket, and keeps undelivered answers.",
    examples: [
      ["deno task pingpong:gen-certs", "make a certificate first"],
      ["deno task pingpong:server", "WebTransport on 4433/udp, page on http://localhost:4480"],
      ["deno task pingpong:server --mailbox mailbox.sqlite", "answers survive a restart"],
      [
        "deno task pingpong:server --host 0.0.0.0 --token-file token",
        "beyond this machine, for those who know the token",
      ],
    ],
  })
    .addOption(hostFlags.host())
    .addOption(hostFlags.allowRemoteWithoutAuth())
    .addOption(portFlag("--port <port>", "UDP port of WebTransport", 4433))
    .addOption(portFlag("--page-port <port>", "TCP port of page and WebSocket, plain HTTP", 4480))
    .addOption(portFlag("--https-port <port>", "TCP port of page and WebSocket, HTTPS", 4433))
    .addOption(
      flag("--certificate-path <file>", "certificate chain, PEM; read again when it changes")
        .default("cert.pem"),
    )
    .addOption(flag("--key-path <file>", "its private key, PEM").default("key.pem"))
    .addOption(
      flag("--generate-certificate", "make both files, and the hash in .sha256, if there are none"),
    )
    .addOption(
      flag("--certificate-poll-ms <ms>", "how often both files are looked at")
        .argParser(parseDuration({ unit: "ms", minMs: 50, maxMs: 3_600_000 })).default(1_000),
    )
    .addOption(flag("--token-file <file>", "clients must show the token in this file"))
    .addOption(flag("--allow-origin <origin...>", "pages that may connect, beside our own"))
    .addOption(flag("--path <path...>", "the only paths sessions are had at (default: any)"))
    .addOption(
      flag("--announce <name>", "announce this name on the local network (DNS-SD)")
        .argParser(parseInstance),
    )
    .addOption(flag("--announce-address <address>", "the address to announce (default: --host)"))
    .addOption(flag("--mailbox <file>", "keep undelivered answers in this SQLite file"))
    .addOption(
      flag("--mailbox-max-answers <count>", "answers kept for one client")
        .argParser(parseInteger({ min: 1, max: 1_000_000 })).default(1_024),
    )
    .addOption(
      flag("--mailbox-max-age-ms <ms>", "how long an answer is kept")
        .argParser(parseDuration({ unit: "ms", minMs: 1_000 })).default(600_000),
    )
    .addOption(
      flag("--max-sessions <count>", "sessions at once, of each transport")
        .argParser(parseInteger({ min: 1, max: 100_000 })).default(4_096),
    )
    .addOption(
      flag("--max-frame-bytes <bytes>", "the most bytes of a frame")
        .argParser(parseInteger({ min: 64, max: 67_108_864 })).default(1_048_576),
    )
    .addOption(
      flag("--heartbeat-ms <ms>", "how often a silent peer is probed")
        .argParser(parseDuration({ unit: "ms", minMs: 10, maxMs: 60_000 })).default(500),
    )
    .addOption(
      flag("--heartbeat-timeout-ms <ms>", "how long a peer may be silent until it counts as dead")
        .argParser(parseDuration({ unit: "ms", minMs: 100, maxMs: 600_000 })).default(2_000),
    );
  await runService(command, startPingpongServer);
}

if (import.meta.main) await main();
