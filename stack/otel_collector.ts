/**
 * Starts a real OpenTelemetry Collector with the project's otel-collector.yaml, without Docker.
 *
 * @module
 */

import { join } from "node:path";
import { buildOnce, type BuildRecipe, GO } from "./build_cache.ts";
import { answersOk, choosePorts } from "../service/ports.ts";
import { type RunningProcess, startProcess } from "../service/supervisor.ts";
import type { StartOptions } from "./start_options.ts";

/** Options of {@link startOtelCollector}. Ports that are not given are free ones. */
export interface OtelCollectorOptions extends StartOptions {
  /** Where Jaeger takes OTLP over gRPC, as `host:port`: {@link RunningJaeger.otlpGrpcAddress}. */
  jaegerOtlpGrpcAddress: string;
  /** OTLP over HTTP. */
  httpPort?: number;
  /** OTLP over gRPC. */
  grpcPort?: number;
  /** Metrics of the programs and of their spans, for Prometheus. */
  prometheusPort?: number;
  /** The collector's metrics about itself. */
  selfPort?: number;
  /** Health. */
  healthPort?: number;
  /**
   * How often span metrics are handed to Prometheus' endpoint, in milliseconds.
   * @default 5_000
   */
  spanMetricsIntervalMs?: number;
  /**
   * Lines of YAML that stand above the file's, such as `service::pipelines::traces::exporters: [debug]`.
   * @default none
   */
  settings?: readonly string[];
}

/** A collector that is up. */
export interface RunningOtelCollector extends RunningProcess {
  /** For `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  readonly otlpHttpUrl: string;
  /** OTLP over gRPC, `host:port`. */
  readonly otlpGrpcAddress: string;
  /** What Prometheus scrapes for programs and spans, `host:port`. */
  readonly prometheusAddress: string;
  /** What Prometheus scrapes about the collector itself, `host:port`. */
  readonly selfAddress: string;
}

/** The version of the collector and of every component in it. */
export const OTEL_COLLECTOR_VERSION = "v0.155.0";

/** The line of the collector's stable modules that belongs to {@link OTEL_COLLECTOR_VERSION}. */
const CONFMAP_VERSION = "v1.61.0";

const CORE = "go.opentelemetry.io/collector";
const CONTRIB = "github.com/open-telemetry/opentelemetry-collector-contrib";

/** What otel-collector.yaml may use; the contrib image that compose.yaml runs has all of it. */
const COMPONENTS = {
  receivers: [`${CORE}/receiver/otlpreceiver`],
  processors: [`${CORE}/processor/batchprocessor`, `${CORE}/processor/memorylimiterprocessor`],
  exporters: [
    `${CORE}/exporter/debugexporter`,
    `${CORE}/exporter/otlpexporter`,
    `${CONTRIB}/exporter/prometheusexporter`,
  ],
  connectors: [`${CONTRIB}/connector/spanmetricsconnector`],
  extensions: [`${CONTRIB}/extension/healthcheckextension`],
};

/** Where configuration may come from: a file, the environment, the `yaml:` of the command line. */
const PROVIDERS = ["env", "file", "yaml"].map((name) => `${CORE}/confmap/provider/${name}provider`);

/**
 * The collector's builder generates the distribution's sources; go.mod is written here and filled
 * in by the build itself, as the builder's `go mod tidy` would fetch every test-only dependency too.
 */
export const OTEL_COLLECTOR_RECIPE: BuildRecipe = {
  name: "otel-collector",
  version: OTEL_COLLECTOR_VERSION,
  tools: [GO],
  firstBuildTakes: "about 2 minutes on 2 cores",
  steps: [
    { write: "manifest.yaml", text: builderManifest() },
    {
      run: ["go", "install", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
        .concat(`${CORE}/cmd/builder@${OTEL_COLLECTOR_VERSION}`),
    },
    {
      run: ["./bin/builder", "--skip-compilation", "--skip-get-modules", "--config=manifest.yaml"],
    },
    { write: "build/go.mod", text: goMod() },
    {
      in: "build",
      run: ["go", "build", "-mod=mod", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
        .concat(["-o", "../bin/otelcol", "."]),
    },
  ],
  keep: ["bin/otelcol"],
};

/**
 * Starts a collector, building it first when the cache has none.
 *
 * @throws {StackError} when it cannot be built or started
 */
export async function startOtelCollector(
  options: OtelCollectorOptions,
): Promise<RunningOtelCollector> {
  const built = await buildOnce(OTEL_COLLECTOR_RECIPE, options);
  const [http, grpc, prometheus, self, health] = choosePorts(
    options.httpPort,
    options.grpcPort,
    options.prometheusPort,
    options.selfPort,
    options.healthPort,
  );
  const component = await startProcess({
    name: "otel-collector",
    command: join(built, "bin", "otelcol"),
    args: () => [
      ...["--config", join(import.meta.dirname!, "..", "otel-collector.yaml")],
      ...(options.settings ?? []).flatMap((line) => ["--config", `yaml:${line}`]),
    ],
    env: {
      ORRERY_COLLECTOR_HTTP_ENDPOINT: `127.0.0.1:${http}`,
      ORRERY_COLLECTOR_GRPC_ENDPOINT: `127.0.0.1:${grpc}`,
      ORRERY_COLLECTOR_PROMETHEUS_ENDPOINT: `127.0.0.1:${prometheus}`,
      ORRERY_COLLECTOR_SELF_PORT: String(self),
      ORRERY_COLLECTOR_HEALTH_ENDPOINT: `127.0.0.1:${health}`,
      ORRERY_COLLECTOR_JAEGER_ENDPOINT: options.jaegerOtlpGrpcAddress,
      ORRERY_COLLECTOR_SPAN_METRICS_INTERVAL: `${options.spanMetricsIntervalMs ?? 5_000}ms`,
    },
    ports: { "OTLP/HTTP": http, "OTLP/gRPC": grpc, "metrics": prometheus, self, health },
    ready: (signal) => answersOk(`http://127.0.0.1:${health}/`, signal),
  }, options);
  return {
    ...component,
    otlpHttpUrl: `http://127.0.0.1:${http}`,
    otlpGrpcAddress: `127.0.0.1:${grpc}`,
    prometheusAddress: `127.0.0.1:${prometheus}`,
    selfAddress: `127.0.0.1:${self}`,
  };
}

function builderManifest(): string {
  const lines = [
    `dist: { name: otelcol, version: ${OTEL_COLLECTOR_VERSION.slice(1)}, output_path: build }`,
  ];
  for (const [kind, modules] of Object.entries(COMPONENTS)) {
    lines.push(`${kind}:`, ...modules.map((m) => `  - gomod: ${m} ${OTEL_COLLECTOR_VERSION}`));
  }
  lines.push("providers:", ...PROVIDERS.map((m) => `  - gomod: ${m} ${CONFMAP_VERSION}`));
  return lines.join("\n") + "\n";
}

function goMod(): string {
  const modules = [
    ...Object.values(COMPONENTS).flat().map((m) => `${m} ${OTEL_COLLECTOR_VERSION}`),
    ...PROVIDERS.map((m) => `${m} ${CONFMAP_VERSION}`),
    `${CORE}/otelcol ${OTEL_COLLECTOR_VERSION}`,
    `${CORE}/service ${OTEL_COLLECTOR_VERSION}`,
  ];
  return `module orrery.invalid/stack/otelcol\n\ngo 1.25.0\n\nrequire (\n${
    modules.map((m) => `\t${m}\n`).join("")
  })\n`;
}
