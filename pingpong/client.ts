#!/usr/bin/env -S deno run --unstable-net --allow-net --allow-read --allow-sys=networkInterfaces --allow-env=OTEL_*,PINGPONG_CLIENT_*,WS_NO_BUFFER_UTIL,WS_NO_UTF_8_VALIDATE
/**
 * `ping` for WebTransport: over a two-way stream, one-way streams, datagrams or WebSocket, with
 * ping's figures, through every outage of server and network.
 *
 * Exports {@linkcode runPingpongClient}; can also be used as a CLI:
 *
 * ```sh
 * deno task pingpong:client
 * deno task pingpong:client --mode all --ping-count 100
 * deno task pingpong:client --host https://ping.example:4433/ --pin cert.sha256 --json
 * ```
 *
 * Exit codes: 0 all pings answered, 1 some lost, 2 it could not go on or wrong use.
 *
 * @module
 */
import type { Context } from "@opentelemetry/api";
import { readToken } from "./protocol/token.ts";
import { isClientName, type Mode } from "./protocol/session_terms.ts";
import {
  commandLine,
  flag,
  InvalidArgumentError,
  parseDuration,
  parseInteger,
  parsePort,
} from "../service/command_line.ts";
import { isLoopback } from "../service/http_server.ts";
import { runService, type Service, type ServiceContext } from "../service/life_cycle.ts";
import { stdoutLines } from "../service/log.ts";
import { certificateHash, parsePin } from "./certificates/certificate.ts";
import { discover } from "./discovery/discovery.ts";
import { type Link, openLink, type Target, type Trust } from "./client/links.ts";
import { Pinger, type PingEvent, type PingRun } from "./client/pinger.ts";
import { Reconnection } from "./client/reconnection.ts";
import { summaryLines } from "./client/statistics.ts";
import { WebTransportError } from "./http3/mod.ts";

/** The modes a person may ask for. */
export const modeChoices = [
  "bidi",
  "uni",
  "datagram",
  "websocket",
  "auto",
  "all",
] as const;

/** Options of {@linkcode runPingpongClient}. */
export interface PingpongClientOptions {
  /** Host name, address or URL. @default "127.0.0.1" */
  host?: string;
  /** UDP port, unless the URL has one. @default 4433 */
  port?: number;
  /** TCP port of WebSocket. @default as the UDP port */
  websocketPort?: number;
  /** How pings travel. @default "bidi" */
  mode?: typeof modeChoices[number];
  /** Pings to send, in each mode; 0 for no end. @default 3 */
  pingCount?: number;
  /** Milliseconds from one ping to the next at least. @default 0 */
  intervalMs?: number;
  /** Bytes of a ping's text. @default 5, "Ping!" */
  size?: number;
  /** Pings unanswered at once. @default 1 */
  concurrency?: number;
  /** Milliseconds that the whole run may take. @default no limit */
  deadlineMs?: number;
  /** Milliseconds after which a datagram's ping is lost. @default 1_000 */
  timeoutMs?: number;
  /** A stream for every ping. @default false */
  streamPerPing?: true;
  /** SHA-256 of the server's certificate, or a file that holds it. @default cert.sha256 if it is there */
  pin?: string;
  /** PEM certificates of authorities to trust. @default the system's */
  ca?: string;
  /** Believes any certificate. @default false */
  insecure?: true;
  /** A file with the token to show. @default none */
  tokenFile?: string;
  /** The name under which the server keeps answers. @default a new one each run */
  name?: string;
  /** Where to look for servers. @default nowhere: `host` */
  discover?: string;
  /** Prints a JSON object a line. @default false */
  json?: true;
  /** Prints no line a pong. @default false */
  quiet?: true;
  /** Milliseconds a connection may take. @default 3_000 */
  connectTimeoutMs?: number;
  /** Attempts after the first failed one, when there never was a connection. @default 3 */
  retries?: number;
  /** Milliseconds to the first retry; it doubles from there. @default 1_000 */
  retryBaseDelayMs?: number;
  /** Milliseconds that outages may take in sum, until a stable connection. @default 120_000 */
  outageBudgetMs?: number;
  /** Milliseconds a connection must last to count as stable. @default 5_000 */
  stableAfterMs?: number;
  /** Milliseconds between probes of a silent server. @default 500 */
  heartbeatMs?: number;
  /** Milliseconds until a silent server counts as dead. @default 2_000 */
  heartbeatTimeoutMs?: number;
}

/** What came of a run. */
export interface PingpongClientResult {
  /** 0 all answered, 1 some lost, 2 it could not go on. */
  exitCode: 0 | 1 | 2;
  /** Each mode's run. */
  runs: { mode: Mode | "auto"; run: PingRun }[];
}

const allModes: readonly Mode[] = ["bidi", "uni", "datagram", "websocket"];
const defaultPinFile = "cert.sha256";

/**
 * Pings, and writes about it with `print`, a line a call. Never rejects: what stops it is told and
 * has exit code 2.
 */
export async function runPingpongClient(
  options: PingpongClientOptions,
  context: Pick<ServiceContext, "telemetry">,
  print: (line: string) => void,
  signal?: AbortSignal,
): Promise<PingpongClientResult> {
  const runs: PingpongClientResult["runs"] = [];
  const say = options.json ? jsonPrinter(print) : textPrinter(print, options.quiet ?? false);
  const endpoint = new Deno.QuicEndpoint({ hostname: await localAddress(), port: 0 });
  try {
    const trust = await trustOf(options);
    const token = options.tokenFile === undefined ? undefined : await readToken(options.tokenFile);
    if (token !== undefined && trust.insecure) {
      throw new Error(
        "Refuses to show the token to a server that anyone may be: give --pin or --ca instead of --insecure",
      );
    }
    const targets = options.discover === undefined
      ? [targetOf(options)]
      : await discover(options.discover, {
        trust,
        ...(options.connectTimeoutMs && { connectTimeoutMs: options.connectTimeoutMs }),
      });
    if (options.discover !== undefined) say.found(targets);
    const modes = options.mode === "all" ? allModes : [options.mode ?? "bidi"] as const;
    for (const mode of modes) {
      const pinger = pingerOf(mode, targets, trust, token);
      say.begin(mode, targets[0]!, options.size ?? 5);
      const run = await pinger.start(signal);
      runs.push({ mode, run });
      say.end(mode, run);
      if (signal?.aborted) break;
    }
  } catch (error) {
    say.failed(error instanceof Error ? error.message : String(error));
    return { exitCode: 2, runs };
  } finally {
    endpoint.close();
  }
  const worst = runs.map(({ run }) =>
    run.error && !(run.statistics.summary().received > 0 && run.statistics.summary().lost === 0)
      ? 2
      : run.statistics.summary().lost > 0
      ? 1
      : 0
  );
  return { exitCode: Math.max(0, ...worst) as 0 | 1 | 2, runs };

  function pingerOf(
    mode: Mode | "auto",
    targets: readonly Target[],
    trust: Trust,
    token: string | undefined,
  ): Pinger {
    const { telemetry } = context;
    const name = options.name ?? crypto.randomUUID();
    const pinger: Pinger = new Pinger({
      openLink: linkOpener(targets, mode, (target, transport, context) =>
        openLink({
          context,
          mode: transport,
          target,
          trust,
          client: { name, run: pinger.run },
          endpoint,
          ...(token !== undefined && { token }),
          ...(options.streamPerPing && { streamPerPing: true }),
          ...(options.connectTimeoutMs && { connectTimeoutMs: options.connectTimeoutMs }),
          ...(options.heartbeatMs && { heartbeatMs: options.heartbeatMs }),
          ...(options.heartbeatTimeoutMs && { heartbeatTimeoutMs: options.heartbeatTimeoutMs }),
        }), (choice) => say.chosen(choice)),
      reconnection: new Reconnection({
        ...(options.retries !== undefined && { retries: options.retries }),
        ...(options.retryBaseDelayMs && { retryBaseDelayMs: options.retryBaseDelayMs }),
        ...(options.outageBudgetMs && { outageBudgetMs: options.outageBudgetMs }),
        ...(options.stableAfterMs && { stableAfterMs: options.stableAfterMs }),
      }),
      onEvent: say.event,
      count: options.pingCount ?? 3,
      intervalMs: options.intervalMs ?? 0,
      concurrency: options.concurrency ?? 1,
      data: options.size === undefined ? "Ping!" : textOf(options.size),
      pingTimeoutMs: options.timeoutMs ?? 1_000,
      ...(options.deadlineMs && { deadlineMs: options.deadlineMs }),
      tracer: telemetry.tracer,
      meter: telemetry.meter,
    });
    return pinger;
  }
}

/**
 * Opens links to the best server, after a failure to the next. With `auto` each server is tried
 * over WebTransport and then, where UDP does not get through, over WebSocket.
 */
export function linkOpener(
  targets: readonly Target[],
  mode: Mode | "auto",
  open: (target: Target, mode: Mode, context: Context) => Promise<Link>,
  onChosen: (choice: { mode: Mode; reason: string | undefined }) => void = () => {},
): (context: Context) => Promise<Link> {
  let turn = 0;
  return async function openNextLink(context) {
    const target = targets[turn % targets.length]!;
    try {
      if (mode !== "auto") return await open(target, mode, context);
      let reason: string | undefined;
      try {
        const link = await open(target, "bidi", context);
        onChosen({ mode: "bidi", reason });
        return link;
      } catch (error) {
        // Only where nothing comes through: a refusal is an answer, and WebSocket's would be the same.
        const blocked = error instanceof WebTransportError &&
          ["timeout", "unsupported", "closed"].includes(error.kind);
        if (!blocked) throw error;
        reason = error.message;
      }
      const link = await open(target, "websocket", context);
      onChosen({ mode: "websocket", reason });
      return link;
    } catch (error) {
      turn++;
      // A server that will not have us is no reason to give up while there are others.
      if (targets.length > 1 && error instanceof WebTransportError && turn < targets.length) {
        throw new WebTransportError("closed", error.message, { cause: error });
      }
      throw error;
    }
  };
}

/** Both families where the machine has both; a wildcard address to send from, nothing is accepted on it. */
function localAddress(): Promise<string> {
  try {
    const probe = Deno.listenDatagram({ hostname: "::", port: 0, transport: "udp" });
    probe.close();
    return Promise.resolve("::");
  } catch {
    return Promise.resolve("0.0.0.0");
  }
}

function targetOf(options: PingpongClientOptions): Target {
  const { host = "127.0.0.1", port = 4433, websocketPort } = options;
  if (/^[a-z]+:\/\//i.test(host)) {
    const url = new URL(host);
    const plain = url.protocol === "ws:" || url.protocol === "http:";
    if (!["https:", "wss:", "ws:", "http:"].includes(url.protocol)) {
      throw new Error(`Cannot ping ${host}: give a URL that begins with https:// or wss://`);
    }
    if (plain && !isLoopback(url.hostname)) {
      throw new Error(`Refuses to ping ${host}: without TLS only on this machine`);
    }
    const ownPort = url.port === "" ? plain ? 80 : 443 : Number(url.port);
    return {
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: ownPort,
      path: url.pathname + url.search,
      websocketTls: !plain,
      websocketPort: websocketPort ?? ownPort,
    };
  }
  return { host, port, ...(websocketPort !== undefined && { websocketPort }) };
}

async function trustOf(options: PingpongClientOptions): Promise<Trust> {
  if (options.insecure) return { insecure: true };
  if (options.pin !== undefined) return { pins: [await pinOf(options.pin)] };
  if (options.ca !== undefined) return { caCerts: [await Deno.readTextFile(options.ca)] };
  if (options.discover !== undefined) return {};
  try {
    return { pins: [parsePin(await Deno.readTextFile(defaultPinFile))] };
  } catch {
    // No server of this folder is meant: then an authority must vouch for it.
    return {};
  }
}

async function pinOf(given: string): Promise<Uint8Array> {
  try {
    return parsePin(given);
  } catch {
    // Not a hash: a file with one, or with the certificate itself.
  }
  let text: string;
  try {
    text = await Deno.readTextFile(given);
  } catch (error) {
    throw new Error(
      `Cannot take the pin ${given}: it is no SHA-256 hash, and as a file: ${
        error instanceof Error ? error.message : String(error)
      }`,
    );
  }
  return text.includes("BEGIN CERTIFICATE") ? await certificateHash(text) : parsePin(text);
}

function textOf(size: number): string {
  return "Ping!".repeat(Math.ceil(size / 5)).slice(0, size);
}

interface Printer {
  found(targets: readonly Target[]): void;
  begin(mode: Mode | "auto", target: Target, size: number): void;
  chosen(choice: { mode: Mode; reason: string | undefined }): void;
  event(event: PingEvent): void;
  end(mode: Mode | "auto", run: PingRun): void;
  failed(reason: string): void;
}

function textPrinter(print: (line: string) => void, quiet: boolean): Printer {
  const ms = (value: number) => `${value.toFixed(value < 10 ? 3 : 1)} ms`;
  return {
    found(targets) {
      for (const { host, port } of targets) print(`found ${host}:${port}`);
    },
    begin(mode, { host, port, path = "/", websocketPort = port }, size) {
      const at = mode === "websocket" ? `${websocketPort}/tcp` : `${port}/udp`;
      print(`PING ${host}:${at}${path} over ${mode}, ${size} bytes of data`);
    },
    chosen({ mode, reason }) {
      print(reason === undefined ? `using ${mode}` : `using ${mode}, as ${reason}`);
    },
    event(event) {
      if (event.kind === "pong") {
        if (quiet) return;
        const note = event.recovered ? " (recovered)" : "";
        print(
          `Received response data: ${
            oneLine(event.data)
          } seq=${event.seq} bytes=${event.bytes} time=${ms(event.rttMs)}${note}`,
        );
      } else if (event.kind === "lost") {
        if (!quiet) print(`lost seq=${event.seq}`);
      } else if (event.kind === "stale") {
        print("an answer that an earlier run of this client had missed");
      } else if (event.kind === "attempt-failed") {
        print(
          event.delayMs === undefined
            ? `connection failed: ${event.reason}`
            : `connection failed, retrying... (${event.reason}; next attempt in ${
              Math.round(event.delayMs)
            } ms)`,
        );
      } else if (event.kind === "disconnected") {
        const why = event.end.reason === "" ? `code ${event.end.code}` : event.end.reason;
        print(`connection ended (${why}), ${event.unanswered} unanswered, reconnecting...`);
      } else if (event.outageMs > 1_000 || event.waiting > 0) {
        print(`connected to ${event.remote}, ${event.waiting} answers waited`);
      }
    },
    end(mode, { statistics, elapsedMs, error }) {
      if (error) print(`gave up: ${error.message}${adviceFor(error)}`);
      if (error && statistics.summary().sent === 0) return;
      print("");
      for (const line of summaryLines(mode, statistics, elapsedMs)) print(line);
    },
    failed(reason) {
      print(`pingpong-client: ${reason}`);
    },
  };
}

function jsonPrinter(print: (line: string) => void): Printer {
  const put = (object: Record<string, unknown>) => print(JSON.stringify(object));
  return {
    found: (targets) =>
      put({
        kind: "found",
        targets: targets.map(({ host, port, path }) => ({ host, port, path })),
      }),
    begin: (mode, { host, port, path = "/" }, size) =>
      put({ kind: "begin", mode, host, port, path, size }),
    chosen: (choice) => put({ kind: "chosen", ...choice }),
    event: (event) => put({ ...event }),
    end: (mode, { statistics, elapsedMs, error }) =>
      put({
        kind: "end",
        mode,
        elapsedMs,
        ...statistics.summary(),
        ...(error && { error: error.message }),
      }),
    failed: (reason) => put({ kind: "error", error: reason }),
  };
}

/** What a person can do about it. */
function adviceFor(error: Error): string {
  if (!(error instanceof WebTransportError)) return "";
  if (error.kind === "timeout") {
    return ". Is a server running there (deno task pingpong:server), and does UDP get through? --mode auto falls back to WebSocket";
  }
  if (error.kind === "certificate") {
    return ". Give the server's certificate hash with --pin (gen-certs writes it to cert.sha256), or its authority with --ca. --insecure believes anyone, by the certificate that the server shows on its TCP port (--websocket-port); where it has none, Deno itself must be told: deno run --unsafely-ignore-certificate-errors --unstable-net --allow-net --allow-read --allow-env pingpong/client.ts --insecure";
  }
  if (error.status === 401) return ". Give the server's token with --token-file";
  return "";
}

/** Keeps an answer's text on its line and the terminal unharmed. */
function oneLine(text: string): string {
  // deno-lint-ignore no-control-regex -- these are what is looked for
  const plain = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, "\ufffd");
  return plain.length > 64 ? `${plain.slice(0, 64)}…` : plain;
}

function parseName(text: string): string {
  if (!isClientName(text)) {
    throw new InvalidArgumentError("Give 8 to 64 letters, digits or any of . _ ~ -");
  }
  return text;
}

/** The flags whose names have no unit give milliseconds, too. */
type ClientFlags = Omit<PingpongClientOptions, "intervalMs" | "deadlineMs"> & {
  interval: number;
  deadline?: number;
};

/** The client as a program: ends by itself, and on a signal tells its figures first. */
function startClient(
  { interval, deadline, ...flags }: ClientFlags,
  context: ServiceContext,
): Promise<Service> {
  const options = {
    ...flags,
    intervalMs: interval,
    ...(deadline !== undefined && { deadlineMs: deadline }),
  };
  const run = runPingpongClient(options, context, stdoutLines.write, context.stopping);
  const finished = run.then(({ exitCode }) => exitCode);
  return Promise.resolve({
    finished,
    async stop() {
      await finished;
    },
  });
}

async function main(): Promise<void> {
  const command = commandLine({
    name: "pingpong-client",
    summary: "Pings over WebTransport and WebSocket, with ping's figures, through every outage.",
    examples: [
      ["deno task pingpong:client", "three pings to the server on this machine"],
      ["deno task pingpong:client --mode all --ping-count 100", "every mode, one after the other"],
      [
        "deno task pingpong:client --host https://ping.example:4433/ --pin cert.sha256",
        "elsewhere, its certificate pinned",
      ],
      ["deno task pingpong:client --discover ping.example", "find servers by DNS, take the best"],
      ["deno task pingpong:client --ping-count 0 --interval 1 --json", "for ever, for a program"],
    ],
  })
    .addOption(flag("--host <host>", "host name, address or URL").default("127.0.0.1"))
    .addOption(flag("--port <port>", "UDP port").argParser(parsePort).default(4433))
    .addOption(
      flag("--websocket-port <port>", "TCP port of WebSocket (default: as --port)")
        .argParser(parsePort),
    )
    .addOption(
      flag("--mode <mode>", "how pings travel; auto falls back to WebSocket, all tries each")
        .choices(modeChoices).default("bidi" as const),
    )
    .addOption(
      flag("--ping-count <count>", "pings to send in each mode, 0 for no end")
        .argParser(parseInteger()).default(3),
    )
    .addOption(
      flag("--interval <seconds>", "time from one ping to the next at least")
        .argParser(parseDuration({ unit: "s", maxMs: 86_400_000 })).default(0),
    )
    .addOption(
      flag("--size <bytes>", "length of a ping's text (default: 5)")
        .argParser(parseInteger({ max: 1_000_000 })),
    )
    .addOption(
      flag("--concurrency <count>", "pings unanswered at once")
        .argParser(parseInteger({ min: 1, max: 1_000 })).default(1),
    )
    .addOption(
      flag("--deadline <seconds>", "time for the whole run (default: no limit)")
        .argParser(parseDuration({ unit: "s", minMs: 1, maxMs: 2_000_000_000 })),
    )
    .addOption(
      flag("--timeout-ms <ms>", "a datagram's ping is lost after this")
        .argParser(parseDuration({ unit: "ms", minMs: 1, maxMs: 3_600_000 })).default(1_000),
    )
    .addOption(flag("--stream-per-ping", "a stream for every ping instead of one for all"))
    .addOption(
      flag("--pin <hash>", "the certificate's SHA-256, or a file with it (default: cert.sha256)"),
    )
    .addOption(flag("--ca <file>", "trust this authority (PEM)"))
    .addOption(flag("--insecure", "believe any certificate"))
    .addOption(flag("--token-file <file>", "show the server the token in this file"))
    .addOption(
      flag("--name <name>", "the name answers are kept for (default: a new one)")
        .argParser(parseName),
    )
    .addOption(
      flag(
        "--discover <where>",
        "find servers: a domain (DNS SRV), 'mdns', 'headless:<service>:<port>', or an https:// URL",
      ),
    )
    .addOption(flag("--json", "print a JSON object a line"))
    .addOption(flag("--quiet", "print no line a pong"))
    .addOption(
      flag("--connect-timeout-ms <ms>", "time a connection may take")
        .argParser(parseDuration({ unit: "ms", minMs: 10, maxMs: 600_000 })).default(3_000),
    )
    .addOption(
      flag("--retries <count>", "attempts after a failed one, if there never was a connection")
        .argParser(parseInteger({ max: 1_000_000 })).default(3),
    )
    .addOption(
      flag("--retry-base-delay-ms <ms>", "wait before the first of them; it doubles up to 5 s")
        .argParser(parseDuration({ unit: "ms", minMs: 1, maxMs: 5_000 })).default(1_000),
    )
    .addOption(
      flag("--outage-budget-ms <ms>", "time outages may take in sum, until a stable connection")
        .argParser(parseDuration({ unit: "ms", minMs: 1 })).default(120_000),
    )
    .addOption(
      flag("--stable-after-ms <ms>", "time after which a connection counts as stable")
        .argParser(parseDuration({ unit: "ms", minMs: 1 })).default(5_000),
    )
    .addOption(
      flag("--heartbeat-ms <ms>", "time between probes of a silent server")
        .argParser(parseDuration({ unit: "ms", minMs: 10, maxMs: 60_000 })).default(500),
    )
    .addOption(
      flag("--heartbeat-timeout-ms <ms>", "a server silent for so long counts as dead")
        .argParser(parseDuration({ unit: "ms", minMs: 100, maxMs: 600_000 })).default(2_000),
    );
  await runService(command, startClient, { stdout: "data" });
}

if (import.meta.main) await main();
