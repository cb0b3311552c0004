/**
 * The one place that knows the OpenTelemetry SDK: traces, metrics and logs by OTLP/HTTP
 * (protobuf), W3C trace context in and out. Everything else uses `@opentelemetry/api`.
 *
 * Telemetry never breaks or slows a service: queues are bounded, an absent collector costs one
 * warning, and what is dropped is counted by the SDK's own metrics
 * (`otel.sdk.processor.span.processed` and `otel.sdk.processor.log.processed` with
 * `error.type=queue_full`, `otel.sdk.exporter.*.exported` with the exporter's error).
 *
 * Configured by the standard variables; these are read here or by the exporters:
 * `OTEL_SDK_DISABLED`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`,
 * `OTEL_TRACES_SAMPLER_ARG`, `OTEL_BSP_*`, `OTEL_BLRP_*`, `OTEL_METRIC_EXPORT_INTERVAL`,
 * `OTEL_METRIC_EXPORT_TIMEOUT`, `OTEL_EXPORTER_OTLP_*` (endpoint, headers, timeout, compression).
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
  type ExportResult,
  ExportResultCode,
  setGlobalErrorHandler,
  W3CBaggagePropagator,
  W3CTraceContextPropagator,
} from "@opentelemetry/core";
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-proto";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import {
  detectResources,
  envDetector,
  type Resource,
  resourceFromAttributes,
} from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { version } from "./version.ts";

/** A program's telemetry while it runs. */
export interface Telemetry {
  /** False when `OTEL_SDK_DISABLED=true`; tracer and meter then do nothing. */
  readonly enabled: boolean;
  /** Makes the program's spans. */
  readonly tracer: Tracer;
  /** Makes the program's instruments. */
  readonly meter: Meter;
  /** Sends what is queued, for at most `timeoutMs`, and stops. Never rejects. */
  shutdown(timeoutMs: number): Promise<void>;
}

/** Options of {@linkcode startTelemetry}. */
export interface TelemetryOptions {
  /** `service.name`, unless `OTEL_SERVICE_NAME` says otherwise. */
  serviceName: string;
  /** False turns it off, whatever the environment says. @default true */
  enabled?: boolean;
  /** Told once when delivery begins to fail and once when it works again. */
  warn: (message: string) => void;
}

const defaultEndpoint = "http://127.0.0.1:4318";

/** Installs the SDK globally. Call once, before anything asks for a tracer or meter. */
export function startTelemetry(options: TelemetryOptions): Telemetry {
  const tracer = () => trace.getTracer(options.serviceName, version);
  const meter = () => metrics.getMeter(options.serviceName, version);
  const { enabled = true } = options;
  if (!enabled || Deno.env.get("OTEL_SDK_DISABLED")?.toLowerCase() === "true") {
    return { enabled: false, tracer: tracer(), meter: meter(), shutdown: async () => {} };
  }

  const delivery = watchDelivery(options.warn);
  // Failed exports reach the SDK's error handler too, once a batch: `delivery` has told of them.
  setGlobalErrorHandler(() => {});
  diag.setLogger(diagnostics(options.warn), { logLevel: DiagLogLevel.ERROR });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(
    new CompositePropagator({
      propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()],
    }),
  );

  const resource = programResource(options.serviceName);
  const metricIntervalMs = environmentNumber("OTEL_METRIC_EXPORT_INTERVAL", 5_000);
  const meterProvider = new MeterProvider({
    resource,
    readers: [
      new PeriodicExportingMetricReader({
        exporter: delivery.watch(new OTLPMetricExporter(exporterOptions("metrics"))),
        exportIntervalMillis: metricIntervalMs,
        // The SDK refuses to start with a timeout beyond the interval.
        exportTimeoutMillis: Math.min(
          environmentNumber("OTEL_METRIC_EXPORT_TIMEOUT", 5_000),
          metricIntervalMs,
        ),
      }),
    ],
  });
  const tracerProvider = new TracerProvider({
    resource,
    sampler: environmentSampler(),
    spanLimits: { attributeValueLengthLimit: 4_096 },
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: delivery.watch(new OTLPTraceExporter(exporterOptions("traces"))),
        selfObsMeterProvider: meterProvider,
        ...batchOptions("OTEL_BSP"),
      }),
    ],
  });
  const loggerProvider = new LoggerProvider({
    resource,
    logRecordLimits: { attributeValueLengthLimit: 16_384 },
    processors: [
      new BatchLogRecordProcessor({
        exporter: delivery.watch(new OTLPLogExporter(exporterOptions("logs"))),
        selfObsMeterProvider: meterProvider,
        ...batchOptions("OTEL_BLRP"),
      }),
    ],
  });
  metrics.setGlobalMeterProvider(meterProvider);
  trace.setGlobalTracerProvider(tracerProvider);
  logs.setGlobalLoggerProvider(loggerProvider);

  return {
    enabled: true,
    tracer: tracer(),
    meter: meter(),
    async shutdown(timeoutMs) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const deadline = new Promise<void>((resolve) => timer = setTimeout(resolve, timeoutMs));
      const flushed = Promise.allSettled([
        tracerProvider.shutdown(),
        loggerProvider.shutdown(),
        meterProvider.shutdown(),
      ]);
      await Promise.race([flushed, deadline]);
      clearTimeout(timer);
    },
  };
}

function programResource(serviceName: string): Resource {
  const own = resourceFromAttributes({
    "service.name": Deno.env.get("OTEL_SERVICE_NAME") ?? serviceName,
    "service.namespace": "orrery",
    "service.version": version,
    "service.instance.id": crypto.randomUUID(),
    "process.pid": Deno.pid,
    "process.runtime.name": "deno",
    "process.runtime.version": Deno.version.deno,
  });
  return own.merge(detectResources({ detectors: [envDetector] }));
}

/** The exporters read `OTEL_EXPORTER_OTLP_*` themselves; without it, loopback by number, as `localhost` may be `::1`. */
function exporterOptions(signal: "traces" | "metrics" | "logs"): { url?: string } {
  const given = Deno.env.get("OTEL_EXPORTER_OTLP_ENDPOINT") ??
    Deno.env.get(`OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_ENDPOINT`);
  return given ? {} : { url: `${defaultEndpoint}/v1/${signal}` };
}

function batchOptions(prefix: "OTEL_BSP" | "OTEL_BLRP") {
  return {
    // Below the specification's 5 s: someone is watching.
    scheduledDelayMillis: environmentNumber(`${prefix}_SCHEDULE_DELAY`, 1_000),
    exportTimeoutMillis: environmentNumber(`${prefix}_EXPORT_TIMEOUT`, 10_000),
    maxQueueSize: environmentNumber(`${prefix}_MAX_QUEUE_SIZE`, 8_192),
    maxExportBatchSize: environmentNumber(`${prefix}_MAX_EXPORT_BATCH_SIZE`, 512),
  };
}

function environmentNumber(name: string, fallback: number): number {
  const text = Deno.env.get(name);
  const value = Number(text);
  return text === undefined || text === "" || !Number.isFinite(value) || value <= 0
    ? fallback
    : value;
}

/** `OTEL_TRACES_SAMPLER` as the specification names the samplers. */
function environmentSampler(): Sampler {
  const name = Deno.env.get("OTEL_TRACES_SAMPLER") ?? "parentbased_always_on";
  const ratio = Number(Deno.env.get("OTEL_TRACES_SAMPLER_ARG") ?? "1");
  const root = name.endsWith("always_off")
    ? new AlwaysOffSampler()
    : name.endsWith("traceidratio")
    ? new TraceIdRatioBasedSampler(ratio)
    : new AlwaysOnSampler();
  return name.startsWith("parentbased_") ? new ParentBasedSampler({ root }) : root;
}

interface Exporter<Batch> {
  export(batch: Batch, done: (result: ExportResult) => void): void;
}

/** Turns every exporter's results into one state, so that an outage is told once, not a batch at a time. */
function watchDelivery(warn: (message: string) => void) {
  let failing = false;

  function told(result: ExportResult): void {
    if (result.code === ExportResultCode.SUCCESS) {
      if (failing) warn("Telemetry is delivered again.");
      failing = false;
    } else if (!failing) {
      failing = true;
      const endpoint = Deno.env.get("OTEL_EXPORTER_OTLP_ENDPOINT") ?? defaultEndpoint;
      warn(
        `Telemetry cannot be delivered to ${withoutCredentials(endpoint)} (${
          result.error?.message ?? "no reason given"
        }). The service goes on; queues are bounded and what overflows is counted. Start a collector there (deno task console), name another with OTEL_EXPORTER_OTLP_ENDPOINT, or turn telemetry off with OTEL_SDK_DISABLED=true.`,
      );
    }
  }

  return {
    /** The same exporter, its results seen. */
    watch<Batch, E extends Exporter<Batch>>(exporter: E & Exporter<Batch>): E {
      const original = exporter.export.bind(exporter);
      exporter.export = (batch, done) =>
        original(batch, (result) => {
          told(result);
          done(result);
        });
      return exporter;
    },
  };
}

function withoutCredentials(url: string): string {
  return url.replace(/\/\/[^/@]*@/, "//");
}

/** The SDK's own errors, other than failed exports, as warnings; the same one twice in a row once. */
function diagnostics(warn: (message: string) => void): DiagLogger {
  const silent = () => {};
  let last = "";
  return {
    verbose: silent,
    debug: silent,
    info: silent,
    warn: silent,
    error(message, ...rest) {
      const text = [message, ...rest].join(" ").slice(0, 500);
      if (text === last) return;
      last = text;
      warn(`OpenTelemetry: ${text}`);
    },
  };
}
