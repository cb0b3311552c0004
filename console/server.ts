#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-env=CONSOLE_*
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
 * deno task console --store console.sqlite               # and have it again after a restart
 * deno task console --max-spans 500000 --max-held-bytes 1GiB
 * ```
 *
 * It sends no telemetry of its own: its counters are in `/metrics`, `/api/stats` and among the
 * metrics it shows, as `orrery.console.*`.
 *
 * @module
 */
import type { Hono } from "hono";
import { serveStreamMux } from "../service/event_stream_mux.ts";
import { httpApp } from "../service/http_app.ts";
import type { Refusal } from "../service/http_guard.ts";
import { encodedText } from "../service/http_encoding.ts";
import { isLoopback } from "../service/http_server.ts";
import { runService, type Service, type ServiceContext } from "../service/life_cycle.ts";
import { limitedLog } from "../service/limited_log.ts";
import type { OtlpReceiver } from "../service/otlp/otlp_receiver.ts";
import { pageRoutes } from "../service/page/assets.ts";
import { type ListedProgram, readProgramList } from "../service/program_list.ts";
import { problemResponse } from "../service/problem.ts";
import { version } from "../service/version.ts";
import type { TimerId } from "../service/world/world.ts";
import { ConsoleAccess, newToken, readToken } from "./access.ts";
import { consoleCommand } from "./console_command.ts";
import { type ConsoleOptions, endpointsOf, limitsOf } from "./console_options.ts";
import { ConsolePorts } from "./console_ports.ts";
import { type DiskStore, openDiskStore } from "./disk/disk_store.ts";
import { inDiskWorker } from "./disk/disk_worker.ts";
import { restore, type Restored } from "./disk/restore.ts";
import { Forwarder } from "./forwarder.ts";
import { consoleReceiver } from "./intake/console_receiver.ts";
import { recordOwnMetrics } from "./own_metrics.ts";
import { apiPaths, pagePaths } from "./page_api/api.ts";
import { LiveStream } from "./page_api/live_stream.ts";
import { pageApi } from "./page_api/page_api.ts";
import type { StatsEvent } from "./page_api/stream_events.ts";
import {
  negotiatedEscaping,
  prometheusContentTypes,
  prometheusText,
} from "./queries/prometheus_text.ts";
import { TelemetryStore } from "./stores/telemetry_store.ts";

export type { ConsoleOptions } from "./console_options.ts";

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

/** What the console takes from its life cycle. */
export type ConsoleContext = Pick<ServiceContext, "health" | "log" | "world">;

/**
 * Starts the console.
 *
 * @throws {StartError} a port is taken, `forward` is the console itself, or the file of the store or
 * of the token cannot be used.
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
  const service = new RunningConsole(options, context, await tokenOf(options, context));
  try {
    await service.listen();
  } catch (error) {
    await service.stop(AbortSignal.abort());
    throw error;
  }
  return service;
}

/** What everybody has to show; nothing where nobody has to. */
async function tokenOf(
  { host = "localhost", allowRemoteWithoutAuth, tokenFile }: ConsoleOptions,
  { world }: ConsoleContext,
): Promise<string | undefined> {
  if (tokenFile !== undefined) return await readToken(tokenFile, world);
  return isLoopback(host) || allowRemoteWithoutAuth ? undefined : newToken(world);
}

/** The parts of a console: receiver, store, live stream, page. */
class RunningConsole implements ConsoleService {
  readonly #options: ConsoleOptions;
  readonly #context: ConsoleContext;
  readonly #startedMs: number;
  readonly #instance: string;
  readonly #store: TelemetryStore;
  readonly #forwarders: readonly Forwarder[];
  readonly #access: ConsoleAccess | undefined;
  readonly #receiver: OtlpReceiver;
  readonly #stream: LiveStream;
  readonly #ports: ConsolePorts;
  readonly #ownTimer: TimerId;
  readonly #stopping = new AbortController();
  #disk: DiskStore | undefined;

  constructor(options: ConsoleOptions, context: ConsoleContext, token: string | undefined) {
    const { log, world } = context;
    this.#options = options;
    this.#context = context;
    this.#startedMs = world.nowMs();
    this.#instance = world.randomUuid();
    this.#store = new TelemetryStore(limitsOf(options));
    sayNotices(this.#store, limitedLog(log, { maxLinesPerSecond: 5, world }));
    this.#forwarders = endpointsOf(options).map((endpoint) =>
      new Forwarder({ endpoint, log, world })
    );
    this.#access = token === undefined ? undefined : new ConsoleAccess({
      token,
      basePath: options.basePath,
      sayTicket: (path) =>
        log.info("A link to the page, for one use", { page: this.pageUrl + path }),
      world,
    });
    this.#receiver = this.#makeReceiver();
    this.#stream = this.#makeStream();
    this.#ports = new ConsolePorts({
      options,
      authenticated: this.#access !== undefined,
      log,
      otlp: this.#receiver.app.fetch,
      grpc: this.#receiver.grpc,
      pages: this.#pageApp().fetch,
      onGrpcAtHttp: () => this.#knockedByGrpc(),
    });
    this.#ownTimer = world.setInterval(() => this.#recordOwnMetrics(), ownMetricsIntervalMs);
  }

  get otlpUrl(): string {
    return this.#ports.otlpUrl;
  }

  get grpcAddress(): string {
    return this.#ports.grpcAddress;
  }

  get pageUrl(): string {
    return this.#ports.pageUrl;
  }

  async listen(): Promise<void> {
    const { health, log } = this.#context;
    const { store } = this.#options;
    const restored = store === undefined ? undefined : await this.#openDisk(store);
    await this.#ports.listen();
    health.set("otlp", "ok");
    const ticket = this.#access?.newTicket() ?? "";
    log.info("The console is ready", {
      page: this.pageUrl + ticket,
      otlp: this.otlpUrl,
      ...(this.grpcAddress !== "" && { grpc: this.grpcAddress }),
      ...(this.#forwarders.length > 0 && {
        forward: this.#forwarders.map(({ endpoint }) => endpoint).join(","),
      }),
      ...(restored && { store, restored: restored.requests }),
    });
    if (restored !== undefined && restored.unreadable > 0) {
      log.warn("Requests of before could not be read", { store, unreadable: restored.unreadable });
    }
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#context.world.clearInterval(this.#ownTimer);
    this.#stream.stop();
    this.#stopping.abort();
    await this.#ports.stop(deadline);
    await Promise.all([
      ...this.#forwarders.map((one) => one.stop(deadline)),
      this.#disk?.stop(deadline),
    ]);
  }

  #makeReceiver(): OtlpReceiver {
    const { host, allowedHost, corsOrigin } = this.#options;
    const { log, world } = this.#context;
    const store = this.#store;
    const access = this.#access;
    return consoleReceiver({
      store,
      log,
      world,
      host,
      allowedHosts: allowedHost,
      corsOrigins: corsOrigin,
      grpcAddress: () => this.grpcAddress || undefined,
      authorize: access && ((authorization) => access.allows(authorization)),
      onRefused: ({ status, message, sender, signal }) =>
        store.notices.add({
          signal: signal ?? "traces",
          sender,
          reason: `http_${status}`,
          detail: message,
          count: 1,
          example: "",
        }, world.nowMs()),
      ...((this.#forwarders.length > 0 || this.#options.store !== undefined) && {
        forward: (request) => {
          this.#disk?.keep(request);
          for (const one of this.#forwarders) one.enqueue(request);
        },
      }),
    });
  }

  #makeStream(): LiveStream {
    return new LiveStream({
      store: this.#store,
      world: this.#context.world,
      stats: () => this.#stats(),
      hello: () => ({
        instance: this.#instance,
        version,
        startedMs: this.#startedMs,
        otlpEndpoint: this.otlpUrl + (this.#options.basePath ?? ""),
        ...(this.#access && { otlpHeaders: this.#access.otlpHeaders }),
        limits: this.#store.limits,
      }),
    });
  }

  async #openDisk(path: string): Promise<Restored> {
    const { log, world } = this.#context;
    const { storeSyncInterval, storeMaxBytes, storeMaxAge } = this.#options;
    this.#disk = await openDiskStore({
      path,
      syncIntervalMs: storeSyncInterval,
      maxBytes: storeMaxBytes,
      maxAgeMs: storeMaxAge,
      world,
      onState: (reason) =>
        reason === undefined
          ? log.info("The store takes telemetry again", { store: path })
          : log.error("The store does not take telemetry; it is tried again", {
            store: path,
            reason,
          }),
    });
    return await restore(this.#disk, this.#store);
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

  #pageApp(): Hono {
    const { world } = this.#context;
    const { host, allowedHost: allowedHosts, basePath } = this.#options;
    const store = this.#store;
    // Its own requests are no telemetry: the console would show itself.
    const app = httpApp({ name: "console", host, allowedHosts, refuse: refusePage }, this.#context);
    if (this.#access !== undefined) {
      app.use(this.#access.middleware());
      app.route("/", this.#access.routes());
    }
    app.get("/metrics", (c) => {
      this.#recordOwnMetrics();
      const escaping = negotiatedEscaping(c.req.header("accept"));
      const text = prometheusText(store.metricFamilies(), world.nowMs(), escaping);
      const headers = { "content-type": prometheusContentTypes[escaping] };
      return encodedText(c.req.raw, text, headers, ["accept"]);
    });
    serveStreamMux(app, { paths: [apiPaths.stream], world, stopping: this.#stopping.signal });
    app.route(
      "/",
      pageApi({
        store,
        stream: this.#stream,
        stats: () => this.#stats(),
        take: (signal, body) => this.#receiver.take(signal, "application/json", body),
        programs: () => this.#programs(),
        onClear: async () => await this.#disk?.clear(),
        world,
      }),
    );
    app.route("/", pageRoutes("console", { routes: Object.values(pagePaths), basePath }));
    return app;
  }

  async #programs(): Promise<readonly ListedProgram[]> {
    const { programs } = this.#options;
    return programs === undefined ? [] : await readProgramList(programs);
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
      store: this.#disk?.stats ?? null,
      streams: this.#stream.clients,
      forward: forwards[0] ?? null,
      forwards,
    };
  }
}

/** What was refused, cut or mended is for whoever runs the console, too. */
function sayNotices(store: TelemetryStore, warn: ReturnType<typeof limitedLog>): void {
  store.notices.say = ({ signal, sender, reason, detail, count, example }) =>
    warn("Refused or mended telemetry", {
      signal,
      sender,
      reason,
      detail,
      count,
      ...(example !== "" && { example }),
    });
}

/** The page port lets no other site's page in: `--cors-origin` is for telemetry alone. */
function refusePage({ kind, title, detail }: Refusal, request: Request): Response {
  if (kind === "foreign-host") return problemResponse(403, { title, detail });
  const origin = request.headers.get("origin") ?? "other sites";
  return problemResponse(403, { title, detail: `Pages of ${origin} may not use the console.` });
}

if (import.meta.main && !inDiskWorker) {
  await runService(consoleCommand(), startConsole, { telemetry: false });
}
