/**
 * Starts a real Jaeger v2 with stack/jaeger.yaml, traces in memory, without Docker.
 *
 * @module
 */

import { join } from "node:path";
import { buildOnce, type BuildRecipe, GO } from "./build_cache.ts";
import { answersOk, choosePorts } from "../service/ports.ts";
import { type RunningProcess, startProcess } from "../service/supervisor.ts";
import type { StartOptions } from "./start_options.ts";

/** Options of {@link startJaeger}. Ports that are not given are free ones. */
export interface JaegerOptions extends StartOptions {
  /** The query API and page. */
  queryPort?: number;
  /** The query API over gRPC. */
  queryGrpcPort?: number;
  /** OTLP over gRPC, where the collector sends to. */
  otlpGrpcPort?: number;
  /** Health. */
  healthPort?: number;
  /**
   * Traces kept; the oldest goes when one more comes.
   * @default 20_000
   */
  maxTraces?: number;
}

/** A Jaeger that is up. */
export interface RunningJaeger extends RunningProcess {
  /** The page, and before `/api/…` the query API. */
  readonly queryUrl: string;
  /** Where it takes OTLP over gRPC, `host:port`. */
  readonly otlpGrpcAddress: string;
}

/** The Go module's version; the same sources are released as Jaeger 2.13.0. */
export const JAEGER_MODULE_VERSION = "v1.76.0";

const MODULE = "github.com/jaegertracing/jaeger";

/**
 * Jaeger cannot be had by `go install`, as its go.mod holds a replace directive, which Go honours
 * only in the main module. So: a main module of our own that repeats the directive and takes
 * Jaeger's own checksums along.
 */
export const JAEGER_RECIPE: BuildRecipe = {
  name: "jaeger",
  version: JAEGER_MODULE_VERSION,
  tools: [GO],
  firstBuildTakes: "about 5 minutes on 2 cores",
  steps: [
    {
      write: "go.mod",
      text: `module orrery.invalid/stack/jaeger

go 1.24.6

require ${MODULE} ${JAEGER_MODULE_VERSION}

replace github.com/Shopify/sarama => github.com/Shopify/sarama v1.33.0
`,
    },
    // Keeps the requirement alive: Go drops a module that no package imports.
    {
      write: "tools.go",
      text: `//go:build tools\n\npackage tools\n\nimport _ "${MODULE}/cmd/jaeger"\n`,
    },
    { copyFromGoModule: `${MODULE}@${JAEGER_MODULE_VERSION}`, file: "go.sum", to: "go.sum" },
    {
      run: ["go", "build", "-mod=mod", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
        .concat(["-o", "bin/jaeger", `${MODULE}/cmd/jaeger`]),
    },
  ],
  keep: ["bin/jaeger"],
};

/**
 * Starts Jaeger, building it first when the cache has none.
 *
 * @throws {StackError} when it cannot be built or started
 */
export async function startJaeger(options: JaegerOptions = {}): Promise<RunningJaeger> {
  const built = await buildOnce(JAEGER_RECIPE, options);
  const [query, queryGrpc, otlpGrpc, health] = choosePorts(
    options.queryPort,
    options.queryGrpcPort,
    options.otlpGrpcPort,
    options.healthPort,
  );
  const component = await startProcess({
    name: "jaeger",
    command: join(built, "bin", "jaeger"),
    args: () => ["--config", join(import.meta.dirname!, "jaeger.yaml")],
    env: {
      ORRERY_JAEGER_QUERY_ENDPOINT: `127.0.0.1:${query}`,
      ORRERY_JAEGER_QUERY_GRPC_ENDPOINT: `127.0.0.1:${queryGrpc}`,
      ORRERY_JAEGER_OTLP_GRPC_ENDPOINT: `127.0.0.1:${otlpGrpc}`,
      ORRERY_JAEGER_HEALTH_ENDPOINT: `127.0.0.1:${health}`,
      ORRERY_JAEGER_MAX_TRACES: String(options.maxTraces ?? 20_000),
    },
    ports: { query, "query over gRPC": queryGrpc, "OTLP/gRPC": otlpGrpc, health },
    ready: async (signal) =>
      await answersOk(`http://127.0.0.1:${health}/status`, signal) &&
      await answersOk(`http://127.0.0.1:${query}/api/services`, signal),
  }, options);
  return {
    ...component,
    queryUrl: `http://127.0.0.1:${query}`,
    otlpGrpcAddress: `127.0.0.1:${otlpGrpc}`,
  };
}
