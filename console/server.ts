#!/usr/bin/env -S deno run --allow-net --allow-read=dist/pages --allow-env=CONSOLE_*
/**
 * The console: an OpenTelemetry collector and viewer in one process, for one machine. It takes in
 * traces, metrics and logs by OTLP/HTTP and OTLP/gRPC, keeps the newest up to stated limits, shows them on a
 * live page, answers Jaeger's query API and Prometheus's scrapes, and passes everything on to
 * another collector if asked to.
 *
 * Exports {@linkcode startConsole}; can also be used as a CLI:
 *
 * ```sh
 * deno task console                                      # OTLP on 4318 and 4317 (gRPC), page on 8080
 * deno task console --forward http://collector:4318      # and pass everything on
 * deno task console --max-spans 500000 --max-held-bytes 1GiB
 * ```
 *
 * It sends no telemetry of its own: its counters are in `/metrics`, `/api/stats` and among the
 * metrics it shows, as `orrery.console.*`.
 *
 * @module
 */
import type { Hono } from "hono";
import {
  commandLine,
  flag,
  parseByteCount,
  parseHttpUrl,
  parseInteger,
  parsePort,
} from "../service/command_line.ts";
import { httpApp } from "../service/http_app.ts";
import { guardFlags, parseOrigins, type Refusal } from "../service/http_guard.ts";
import { hostFlags, type HttpServer, listen, portFlag } from "../service/http_server.ts";
import {
  runService,
  type Service,
  type ServiceContext,
  StartError,
} from "../service/life_cycle.ts";
import { limitedLog } from "../service/limited_log.ts";
import { type OtlpGrpcServer, serveOtlpGrpc } from "../service/otlp/otlp_grpc.ts";
import { pageRoutes } from "../service/page/assets.ts";
import { problemResponse } from "../service/problem.ts";
import { version } from "../service/version.ts";
import type { TimerId } from "../service/world/world.ts";
import { pagePaths } from "./page_api/api.ts";
import type { ConsoleLimits, StatsEvent } from "./page_api/stream_events.ts";
import { Forwarder } from "./forwarder.ts";
import { LiveStream } from "./page_api/live_stream.ts";
import { consoleReceiver } from "./intake/console_receiver.ts";
import { recordOwnMetrics } from "./own_metrics.ts";
import { pageApi } from "./page_api/page_api.ts";
import {
  negotiatedEscaping,
  prometheusContentTypes,
  prometheusText,
} from "./queries/prometheus_text.ts";
import { defaultLimits, TelemetryStore } from "./stores/telemetry_store.ts";

/** Options of {@linkcode startConsole}; the limits are {@linkcode ConsoleLimits}, each with a default. */
export interface ConsoleOptions extends Partial<ConsoleLimits> {
  /** Address of all ports; loopback is both of its families. @default "127.0.0.1" and "::1" */
  host?: string;
  /** Lets it listen beyond loopback, where clients need not authenticate. @default false */
  allowRemoteWithoutAuth?: true;
  /** Host names it answers to, besides those of loopback and `host`. @default none */
  allowedHost?: readonly string[];
  /** Port of the OTLP receiver; 0 takes a free one. */
  otlpPort: number;
  /** Port of OTLP/gRPC; 0 takes a free one. @default 4317 if `otlpPort` is 4318, else a free one */
  grpcPort?: number;
  /** Port of the page, the API and `/metrics`; 0 takes a free one. */
  pagePort: number;
  /** Other OTLP/HTTP endpoints that get every accepted request. @default none */
  forward?: string | readonly string[];
  /** Origins of web pages that may send telemetry; `*` for all. @default none */
  corsOrigin?: string[];
}

/** A running console. */
export interface ConsoleService extends Service {
  /** Where telemetry is sent to, such as `http://127.0.0.1:4318`. */
  readonly otlpUrl: string;
  /** Where OTLP/gRPC is served, such as `127.0.0.1:4317`; empty if its usual port was taken. */
  readonly grpcAddress: string;
  /** Where the page is. */
  readonly pageUrl: string;
}

const ownMetricsIntervalMs = 5_000;
const usualOtlpPort = 4318;
const usualGrpcPort = 4317;

/** What the console takes from its life cycle. */
export type ConsoleContext = Pick<ServiceContext, "health" | "log" | "world">;

/**
 * Starts the console.
 *
 * @throws {StartError} a port is taken, or `forward` is the console itself.
 *
 * @example
 * ```ts
 * const service = await startConsole({ otlpPort: 0, pagePort: 0 }, context);
 * log.info("Send telemetry here", { otlp: service.otlpUrl, page: service.pageUrl });
 * await service.stop(AbortSignal.timeout(2_000));
 * ```
 */
export async function startConsole(
  options: ConsoleOptions,
  context: ConsoleContext,
): Promise<ConsoleService> {
  const service = new RunningConsole(options, context);
  try {
    await service.listen();
  } catch (error) {
    await service.stop(AbortSignal.abort());
    throw error;
  }
  return service;
}

/** The parts of a console: receiver, store, live stream, page. */
class RunningConsole implements ConsoleService {
  readonly #options: ConsoleOptions;
  readonly #context: ConsoleContext;
  readonly #startedMs: number;
  readonly #instance: string;
  readonly #store: TelemetryStore;
  readonly #forwarders: readonly Forwarder[];
  readonly #receiver: ReturnType<typeof consoleReceiver>;
  readonly #stream: LiveStream;
  readonly #ownTimer: TimerId;
  #otlp: HttpServer | undefined;
  #grpc: OtlpGrpcServer | undefined;
  #pages: HttpServer | undefined;
  /** The same for the other family of loopback. */
  readonly #others: { stop(deadline: AbortSignal): Promise<void> }[] = [];

  constructor(options: ConsoleOptions, context: ConsoleContext) {
    const { host, allowedHost: allowedHosts, corsOrigin } = options;
    const { log, world } = context;
    this.#options = options;
    this.#context = context;
    this.#startedMs = world.nowMs();
    this.#instance = world.randomUuid();
    const store = new TelemetryStore(limitsOf(options));
    const forwarders = endpointsOf(options).map((endpoint) =>
      new Forwarder({ endpoint, log, world })
    );
    this.#store = store;
    const warn = limitedLog(log, { maxLinesPerSecond: 5, world });
    store.notices.say = ({ signal, sender, reason, detail, count, example }) =>
      warn("Refused or mended telemetry", {
        signal,
        sender,
        reason,
        detail,
        count,
        ...(example !== "" && { example }),
      });
    this.#forwarders = forwarders;
    this.#receiver = consoleReceiver({
      store,
      log,
      world,
      host,
      allowedHosts,
      corsOrigins: corsOrigin,
      grpcAddress: () => this.grpcAddress || undefined,
      onRefused: ({ status, message, sender, signal }) =>
        store.notices.add({
          signal: signal ?? "traces",
          sender,
          reason: `http_${status}`,
          detail: message,
          count: 1,
          example: "",
        }, world.nowMs()),
      ...(forwarders.length > 0 && {
        forward: (request) => forwarders.forEach((one) => one.enqueue(request)),
      }),
    });
    this.#stream = new LiveStream({
      store,
      world,
      stats: () => this.#stats(),
      hello: () => ({
        instance: this.#instance,
        version,
        startedMs: this.#startedMs,
        otlpEndpoint: this.otlpUrl,
        limits: store.limits,
      }),
    });
    this.#ownTimer = world.setInterval(() => this.#recordOwnMetrics(), ownMetricsIntervalMs);
  }

  get otlpUrl(): string {
    return this.#otlp?.url ?? "";
  }

  get grpcAddress(): string {
    return this.#grpc?.address ?? "";
  }

  get pageUrl(): string {
    return this.#pages?.url ?? "";
  }

  async listen(): Promise<void> {
    const { health, log } = this.#context;
    const { host = "127.0.0.1", allowRemoteWithoutAuth } = this.#options;
    const shared = { host, log, ...(allowRemoteWithoutAuth && { allowRemoteWithoutAuth: true }) };
    this.#otlp = await listen(this.#receiver.app.fetch, {
      ...shared,
      port: this.#options.otlpPort,
      portFlag: "--otlp-port",
      onHttp2: () => this.#knockedByGrpc(),
    });
    for (const endpoint of endpointsOf(this.#options)) refuseOwnEndpoint(endpoint, this.#otlp);
    this.#grpc = await this.#listenGrpc(host);
    this.#pages = await listen(this.#pageApp(host).fetch, {
      ...shared,
      port: this.#options.pagePort,
      portFlag: "--page-port",
    });
    await this.#listenOnOtherLoopback(host);
    health.set("otlp", "ok");
    log.info("The console is ready", {
      page: this.pageUrl,
      otlp: this.otlpUrl,
      ...(this.#grpc && { grpc: this.grpcAddress }),
      ...(this.#forwarders.length > 0 && {
        forward: this.#forwarders.map(({ endpoint }) => endpoint).join(","),
      }),
    });
  }

  /**
   * `localhost` is ::1 first for many clients, which would find nobody there, or somebody else. Where
   * a machine has no IPv6, or the port of that family is taken, the first one has to do.
   */
  async #listenOnOtherLoopback(host: string): Promise<void> {
    if (host !== "127.0.0.1" && host !== "localhost") return;
    const other = { host: "::1" };
    const begin = [
      () =>
        listen(this.#receiver.app.fetch, {
          ...other,
          port: this.#otlp!.port,
          portFlag: "--otlp-port",
          onHttp2: () => this.#knockedByGrpc(),
        }),
      () =>
        listen(this.#pageApp(host).fetch, {
          ...other,
          port: this.#pages!.port,
          portFlag: "--page-port",
        }),
      () =>
        this.#grpc && serveOtlpGrpc({
          ...other,
          intake: this.#receiver.grpc,
          port: this.#grpc.port,
          portFlag: "--grpc-port",
          allowedHosts: this.#options.allowedHost,
        }),
    ];
    for (const start of begin) {
      try {
        const server = await start();
        if (server !== undefined) this.#others.push(server);
      } catch (error) {
        if (!(error instanceof StartError)) throw error;
        this.#context.log.debug("Not on IPv6's loopback", { reason: error.message });
      }
    }
  }

  /** A gRPC exporter at the door of OTLP/HTTP hears nothing but "unavailable": the operator does. */
  #knockedByGrpc(): void {
    const address = this.grpcAddress;
    this.#store.notices.add({
      signal: "traces",
      sender: "a gRPC exporter",
      reason: "grpc_at_http_port",
      detail: `OTLP/HTTP is at ${this.otlpUrl}. ${
        address === "" ? "OTLP/gRPC is not served" : `OTLP/gRPC is at ${address}`
      }; or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf.`,
      count: 1,
      example: "",
    }, this.#context.world.nowMs());
  }

  /** Its usual port may be a collector's: then OTLP/HTTP alone is served, and said. */
  async #listenGrpc(host: string): Promise<OtlpGrpcServer | undefined> {
    const { grpcPort, otlpPort, allowRemoteWithoutAuth, allowedHost } = this.#options;
    const usual = otlpPort === usualOtlpPort ? usualGrpcPort : 0;
    try {
      return await serveOtlpGrpc({
        intake: this.#receiver.grpc,
        host,
        port: grpcPort ?? usual,
        portFlag: "--grpc-port",
        allowedHosts: allowedHost,
        ...(allowRemoteWithoutAuth && { allowRemoteWithoutAuth: true }),
      });
    } catch (error) {
      if (grpcPort !== undefined || !(error instanceof StartError)) throw error;
      this.#context.log.warn("OTLP/gRPC is not served", { reason: error.message });
      return undefined;
    }
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#context.world.clearInterval(this.#ownTimer);
    this.#stream.stop();
    await Promise.all([
      this.#otlp?.stop(deadline),
      this.#grpc?.stop(deadline),
      this.#pages?.stop(deadline),
      ...this.#others.map((one) => one.stop(deadline)),
    ]);
    await Promise.all(this.#forwarders.map((one) => one.stop(deadline)));
  }

  #pageApp(host: string): Hono {
    const { world } = this.#context;
    const store = this.#store;
    // Its own requests are no telemetry: the console would show itself.
    const app = httpApp(
      { name: "console", host, allowedHosts: this.#options.allowedHost, refuse: refusePage },
      this.#context,
    );
    app.get("/metrics", (c) => {
      this.#recordOwnMetrics();
      const escaping = negotiatedEscaping(c.req.header("accept"));
      return new Response(prometheusText(store.metricFamilies(), world.nowMs(), escaping), {
        headers: { "content-type": prometheusContentTypes[escaping], vary: "Accept" },
      });
    });
    app.route(
      "/",
      pageApi({ store, stream: this.#stream, stats: () => this.#stats(), world }),
    );
    app.route("/", pageRoutes("console", { routes: Object.values(pagePaths) }));
    return app;
  }

  #recordOwnMetrics(): void {
    recordOwnMetrics(this.#store.ownMetrics, this.#stats(), this.#instance);
  }

  #stats(): StatsEvent {
    const { accepted, refused, bytes } = this.#receiver.counters;
    const store = this.#store;
    const nowMs = this.#context.world.nowMs();
    const forwards = this.#forwarders.map((one) => one.stats());
    return {
      atMs: nowMs,
      uptimeMs: nowMs - this.#startedMs,
      ...store.signalStats(),
      requests: { accepted, refused: Object.fromEntries(refused), bytes },
      memory: {
        rssBytes: Deno.memoryUsage().rss,
        heldBytes: store.heldBytes,
        limitBytes: store.limits.maxHeldBytes,
      },
      streams: this.#stream.clients,
      forward: forwards[0] ?? null,
      forwards,
    };
  }
}

/** The page port lets no other site's page in: `--cors-origin` is for telemetry alone. */
function refusePage({ kind, title, detail }: Refusal, request: Request): Response {
  if (kind === "foreign-host") return problemResponse(403, { title, detail });
  const origin = request.headers.get("origin") ?? "other sites";
  return problemResponse(403, { title, detail: `Pages of ${origin} may not use the console.` });
}

function limitsOf(options: ConsoleOptions): ConsoleLimits {
  const limits = { ...defaultLimits };
  for (const name of Object.keys(limits) as (keyof ConsoleLimits)[]) {
    limits[name] = options[name] ?? limits[name];
  }
  return limits;
}

function endpointsOf({ forward = [] }: ConsoleOptions): readonly string[] {
  return typeof forward === "string" ? [forward] : forward;
}

/** A console that forwards to itself would never come to rest. */
function refuseOwnEndpoint(forward: string, otlp: HttpServer): void {
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
        "on free ports, printed in the first log line",
      ],
      ["deno task console --forward http://collector:4318", "pass everything on to a collector"],
      ["deno task console --max-spans 500000 --max-held-bytes 1GiB", "hold more"],
    ],
  })
    .addOption(hostFlags.host())
    .addOption(hostFlags.allowRemoteWithoutAuth())
    .addOption(guardFlags.allowedHost())
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
