#!/usr/bin/env -S deno run --v8-flags=--no-allocation-site-pretenuring --unstable-net --allow-net --allow-read --allow-write --allow-sys=networkInterfaces --allow-env=OTEL_*,PINGPONG_SERVER_*,WS_NO_BUFFER_UTIL,WS_NO_UTF_8_VALIDATE
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
 * The V8 flag keeps what lives from one ping to the next out of the old space; its measured reason is in
 * `programs.ts`.
 *
 * @module
 */
import {
  commandLine,
  flag,
  InvalidArgumentError,
  parseDuration,
  parseInteger,
} from "../service/command_line.ts";
import { guardFlags, parseOrigins } from "../service/http_guard.ts";
import { hostFlags, portFlag } from "../service/http_server.ts";
import { runService } from "../service/life_cycle.ts";
import { isInstanceName } from "./discovery/announcement.ts";
import { startPingpongServer } from "./server/pingpong_server.ts";

export {
  type PingpongServer,
  type PingpongServerOptions,
  startPingpongServer,
} from "./server/pingpong_server.ts";

function parseInstance(text: string): string {
  if (!isInstanceName(text)) {
    throw new InvalidArgumentError("Give 1 to 63 bytes without a dot, such as a host's short name");
  }
  return text;
}

/** Where it listens, with which certificate, and who gets in. */
function emptyCommand() {
  return commandLine({
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
      flag("--certificate-poll-ms <ms>", "how often both files are read")
        .argParser(parseDuration({ unit: "ms", minMs: 50, maxMs: 3_600_000 })).default(1_000),
    )
    .addOption(flag("--token-file <file>", "clients must show the token in this file"))
    .addOption(guardFlags.allowedHost())
    .addOption(guardFlags.allowedOrigin())
    // The first name of --allowed-origin.
    .addOption(
      flag("--allow-origin <origin...>", "as --allowed-origin").argParser(parseOrigins())
        .hideHelp(),
    );
}

/** What it does for its clients, and within which limits. */
function makeCommand() {
  return emptyCommand()
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
}

async function main(): Promise<void> {
  await runService(makeCommand(), startPingpongServer);
}

if (import.meta.main) await main();
