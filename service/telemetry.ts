/**
 * The one place that knows the OpenTelemetry SDK: traces, metrics and logs by OTLP/HTTP, W3C trace
 * context in and out. Everything else uses `@opentelemetry/api`.
 *
 * Metrics, propagation, resources, samplers and the transport are the SDK's. Spans and log records
 * are made and encoded by `telemetry/`: the SDK's way cost the orb server three times as much
 * (figures in `bench/README.md`).
 *
 * Telemetry never breaks or slows a service: queues are bounded, an absent collector costs one
 * warning, and what is dropped is counted by the SDK's own metrics
 * (`otel.sdk.processor.span.processed` and `otel.sdk.processor.log.processed` with
 * `error.type=queue_full`, `otel.sdk.exporter.*.exported` with the exporter's error).
 *
 * Configured by the standard variables; these are read here or by the exporters:
 * `OTEL_SDK_DISABLED`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`,
 * `OTEL_TRACES_SAMPLER_ARG`, `OTEL_BSP_*`, `OTEL_BLRP_*`, `OTEL_METRIC_EXPORT_INTERVAL`,
 * `OTEL_METRIC_EXPORT_TIMEOUT`, `OTEL_EXPORTER_OTLP_*` (endpoint, protocol, headers, timeout,
 * compression, certificates).
 *
 * @module
 */
import {
  context,
  diag,
  type DiagLogger,
  DiagLogLevel,
  logs,
  type Meter,
  metrics,
  propagation,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  CompositePropagator,
  setGlobalErrorHandler,
  W3CBaggagePropagator,
  W3CTraceContextPropagator,
} from "@opentelemetry/core";
import {
  detectResources,
  envDetector,
  type Resource,
  resourceFromAttributes,
} from "@opentelemetry/resources";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { settledWithin } from "./resilience.ts";
import { BatchProcessor } from "./telemetry/batch_processor.ts";
import { Delivery, someoneListens } from "./telemetry/delivery.ts";
import {
  batchLimits,
  endpointIsGiven,
  numberVariable,
  otlpEndpoint,
  otlpProtocol,
  sampling,
} from "./telemetry/environment.ts";
import {
  logBatch,
  logExporter,
  metricExporter,
  spanBatch,
  spanExporter,
} from "./telemetry/exporters.ts";
import { noTelemetry } from "./telemetry/no_telemetry.ts";
import { RecordingLoggerProvider } from "./telemetry/recording_logger.ts";
import { RecordingTracerProvider } from "./telemetry/recording_tracer.ts";
import { version } from "./version.ts";
import { realWorld, type World } from "./world/world.ts";

export { TelemetryVariableError } from "./telemetry/variable_error.ts";

/** A program's telemetry while it runs. */
export interface Telemetry {
  /** False when `OTEL_SDK_DISABLED=true`; tracer and meter then do nothing. */
  readonly enabled: boolean;
  /** Makes the program's spans. */
  readonly tracer: Tracer;
  /** Makes the program's instruments. */
  readonly meter: Meter;
  /**
   * Sends what is queued, for at most `timeoutMs`, and stops. Without a collector that is given up
   * after 200 ms at most. Never rejects.
   */
  shutdown(timeoutMs: number): Promise<void>;
}

/** Options of {@linkcode startTelemetry}. */
export interface TelemetryOptions {
  /** `service.name`, unless `OTEL_SERVICE_NAME` says otherwise. */
  serviceName: string;
  /** False turns it off, whatever the environment says. @default true */
  enabled?: boolean;
  /** Called once when delivery begins to fail and once when it works again. */
  warn: (message: string) => void;
  /** Time and chance. @default realWorld */
  world?: World;
}

/**
 * Installs the SDK globally. Call once, before anything asks for a tracer or meter.
 *
 * @throws {TelemetryVariableError} a variable has a value that it cannot have
 *
 * @example
 * ```ts
 * const telemetry = startTelemetry({ serviceName: "orb-server", warn: (message) => log.warn(message) });
 * telemetry.tracer.startActiveSpan("work", (span) => span.end());
 * await telemetry.shutdown(3_000);
 * ```
 */
export function startTelemetry(options: TelemetryOptions): Telemetry {
  const { enabled = true, world = realWorld } = options;
  if (!enabled || Deno.env.get("OTEL_SDK_DISABLED")?.toLowerCase() === "true") {
    return noTelemetry(options.serviceName);
  }

  const delivery = new Delivery({
    endpoints: [otlpEndpoint("traces"), otlpEndpoint("metrics"), otlpEndpoint("logs")],
    warn: options.warn,
    world,
  });
  const resource = programResource(options.serviceName, world);
  const meterProvider = startMetrics(resource, delivery);
  const pipelines = startSpansAndLogs(resource, meterProvider, delivery, world);
  // Failed exports reach the SDK's error handler too, once a batch: `delivery` has warned of them.
  setGlobalErrorHandler(() => {});
  diag.setLogger(diagnostics(options.warn, delivery), { logLevel: DiagLogLevel.ERROR });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(
    new CompositePropagator({
      propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()],
    }),
  );
  metrics.setGlobalMeterProvider(meterProvider);

  return {
    enabled: true,
    tracer: trace.getTracer(options.serviceName, version),
    meter: metrics.getMeter(options.serviceName, version),
    async shutdown(timeoutMs) {
      const flushed = Promise.allSettled([
        ...pipelines.map((pipeline) => pipeline.shutdown()),
        meterProvider.shutdown(),
      ]);
      await settledWithin(Promise.race([flushed, delivery.inVain()]), timeoutMs, { world });
    },
  };
}

function startMetrics(resource: Resource, delivery: Delivery): MeterProvider {
  const intervalMs = numberVariable("OTEL_METRIC_EXPORT_INTERVAL", 5_000);
  const timeoutMs = numberVariable("OTEL_METRIC_EXPORT_TIMEOUT", 5_000);
  return new MeterProvider({
    resource,
    readers: [
      new PeriodicExportingMetricReader({
        exporter: delivery.watch(metricExporter(otlpProtocol("metrics"))),
        exportIntervalMillis: intervalMs,
        // The SDK refuses to start with a timeout beyond the interval.
        exportTimeoutMillis: Math.min(timeoutMs, intervalMs),
      }),
    ],
  });
}

/** Spans and log records; gives back what has to be shut down. */
function startSpansAndLogs(
  resource: Resource,
  meterProvider: MeterProvider,
  delivery: Delivery,
  world: World,
): { shutdown(): Promise<void> }[] {
  const common = { meter: meterProvider.getMeter("orrery.telemetry", version), world };
  const traces = otlpProtocol("traces");
  const spans = new BatchProcessor({
    ...common,
    signal: "span",
    batch: spanBatch(traces),
    exporter: delivery.watch(spanExporter(traces, meterProvider)),
    limits: batchLimits("OTEL_BSP"),
  });
  const limits = { attributeCountLimit: 128, eventCountLimit: 128, linkCountLimit: 128 };
  trace.setGlobalTracerProvider(
    new RecordingTracerProvider({
      resource,
      world,
      limits: { ...limits, attributeValueLengthLimit: 4_096 },
      onEnd: (span) => spans.add(span),
    }, sampling()),
  );

  const logProtocol = otlpProtocol("logs");
  const records = new BatchProcessor({
    ...common,
    signal: "log",
    batch: logBatch(logProtocol),
    exporter: delivery.watch(logExporter(logProtocol, meterProvider)),
    limits: batchLimits("OTEL_BLRP"),
  });
  logs.setGlobalLoggerProvider(
    new RecordingLoggerProvider({
      resource,
      world,
      limits: { ...limits, attributeValueLengthLimit: 16_384 },
      onEmit: (record) => records.add(record),
    }),
  );
  return [spans, records];
}

function programResource(serviceName: string, world: World): Resource {
  const own = resourceFromAttributes({
    "service.name": Deno.env.get("OTEL_SERVICE_NAME") ?? serviceName,
    "service.namespace": "orrery",
    "service.version": version,
    "service.instance.id": world.randomUuid(),
    "process.pid": Deno.pid,
    "process.runtime.name": "deno",
    "process.runtime.version": Deno.version.deno,
  });
  return own.merge(detectResources({ detectors: [envDetector] }));
}

/**
 * Whether a program that ends by itself is to send telemetry: when the environment asks for it, or
 * when the collector at the usual place takes a connection. Nobody waits for one that is not there.
 *
 * @example
 * ```ts
 * const telemetry = startTelemetry({ serviceName, warn, enabled: await telemetryIsWanted() });
 * ```
 */
export async function telemetryIsWanted(world: World = realWorld): Promise<boolean> {
  return endpointIsGiven() || Boolean(Deno.env.get("OTEL_SDK_DISABLED")) ||
    await someoneListens([otlpEndpoint("traces")], world);
}

/** An export of metrics that the SDK gave up waiting for; it says so here only. */
const exportTimedOut = /export timed out/;

/** The SDK's own errors, other than failed exports, as warnings; the same one twice in a row once. */
function diagnostics(warn: (message: string) => void, delivery: Delivery): DiagLogger {
  const silent = () => {};
  let last = "";
  return {
    verbose: silent,
    debug: silent,
    info: silent,
    warn: silent,
    error(message, ...rest) {
      const text = [message, ...rest].join(" ").slice(0, 500);
      if (exportTimedOut.test(text)) return delivery.failed("it does not answer in time");
      if (text === last) return;
      last = text;
      warn(`OpenTelemetry: ${text}`);
    },
  };
}
