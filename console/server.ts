#!/usr/bin/env -S deno run --allow-net --allow-read=dist/pages --allow-env=CONSOLE_*
/**
 * The console: an OpenTelemetry collector and viewer in one process, for one machine. It takes in
 * traces, metrics and logs by OTLP/HTTP, keeps the newest within stated limits, shows them on a
 * live page, answers Jaeger's query API and Prometheus's scrapes, and passes everything on to
 * another collector if asked to.
 *
 * Exports {@linkcode startConsole}; can also be used as a CLI:
 *
 * ```sh
 * deno task console                                      # OTLP on 4318, page on 8080
 * deno task console --forward http://collector:4318      # and pass everything on
 * deno task console --max-spans 500000 --max-held-bytes 1GiB
 * ```
 *
 * It sends no telemetry of its own: its counters are in `/metrics`, `/api/stats` and among the
 * metrics it shows, as `orrery.console.*`.
 *
 * @module
 */
import { Hono } from "hono";
import {
  commandLine,
  flag,
  parseByteCount,
  parseHttpUrl,
  parseInteger,
} from "../service/command_line.ts";
import { healthRoutes } from "../service/health.ts";
import { hostFlags, type HttpServer, listen, portFlag } from "../service/http_server.ts";
import {
  runService,
  type Service,
  type ServiceContext,
  StartError,
} from "../service/life_cycle.ts";
import { pageRoutes } from "../service/page/assets.ts";
import { problemNotFound, problemOnError } from "../service/problem.ts";
import { version } from "../service/version.ts";
import { type ConsoleLimits, pagePaths, type StatsEvent } from "./page_api/api.ts";
import { Forwarder } from "./forwarder.ts";
import { LiveStream } from "./page_api/live_stream.ts";
import { otlpReceiver } from "./intake/otlp_receiver.ts";
import { recordOwnMetrics } from "./own_metrics.ts";
import { pageApi } from "./page_api/page_api.ts";
import { pageGuard } from "./page_guard.ts";
import { prometheusContentType, prometheusText } from "./queries/prometheus_text.ts";
import { defaultLimits, TelemetryStore } from "./stores/telemetry_store.ts";

/** Options of {@linkcode startConsole}; the limits are {@linkcode ConsoleLimits}, each with a default. */
export interface ConsoleOptions extends Partial<ConsoleLimits> {
  /** Address of both ports. @default "127.0.0.1" */
  host?: string;
  /** Lets it listen beyond loopback, and answer to any host name. Nobody has to authenticate. @default false */
  allowRemoteWithoutAuth?: true;
  /** Port of the OTLP receiver; 0 takes a free one. */
  otlpPort: number;
  /** Port of the page, the API and `/metrics`; 0 takes a free one. */
  pagePort: number;
  /** Another OTLP/HTTP endpoint that gets every accepted request. @default none */
  forward?: string;
  /** Origins of web pages that may send telemetry; `*` for all. @default none */
  corsOrigin?: string[];
}

/** A running console. */
export interface ConsoleService extends Service {
  /** Where telemetry is sent to, such as `http://127.0.0.1:4318`. */
  readonly otlpUrl: string;
  /** Where the page is. */
  readonly pageUrl: string;
}

const ownMetricsIntervalMs = 5_000;

/**
 * Starts the console.
 *
 * @throws {StartError} a port is taken, or `forward` is the console itself.
 */
export async function startConsole(
  options: ConsoleOptions,
  context: Pick<ServiceContext, "health" | "log">,
): Promise<ConsoleService> {
  const { host = "127.0.0.1", forward, corsOrigin = [] } = options;
  const { health, log } = context;
  const startedMs = Date.now();
  const instance = crypto.randomUUID();
  const store = new TelemetryStore(limitsOf(options));
  const forwarder = forward === undefined ? undefined : new Forwarder({ endpoint: forward, log });
  const receiver = otlpReceiver({
    store,
    log,
    forward: forwarder && ((request) => forwarder.enqueue(request)),
    corsOrigins: corsOrigin,
  });

  function stats(): StatsEvent {
    const { accepted, refused, bytes } = receiver.counters;
    return {
      atMs: Date.now(),
      uptimeMs: Date.now() - startedMs,
      ...store.signalStats(),
      requests: { accepted, refused: Object.fromEntries(refused), bytes },
      memory: {
        rssBytes: Deno.memoryUsage().rss,
        heldBytes: store.heldBytes,
        limitBytes: store.limits.maxHeldBytes,
      },
      streams: stream.clients,
      forward: forwarder?.stats() ?? null,
    };
  }

  const stream: LiveStream = new LiveStream({
    store,
    stats,
    hello: () => ({
      instance,
      version,
      startedMs,
      otlpEndpoint: otlp.url,
      limits: store.limits,
    }),
  });
  const recordOwn = () => recordOwnMetrics(store.ownMetrics, stats());
  const ownTimer = setInterval(recordOwn, ownMetricsIntervalMs);

  const page = new Hono();
  page.onError(problemOnError(log));
  page.notFound(problemNotFound);
  // Outside of the guard: an orchestrator asks by whatever name it knows.
  page.route("/", healthRoutes(health));
  page.use(pageGuard({ host, anyHost: options.allowRemoteWithoutAuth === true }));
  page.get("/metrics", () => {
    recordOwn();
    return new Response(prometheusText(store.metricFamilies()), {
      headers: { "content-type": prometheusContentType },
    });
  });
  page.route("/", pageApi({ store, stream, stats }));
  page.route("/", pageRoutes("console", { routes: Object.values(pagePaths) }));

  let otlp: HttpServer;
  let pages: HttpServer;
  try {
    const shared = {
      host,
      ...(options.allowRemoteWithoutAuth && { allowRemoteWithoutAuth: true }),
    };
    otlp = listen(receiver.app.fetch, {
      ...shared,
      port: options.otlpPort,
      portFlag: "--otlp-port",
    });
    try {
      refuseOwnEndpoint(forward, otlp);
      pages = listen(page.fetch, { ...shared, port: options.pagePort, portFlag: "--page-port" });
    } catch (error) {
      await otlp.stop(AbortSignal.abort());
      throw error;
    }
  } catch (error) {
    clearInterval(ownTimer);
    stream.stop();
    throw error;
  }

  health.set("otlp", "ok");
  log.info("The console is ready", {
    page: pages.url,
    otlp: otlp.url,
    ...(forwarder && { forward: forwarder.endpoint }),
  });
  return {
    otlpUrl: otlp.url,
    pageUrl: pages.url,
    async stop(deadline) {
      clearInterval(ownTimer);
      stream.stop();
      await Promise.all([otlp.stop(deadline), pages.stop(deadline)]);
      await forwarder?.stop(deadline);
    },
  };
}

function limitsOf(options: ConsoleOptions): ConsoleLimits {
  const limits = { ...defaultLimits };
  for (const name of Object.keys(limits) as (keyof ConsoleLimits)[]) {
    limits[name] = options[name] ?? limits[name];
  }
  return limits;
}

/** A console that forwards to itself would never come to rest. */
function refuseOwnEndpoint(forward: string | undefined, otlp: HttpServer): void {
  if (forward === undefined) return;
  const url = new URL(forward);
  const own = url.hostname === otlp.host || url.hostname === "localhost" ||
    url.origin === new URL(otlp.url).origin;
  if (own && Number(url.port || "80") === otlp.port) {
    throw new StartError(
      `Refuses to forward to ${forward}: that is this console's own receiver. Give another endpoint with --forward, or another port with --otlp-port.`,
    );
  }
}

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

async function main(): Promise<void> {
  const command = commandLine({
    name: "console",
    summary:
      "Takes in OpenTelemetry traces, metrics and logs by OTLP/HTTP and shows them on a live page.",
    examples: [
      ["deno task console", "OTLP on 4318, page on http://127.0.0.1:8080"],
      [
        "deno task console --page-port 0 --otlp-port 0",
        "on free ports, told in the first log line",
      ],
      ["deno task console --forward http://collector:4318", "pass everything on to a collector"],
      ["deno task console --max-spans 500000 --max-held-bytes 1GiB", "hold more"],
    ],
  })
    .addOption(hostFlags.host())
    .addOption(hostFlags.allowRemoteWithoutAuth())
    .addOption(portFlag("--otlp-port <port>", "port of the OTLP/HTTP receiver", 4318))
    .addOption(portFlag("--page-port <port>", "port of the page, the API and /metrics", 8080))
    .addOption(
      flag("--forward <url>", "another OTLP/HTTP endpoint that gets every accepted request")
        .argParser(parseHttpUrl),
    )
    .addOption(
      flag(
        "--cors-origin <origin...>",
        "origins of web pages that may send telemetry, such as https://shop.example; * for all",
      ),
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
  await runService(command, startConsole, { telemetry: false });
}

if (import.meta.main) await main();
