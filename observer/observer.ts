#!/usr/bin/env -S deno run --v8-flags=--max-semi-space-size=2,--heap-growing-percent=20 -N -R=dist/pages,/run/containerd,/run/crio,/run/cri-dockerd.sock,/run/k3s -W=/run/containerd,/run/crio,/run/cri-dockerd.sock,/run/k3s -E=OTEL_*,OBSERVER_*
/**
 * The observer: asks image stores what they hold, when a signal comes, a page asks, or at an
 * interval, and shows it to Prometheus, OpenTelemetry and people. It speaks gRPC to rkt's
 * api-service and to every runtime with a Container Runtime Interface (containerd, CRI-O).
 *
 * Exports {@linkcode startObserver}; can also be used as a CLI:
 *
 * ```sh
 * deno task observer                                   # the runtimes it finds, on demand
 * kill -s SIGQUIT PID                                  # observe now
 * deno task observer --endpoint rkt=127.0.0.1:15441 --interval 30s
 * deno task observer list --json
 * ```
 *
 * The flags for V8 keep the heap close to what is in use: an answer with 20,000 images leaves much
 * to be collected. The sockets among the permissions are those that `--runtime auto` knows; for another one, give
 * `--allow-read` and `--allow-write` with its path.
 *
 * @module
 */
import { metrics, trace } from "@opentelemetry/api";
import {
  commandLine,
  flag,
  InvalidArgumentError,
  parseByteCount,
  parseDuration,
  parseInteger,
} from "../service/command_line.ts";
import { guardFlags } from "../service/http_guard.ts";
import { hostFlags, type HttpServer, listen } from "../service/http_server.ts";
import { runService, type Service, type ServiceContext } from "../service/life_cycle.ts";
import { createLog, stderrLines, stdoutLines } from "../service/log.ts";
import { pageRoutes } from "../service/page/assets.ts";
import { realWorld } from "../service/world/world.ts";
import { type Endpoint, parseEndpoint, type RuntimeKind } from "./grpc/endpoint.ts";
import { httpApi } from "./http_api.ts";
import { listedStores, listTable } from "./list.ts";
import { Observatory } from "./stores/observatory.ts";
import { StoreSearch } from "./stores/store_search.ts";
import { countSignals } from "./signal_counter.ts";

/** Which stores to observe, and how to ask them. */
export interface StoreOptions {
  /** Stores by name. @default none */
  endpoint?: readonly Endpoint[];
  /**
   * Beside those: `rkt` or `cri` where such a runtime is by default, `auto` all that are found.
   * @default "auto" if no endpoint is given, else none
   */
  runtime?: RuntimeKind | "auto";
  /** How long one observation may take, in milliseconds, at least 1. @default 10_000 */
  timeout?: number;
  /** Larger gRPC messages fail their observation, in bytes. @default 67_108_864 */
  maxMessageBytes?: number;
}

/** Options of {@linkcode startObserver}. */
export interface ObserverOptions extends StoreOptions {
  /** Where `/metrics` and the page are. @default localhost:33333, both families of loopback */
  metricsAddress?: { host: string; port: number };
  /** Lets it listen beyond loopback. Nobody has to authenticate. @default false */
  allowRemoteWithoutAuth?: boolean;
  /** Names it is known by, beside those of loopback. @default none */
  allowedHost?: readonly string[];
  /** Origins of web pages that may call it. @default none */
  allowedOrigin?: readonly string[];
  /** Pause between two observations in milliseconds; 0 for on demand only. @default 0 */
  interval?: number;
  /** The most series of single images; 0 for none. @default 0 */
  perImage?: number;
}

/** A running observer. */
export interface ObserverService extends Service {
  /** Where `/metrics` and the page are. */
  readonly url: string;
  /** What is observed. */
  readonly observatory: Observatory;
}

const defaultMetricsAddress = { host: "localhost", port: 33333 };

/**
 * Starts the observer.
 *
 * @throws {StartError} the port is taken.
 */
export async function startObserver(
  options: ObserverOptions,
  context: Pick<ServiceContext, "health" | "log" | "stopping" | "telemetry" | "world">,
): Promise<ObserverService> {
  const { metricsAddress: { host, port } = defaultMetricsAddress, interval = 0 } = options;
  const { health, log, world } = context;
  const observatory = new Observatory({
    ...observatoryOptions(options),
    tracer: context.telemetry.tracer,
    meter: context.telemetry.meter,
    log,
    intervalMs: interval,
    perImageLimit: options.perImage ?? 0,
    world,
  });
  const search = storeSearch(options, observatory, context);

  const app = httpApi({
    observatory,
    host,
    allowedHosts: options.allowedHost,
    allowedOrigins: options.allowedOrigin,
  }, context);
  app.route("/", pageRoutes("observer", { routes: ["/"] }));
  const server: HttpServer = await listen(app.fetch, {
    host,
    port,
    portFlag: "--metrics-address",
    log,
    ...(options.allowRemoteWithoutAuth && { allowRemoteWithoutAuth: true }),
  });

  // Whether a store answers is no reason to be unready: what is known is served without it.
  const signals = countSignals(() => observatory.trigger("sigquit"));
  const timer = interval > 0
    ? world.setInterval(() => observatory.trigger("interval"), interval)
    : undefined;
  await Promise.all([signals.ready, search.start()]);
  health.set("metrics", "ok");
  log.info("The observer is ready", { page: server.url, metrics: `${server.url}/metrics` });
  search.report();
  // The original's line, for whatever waits for it.
  stdoutLines.write(`Running! Trigger with: kill -s SIGQUIT ${Deno.pid}`);
  if (interval > 0) observatory.trigger("interval");
  return {
    url: server.url,
    observatory,
    async stop(deadline) {
      signals.stop();
      world.clearInterval(timer);
      search.stop();
      await Promise.all([server.stop(deadline), observatory.stop(deadline)]);
    },
  };
}

function observatoryOptions({ timeout, maxMessageBytes }: StoreOptions) {
  return {
    ...(timeout !== undefined && { timeoutMs: timeout }),
    ...(maxMessageBytes !== undefined && { maxMessageBytes }),
  };
}

function storeSearch(
  { endpoint: endpoints = [], runtime }: StoreOptions,
  observatory: Observatory,
  { log, world }: Pick<ServiceContext, "log" | "world">,
): StoreSearch {
  return new StoreSearch({ endpoints, runtime, observatory, log, world });
}

/** Polls every store once and prints what is there: stdout is for that alone. */
async function list(options: StoreOptions & { json?: true }): Promise<number> {
  const log = createLog({ name: "observer", level: "error", write: stderrLines.write });
  const observatory = new Observatory({
    ...observatoryOptions(options),
    tracer: trace.getTracer("observer"),
    meter: metrics.getMeter("observer"),
    log,
  });
  const search = storeSearch(options, observatory, { log, world: realWorld });
  await search.start();
  search.stop();
  await observatory.trigger("http");
  await observatory.stop(AbortSignal.abort());
  const stores = listedStores(observatory.states());
  if (options.json) stdoutLines.write(JSON.stringify(stores, undefined, 2));
  else if (stores.length > 0) stdoutLines.write(listTable(stores, Date.now()).trimEnd());
  else stderrLines.write("No image store is there. Name one with --endpoint.");
  await Promise.all([stdoutLines.flush(), stderrLines.flush()]);
  return stores.length > 0 && stores.every(({ up }) => up) ? 0 : 1;
}

function parseAddress(text: string): { host: string; port: number } {
  const [, host, port] = /^(\[[^\]]+\]|[^:\s]+):(\d{1,5})$/.exec(text) ?? [];
  if (host === undefined || Number(port) > 65535) {
    throw new InvalidArgumentError("Give host:port, such as 127.0.0.1:33333.");
  }
  return { host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
}

async function main(): Promise<void> {
  const command = commandLine({
    name: "observer",
    summary:
      "Asks image stores (containerd, CRI-O, rkt) what they hold, and shows it to Prometheus, OpenTelemetry and people.",
    examples: [
      ["deno task observer", "the runtimes it finds, on demand: kill -s SIGQUIT <pid>"],
      ["deno task observer --interval 30s", "and every 30 seconds"],
      ["deno task observer --endpoint rkt=127.0.0.1:15441", "as the original"],
      ["deno task observer --endpoint cri=unix:///run/crio/crio.sock", "a runtime by its socket"],
      ["deno task observer list --json", "poll once and print"],
    ],
  })
    .addOption(
      flag(
        "--endpoint <kind=address>",
        "a store to observe, rkt=HOST:PORT or cri=unix:///PATH; repeat it, or separate by commas",
      ).argParser((text: string, before: readonly Endpoint[] = []) => [
        ...before,
        ...text.split(",").map(parseEndpoint),
      ]),
    )
    .addOption(
      flag("--runtime <which>", "a runtime where it is by default; auto, every one that is found")
        .choices(["rkt", "cri", "auto"] as const),
    )
    .addOption(
      flag(
        "--timeout <duration>",
        "how long one observation may take; a bare number is seconds (default: 10s)",
      )
        .argParser(parseDuration({ unit: "s", minMs: 1 })),
    )
    .addOption(
      flag("--max-message-bytes <bytes>", "largest answer taken (default: 64MiB)")
        .argParser(parseByteCount),
    )
    .addOption(
      flag("--metrics-address <host:port>", "where /metrics and the page are")
        .argParser(parseAddress).default(
          defaultMetricsAddress,
          "localhost:33333, 127.0.0.1 and ::1",
        ),
    )
    .addOption(hostFlags.allowRemoteWithoutAuth())
    .addOption(guardFlags.allowedHost())
    .addOption(guardFlags.allowedOrigin())
    .addOption(
      flag(
        "--interval <duration>",
        "pause between observations, a bare number is seconds; 0: on demand only",
      )
        .argParser(parseDuration({ unit: "s" })).default(0),
    )
    .addOption(
      flag("--per-image <count>", "series of single images at most, the largest first; 0: none")
        .argParser(parseInteger({ min: 0, max: 100_000 })).default(0),
    );
  command.command("list").description("poll every store once and print its images")
    .addOption(flag("--json", "print JSON"))
    .configureHelp({ showGlobalOptions: true })
    .action(async (_, subcommand) => Deno.exit(await list(subcommand.optsWithGlobals())));
  await runService(command, startObserver);
}

if (import.meta.main) await main();
