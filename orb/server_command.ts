/**
 * The orb server's command line.
 *
 * @module
 */
import {
  commandLine,
  flag,
  parseByteCount,
  parseDuration,
  parseHttpUrl,
  parseInteger,
  parseNumber,
} from "../service/command_line.ts";
import { guardFlags } from "../service/http_guard.ts";
import { hostFlags, portFlag } from "../service/http_server.ts";
import { withAccessFlags } from "./auth/open_access.ts";
import { withQueueBusFlags } from "./stores/bus/open_queue_bus.ts";
import { withStoreFlags } from "./stores/open_stores.ts";
import { parseThreshold, uniquenessModes } from "./uniqueness/uniqueness.ts";

/** Its flags are the options of `startOrbServer()`. */
export function orbServerCommand() {
  const command = withFleetFlags(withUniquenessFlags(withLimits(networkCommand())));
  return withAccessFlags(withQueueBusFlags(withStoreFlags(command)));
}

// Each function takes what the one before gives: with type parameters instead, checking takes minutes.

function networkCommand() {
  return commandLine({
    name: "orb-server",
    summary: "The Virtual Orb's back-end: every image may sign up once and gets its token.",
    examples: [
      ["orb-server", "listen on 127.0.0.1:4242, tokens in the data folder of this system"],
      ["orb-server --orb-api-port 0 --data-dir ./orb-data", "a free port, tokens in ./orb-data"],
      [
        "orb-server --database-url postgres://orb@db/orb --s3-endpoint https://s3.example",
        "one of several that share records and images",
      ],
      ["orb-server --allowed-host orb.example", "also for who asks by that name, as a proxy does"],
      ["orb-server --oauth-issuer https://login.example --host 0.0.0.0", "who calls needs a token"],
      ["orb-server --device-keys ./devices.jwks.json", "tokens for devices that sign a challenge"],
      ["OTEL_SDK_DISABLED=true orb-server", "without telemetry"],
    ],
  })
    .addOption(portFlag("--orb-api-port <port>", "port of the API; 0 takes a free one", 4242))
    .addOption(hostFlags.host())
    .addOption(hostFlags.allowRemoteWithoutAuth())
    .addOption(guardFlags.allowedHost())
    .addOption(guardFlags.allowedOrigin());
}

/** What one request, one device and all together may take. */
function withLimits(command: ReturnType<typeof networkCommand>) {
  return command
    .addOption(
      flag("--max-body <bytes>", "the most bytes of one body; beyond it 413")
        .argParser(parseByteCount).default(10 * 1024 ** 2, "10MiB"),
    )
    .addOption(
      flag("--body-timeout-ms <ms>", "how long a body may take to arrive; beyond it 408")
        .argParser(parseDuration({ unit: "ms", minMs: 1 })).default(30_000),
    )
    .addOption(
      flag("--max-buffered-bytes <bytes>", "the most bytes of all bodies under way; beyond it 503")
        .argParser(parseByteCount).default(256 * 1024 ** 2, "256MiB"),
    )
    .addOption(
      flag("--max-requests <number>", "requests under way at once; beyond it 503")
        .argParser(parseInteger({ min: 1 })).default(1024),
    )
    .addOption(
      flag("--max-queued-signups <number>", "signups that may wait for the disk; beyond it 503")
        .argParser(parseInteger({ min: 1 })).default(512),
    )
    .addOption(
      flag(
        "--max-pending-signups <number>",
        "v2 signups that may wait for a decision; beyond it 503",
      )
        .argParser(parseInteger({ min: 1 })).default(10_000),
    )
    .addOption(
      flag(
        "--signup-workers <number>",
        "v2 signups decided at once; 0 leaves them to other servers",
      )
        .argParser(parseInteger({ max: 1_000 })).default(8),
    )
    .addOption(
      flag("--device-rate <number>", "v2 signups a second of one device; beyond it 429")
        .argParser(parseNumber({ min: .001 })).default(10),
    )
    .addOption(
      flag("--device-burst <number>", "v2 signups of one device at once; beyond it 429")
        .argParser(parseInteger({ min: 1 })).default(50),
    );
}

function withUniquenessFlags(command: ReturnType<typeof withLimits>) {
  return command
    .addOption(
      flag("--uniqueness <mode>", "how v2 images are compared: bytes, looks, or irises")
        .choices(uniquenessModes).default("exact" as const),
    )
    .addOption(
      flag(
        "--uniqueness-threshold <number>",
        "how much images that are the same may differ: bits of 64 (default 6), or for irises a share (default 0.32)",
      ).argParser(parseThreshold),
    )
    .addOption(
      flag("--uniqueness-threads <number>", "threads that look into images")
        .argParser(parseInteger({ min: 1, max: 64 })).default(1),
    );
}

function withFleetFlags(command: ReturnType<typeof withUniquenessFlags>) {
  return command
    .addOption(
      flag(
        "--orb-offline-after-ms <ms>",
        "without a report for so long an orb is silent, unless it named its interval",
      ).argParser(parseDuration({ unit: "ms", minMs: 1_000 })).default(90_000),
    )
    .addOption(
      flag(
        "--slack-webhook-url <url>",
        "an incoming webhook that gets events of server and devices",
      )
        .argParser(parseHttpUrl),
    );
}
