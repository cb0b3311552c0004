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
import {
  commandLine,
  flag,
  InvalidArgumentError,
  parseDuration,
  parseInteger,
  parsePort,
} from "../service/command_line.ts";
import { runService, type Service, type ServiceContext } from "../service/life_cycle.ts";
import { stdoutLines } from "../service/log.ts";
import { modeChoices, type PingpongClientOptions, runPingpongClient } from "./client/run.ts";
import { isClientName } from "./protocol/session_terms.ts";

export {
  modeChoices,
  type PingpongClientContext,
  type PingpongClientOptions,
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
type ClientFlags = Omit<PingpongClientOptions, "intervalMs" | "deadlineMs"> & {
  interval: number;
  deadline?: number;
};

/** The client as a program: ends by itself, and on a signal prints its figures first. */
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
  await runService(command, startClient, { stdout: "data", telemetry: "if-wanted" });
}

if (import.meta.main) await main();
