/**
 * The console's command line.
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
  parsePort,
} from "../service/command_line.ts";
import { guardFlags, parseOrigins } from "../service/http_guard.ts";
import { hostFlags, portFlag } from "../service/http_server.ts";
import { diskStoreDefaults } from "./disk/disk_store.ts";
import { usualOtlpPort } from "./console_ports.ts";
import type { ConsoleLimits } from "./page_api/stream_events.ts";
import { defaultLimits } from "./stores/telemetry_store.ts";

function count<Usage extends `--${string} <count>`>(
  usage: Usage,
  description: string,
  limit: keyof ConsoleLimits,
) {
  return flag(usage, description).argParser(parseInteger({ min: 1 })).default(defaultLimits[limit]);
}

function bytes<Usage extends `--${string} <bytes>`>(
  usage: Usage,
  description: string,
  limit: keyof ConsoleLimits,
) {
  return flag(usage, description).argParser(parseByteCount).default(defaultLimits[limit]);
}

/** Makes it. */
export function consoleCommand() {
  return commandLine({
    name: "console",
    summary:
      "Takes in OpenTelemetry traces, metrics and logs by OTLP and shows them on a live page.",
    examples: [
      ["deno task console", "OTLP on 4318, page on http://127.0.0.1:8080"],
      [
        "deno task console --page-port 0 --otlp-port 0",
        "on free ports, printed in the first log line",
      ],
      ["deno task console --forward http://collector:4318", "pass everything on to a collector"],
      ["deno task console --store console.sqlite", "have it again after a restart"],
      ["deno task console --max-spans 500000 --max-held-bytes 1GiB", "hold more"],
    ],
  })
    .addOption(hostFlags.host())
    .addOption(hostFlags.allowRemoteWithoutAuth())
    .addOption(
      flag(
        "--token-file <file>",
        "file with the token that senders and pages show, made if there is none; beyond loopback, without it, the page tells the token of this run",
      ),
    )
    .addOption(guardFlags.allowedHost())
    .addOption(hostFlags.basePath())
    .addOption(portFlag("--otlp-port <port>", "port of the OTLP/HTTP receiver", usualOtlpPort))
    .addOption(
      flag(
        "--grpc-port <port>",
        "port of the OTLP/gRPC receiver; 4317, or a free one beside another --otlp-port",
      ).argParser(parsePort),
    )
    .addOption(portFlag("--page-port <port>", "port of the page, the API and /metrics", 8080))
    .addOption(
      flag("--forward <url...>", "other OTLP/HTTP endpoints that get every accepted request")
        .argParser((text: string, before: readonly string[] = []) => [
          ...before,
          ...text.split(/[\s,]+/).filter((one) => one !== "").map(parseHttpUrl),
        ]),
    )
    .addOption(
      flag(
        "--cors-origin <origin...>",
        "origins of web pages that may send telemetry, such as https://shop.example; * for all",
      ).argParser(parseOrigins({ any: true })),
    )
    .addOption(
      flag(
        "--programs <file>",
        "JSON file with the programs that run beside it, as the demo writes",
      ),
    )
    .addOption(
      flag("--store <file>", "SQLite file that keeps what was taken in for the next start"),
    )
    .addOption(
      flag("--store-sync-interval <ms>", "how often it is written: what a killed console may lose")
        .argParser(parseDuration({ unit: "ms", minMs: 10, maxMs: 3_600_000 }))
        .default(diskStoreDefaults.syncIntervalMs),
    )
    .addOption(
      flag("--store-max-bytes <bytes>", "bytes of requests in it; the oldest go")
        .argParser(parseByteCount).default(diskStoreDefaults.maxBytes),
    )
    .addOption(
      flag("--store-max-age <seconds>", "how old a request in it may become")
        .argParser(parseDuration({ unit: "s", minMs: 1_000 })).default(diskStoreDefaults.maxAgeMs),
    )
    .addOption(count("--max-spans <count>", "spans held", "maxSpans"))
    .addOption(count("--max-traces <count>", "traces held", "maxTraces"))
    .addOption(count("--max-spans-per-trace <count>", "spans of one trace", "maxSpansPerTrace"))
    .addOption(count("--max-logs <count>", "log records held", "maxLogs"))
    .addOption(count("--max-series <count>", "metric series held", "maxSeries"))
    .addOption(
      count("--max-points-per-series <count>", "points of one series", "maxPointsPerSeries"),
    )
    .addOption(count("--max-services <count>", "services listed", "maxServices"))
    .addOption(
      count("--max-value-length <count>", "characters of an attribute's value", "maxValueLength"),
    )
    .addOption(
      count(
        "--max-attributes <count>",
        "attributes of a span, record or resource",
        "maxAttributes",
      ),
    )
    .addOption(
      count("--max-events-per-span <count>", "events, and links, of a span", "maxEventsPerSpan"),
    )
    .addOption(bytes("--max-held-bytes <bytes>", "estimated bytes held at all", "maxHeldBytes"))
    .addOption(bytes("--max-body-bytes <bytes>", "bytes of a request's body", "maxBodyBytes"))
    .addOption(
      bytes(
        "--max-decompressed-bytes <bytes>",
        "bytes of a request's body once decompressed",
        "maxDecompressedBytes",
      ),
    );
}
