#!/usr/bin/env -S deno run --unstable-net --allow-net --allow-read --allow-sys=networkInterfaces --allow-env=OTEL_*,PINGPONG_CLIENT_*,LANG,LC_ALL,LC_CTYPE,WS_NO_BUFFER_UTIL,WS_NO_UTF_8_VALIDATE
/**
 * `ping` for WebTransport: over a two-way stream, one-way streams, datagrams or WebSocket, with
 * ping's figures, through every outage of server and network.
 *
 * Exports {@linkcode runPingpongClient}; can also be used as a CLI:
 *
 * ```sh
 * deno task pingpong:client                                # three pings, as the original
 * deno task pingpong:client ping.example                   # one a second until Ctrl-C, as ping
 * deno task pingpong:client --mode all --ping-count 100
 * deno task pingpong:client https://ping.example:4433/ --pin cert.sha256 --json
 * ```
 *
 * Answers and figures go to stdout, failures and warnings to stderr; with `--json` all goes to
 * stdout. Exit codes: 0 all pings answered, 1 some lost or not sent before the deadline, 2 no
 * server, it could not go on, wrong use, or stdout cannot be written, 141 the reader of stdout has
 * ended (as SIGPIPE ends others).
 *
 * @module
 */
import {
  commandLine,
  flag,
  InvalidArgumentError,
  parseDuration,
  parseInteger,
  parsePort,
} from "../service/command_line.ts";
import { runService, type Service, type ServiceContext } from "../service/life_cycle.ts";
import { DataOutput } from "../service/data_output.ts";
import { stderrLines } from "../service/log.ts";
import {
  modeChoices,
  type PingpongClientOptions,
  type PingpongClientOutput,
  runPingpongClient,
} from "./client/run.ts";
import { isClientName } from "./protocol/session_terms.ts";

export {
  modeChoices,
  type PingpongClientContext,
  type PingpongClientOptions,
  type PingpongClientOutput,
  type PingpongClientResult,
  runPingpongClient,
} from "./client/run.ts";

function parseName(text: string): string {
  if (!isClientName(text)) {
    throw new InvalidArgumentError("Give 8 to 64 letters, digits or any of . _ ~ -");
  }
  return text;
}

/** The flags whose names have no unit give milliseconds, too. */
type ClientFlags = Omit<PingpongClientOptions, "intervalMs" | "deadlineMs" | "family"> & {
  interval?: number;
  flood?: true;
  deadline?: number;
  timeout?: number;
  ipv4?: true;
  ipv6?: true;
};

/**
 * The run that a command line asks for. With a host as its argument it is `ping`'s: without end, a
 * ping a second. Without, it is the original's: three pings, each after the last pong.
 */
function optionsOf(flags: ClientFlags, argument: string | undefined): PingpongClientOptions {
  const { interval, flood, deadline, timeout, ipv4, ipv6, ...options } = flags;
  const asPing = argument !== undefined;
  const timeoutMs = timeout ?? options.timeoutMs;
  return {
    ...options,
    ...(asPing && { host: argument }),
    pingCount: options.pingCount ?? (asPing ? 0 : 3),
    intervalMs: flood ? 0 : interval ?? (asPing ? 1_000 : 0),
    ...(deadline !== undefined && { deadlineMs: deadline }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...((ipv4 || ipv6) && { family: ipv4 ? 4 : 6 }),
  };
}

/** What the terminal is like, and what SIGQUIT prints: the figures so far, as ping does. */
function outputOf(data: DataOutput): PingpongClientOutput {
  if (Deno.build.os === "windows") return { ...outputTo(data) };
  let interim: () => string = () => "no ping yet";
  Deno.addSignalListener("SIGQUIT", () => stderrLines.write(interim()));
  return { ...outputTo(data), onInterim: (line) => interim = line };
}

function outputTo(data: DataOutput): PingpongClientOutput {
  const terminal = Deno.stdout.isTerminal();
  return {
    data: data.write,
    talk: stderrLines.write,
    room: data.room,
    plain: !hasUnicode(),
    ...(terminal && { columns: Deno.consoleSize().columns }),
  };
}

/**
 * Whether the locale's characters are Unicode's (POSIX: `LC_ALL` before `LC_CTYPE` before `LANG`); a
 * client that may not read them, as a probe in a container, goes on as without them.
 */
function hasUnicode(): boolean {
  const isReadable = (variable: string) =>
    Deno.permissions.querySync({ name: "env", variable }).state === "granted";
  const locale = ["LC_ALL", "LC_CTYPE", "LANG"].filter(isReadable).map((name) => Deno.env.get(name))
    .find((value) => value !== undefined && value !== "");
  return locale === undefined || /utf-?8/i.test(locale);
}

/** The client as a program: ends by itself, and on a signal prints its figures first. */
function startClient(
  flags: ClientFlags,
  argument: string | undefined,
  context: ServiceContext,
): Promise<Service> {
  const data = new DataOutput(Deno.stdout);
  const signal = AbortSignal.any([context.stopping, data.ended]);
  const run = runPingpongClient(optionsOf(flags, argument), context, outputOf(data), signal);
  const finished = run.then(async ({ exitCode }) => {
    await data.flush();
    if (data.error === undefined) return exitCode;
    // A reader that has what it wanted, as `head`, is no failure to report.
    if (data.error.kind === "failed") stderrLines.write(`pingpong-client: ${data.error.message}`);
    return data.error.exitCode;
  });
  return Promise.resolve({
    finished,
    async stop() {
      await finished;
    },
  });
}

function emptyCommand() {
  return commandLine({
    name: "pingpong-client",
    summary: "Pings over WebTransport and WebSocket, with ping's figures, through every outage.",
    examples: [
      ["deno task pingpong:client", "three pings to the server on this machine"],
      ["deno task pingpong:client ping.example", "a ping a second until Ctrl-C, as ping"],
      ["deno task pingpong:client --mode all --ping-count 100", "every mode, one after the other"],
      [
        "deno task pingpong:client https://ping.example:4433/ --pin cert.sha256",
        "elsewhere, its certificate pinned",
      ],
      ["deno task pingpong:client --discover ping.example", "find servers by DNS, take the best"],
      ["deno task pingpong:client ::1 -i 200ms -w 1m --json", "for a minute, for a program"],
    ],
  })
    .argument("[host]", "as --host; pings it as ping does, once a second without end");
}

/** Where the server is, and how pings travel. */
function withTarget(command: ReturnType<typeof emptyCommand>) {
  return command
    .addOption(
      flag("--host <host>", "host name, address, host:port or URL (default: 127.0.0.1)"),
    )
    .addOption(flag("--port <port>", "UDP port (default: 4433)").argParser(parsePort))
    .addOption(
      flag("--websocket-port <port>", "TCP port of WebSocket (default: as --port)")
        .argParser(parsePort),
    )
    .addOption(
      flag("--mode <mode>", "how pings travel; auto falls back to WebSocket, all tries each")
        .choices(modeChoices).default("bidi" as const),
    );
}

/** How many pings, when, and for how long. */
function withPace(command: ReturnType<typeof withTarget>) {
  return command
    .addOption(
      flag(
        "-c, --ping-count <count>",
        "pings to send in each mode, 0 for no end (default: 3; no end for a host as argument)",
      ).argParser(parseInteger()),
    )
    .addOption(
      flag(
        "-i, --interval <seconds>",
        "time from one ping to the next (default: none; 1 for a host as argument)",
      ).argParser(parseDuration({ unit: "s", maxMs: 86_400_000 })),
    )
    .addOption(
      flag("-f, --flood", "no time between pings: each as soon as there is room")
        .conflicts("interval"),
    )
    .addOption(
      flag("-s, --size <bytes>", "length of a ping's text, and of its pong's (default: 5)")
        .argParser(parseInteger({ max: 1_000_000 })),
    )
    .addOption(
      flag(
        "--concurrency <count>",
        "pings unanswered at once (default: 1; 1,000 with an interval)",
      ).argParser(parseInteger({ min: 1, max: 1_000 })),
    )
    .addOption(
      flag("-w, --deadline <seconds>", "time for the whole run (default: no limit)")
        .argParser(parseDuration({ unit: "s", minMs: 1, maxMs: 2_000_000_000 })),
    )
    .addOption(
      flag("-W, --timeout <seconds>", "a datagram's ping is lost after this (default: 1)")
        .argParser(parseDuration({ unit: "s", minMs: 1, maxMs: 3_600_000 })),
    )
    .addOption(
      flag("--timeout-ms <ms>", "the same, in milliseconds").conflicts("timeout")
        .argParser(parseDuration({ unit: "ms", minMs: 1, maxMs: 3_600_000 })),
    )
    .addOption(flag("-4, --ipv4", "IPv4 addresses only").conflicts("ipv6"))
    .addOption(flag("-6, --ipv6", "IPv6 addresses only"))
    .addOption(flag("--stream-per-ping", "a stream for every ping instead of one for all"));
}

/** Whom it believes, and who it is itself. */
function withTrust(command: ReturnType<typeof withPace>) {
  return command
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
    );
}

/** What it prints. */
function withOutput(command: ReturnType<typeof withTrust>) {
  return command
    .addOption(flag("--json", "print a JSON object a line"))
    .addOption(flag("-q, --quiet", "print no line a pong"))
    .addOption(flag("-D, --timestamps", "print the time in front of each line"))
    .addOption(flag("--histogram", "draw a histogram (default: for 20 measured pings or more)"))
    .addOption(flag("--no-histogram", "draw none"));
}

/** What it does about outages. */
function withRecovery(command: ReturnType<typeof withOutput>) {
  return command
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
}

function makeCommand() {
  return withRecovery(withOutput(withTrust(withPace(withTarget(emptyCommand())))));
}

async function main(): Promise<void> {
  const command = makeCommand();
  command.hook("preAction", () => {
    const { host } = command.opts();
    if (command.args.length > 0 && host !== undefined) {
      command.error(`error: give the host once: ${command.args[0]} or --host ${host}`);
    }
  });
  await runService(
    command,
    (flags, context) => startClient(flags, command.args[0], context),
    { stdout: "data", telemetry: "if-wanted" },
  );
}

if (import.meta.main) await main();
