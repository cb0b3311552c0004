/**
 * The telemetry stack: collector, Jaeger and Prometheus, wired to each other.
 *
 * @module
 */

import type { StartOptions } from "./start_options.ts";
import { type RunningJaeger, startJaeger } from "./jaeger.ts";
import { type RunningOtelCollector, startOtelCollector } from "./otel_collector.ts";
import { type RunningPrometheus, startPrometheus } from "./prometheus.ts";

/** Options of {@link startTelemetryStack}. Everything listens on free ports. */
export interface TelemetryStackOptions extends Omit<StartOptions, "runFolder"> {
  /**
   * How often span metrics are flushed and Prometheus scrapes, in milliseconds: what a test waits.
   * @default 1_000
   */
  metricsIntervalMs?: number;
  /**
   * A folder whose `*.yaml` files are Prometheus rules.
   * @default none
   */
  rulesFolder?: string;
  /**
   * Where alerts go: {@link RunningAlertmanager.address}.
   * @default nowhere
   */
  alertmanagerAddress?: string;
}

/** The three that are up. */
export interface RunningTelemetryStack extends AsyncDisposable {
  /** Takes OTLP and passes it on. */
  readonly collector: RunningOtelCollector;
  /** Has the traces. */
  readonly jaeger: RunningJaeger;
  /** Has the metrics. */
  readonly prometheus: RunningPrometheus;
  /** Stops all, those first that send to the others. */
  stop(): Promise<void>;
}

/**
 * Starts the three on free ports; when one cannot start, the others are stopped again.
 *
 * @throws {StackError} when one cannot be built or started
 *
 * @example
 * ```ts
 * await using stack = await startTelemetryStack();
 * // OTEL_EXPORTER_OTLP_ENDPOINT=stack.collector.otlpHttpUrl
 * const trace = await fetch(`${stack.jaeger.queryUrl}/api/traces/${traceId}`);
 * ```
 */
export async function startTelemetryStack(
  options: TelemetryStackOptions = {},
): Promise<RunningTelemetryStack> {
  const { metricsIntervalMs = 1_000, rulesFolder, alertmanagerAddress, ...start } = options;
  await using undo = new AsyncDisposableStack();
  const jaeger = undo.use(await startJaeger(start));
  const collector = undo.use(
    await startOtelCollector({
      ...start,
      jaegerOtlpGrpcAddress: jaeger.otlpGrpcAddress,
      spanMetricsIntervalMs: metricsIntervalMs,
    }),
  );
  const prometheus = undo.use(
    await startPrometheus({
      ...start,
      programsAddress: collector.prometheusAddress,
      collectorAddress: collector.selfAddress,
      scrapeIntervalMs: metricsIntervalMs,
      ...(rulesFolder === undefined ? {} : { rulesFolder }),
      ...(alertmanagerAddress === undefined ? {} : { alertmanagerAddress }),
    }),
  );
  const resources = undo.move();
  const stop = () => resources.disposeAsync();
  return { collector, jaeger, prometheus, stop, [Symbol.asyncDispose]: stop };
}
