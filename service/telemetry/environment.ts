/**
 * The standard environment variables of telemetry that the SDK's exporters do not read themselves
 * (OpenTelemetry specification, "Environment variables").
 *
 * @module
 */
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace";
import type { BatchLimits } from "./batch_processor.ts";
import type { Sampling } from "./recording_tracer.ts";
import { TelemetryVariableError } from "./variable_error.ts";

/** The signals, as paths and variables name them. */
export type Signal = "traces" | "metrics" | "logs";

/** How telemetry travels: OTLP over HTTP. */
export const otlpProtocols = ["http/protobuf", "http/json"] as const;
/** One of {@linkcode otlpProtocols}. */
export type OtlpProtocol = typeof otlpProtocols[number];

/** Where telemetry goes by default; by number, as `localhost` may be `::1`. */
export const defaultEndpoint = "http://127.0.0.1:4318";

/**
 * `OTEL_EXPORTER_OTLP_<SIGNAL>_PROTOCOL`, else `OTEL_EXPORTER_OTLP_PROTOCOL`, else protobuf.
 *
 * @throws {TelemetryVariableError} it names another one, such as `grpc`
 */
export function otlpProtocol(signal: Signal): OtlpProtocol {
  const names = [
    `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_PROTOCOL`,
    "OTEL_EXPORTER_OTLP_PROTOCOL",
  ];
  for (const name of names) {
    // Empty is the same as not set ("Parsing empty value").
    const value = Deno.env.get(name);
    if (!value) continue;
    const protocol = otlpProtocols.find((one) => one === value);
    if (protocol) return protocol;
    const why = `is not supported: set it to ${listed(otlpProtocols)}`;
    throw refused(name, value, why, otlpProtocols[0]);
  }
  return otlpProtocols[0];
}

/** Where a signal is sent to, without the path that the exporter adds. */
export function otlpEndpoint(signal: Signal): string {
  return givenEndpoint(signal) ?? defaultEndpoint;
}

/** Whether the environment says where telemetry goes, for any signal. */
export function endpointIsGiven(): boolean {
  return (["traces", "metrics", "logs"] as const).some((signal) => givenEndpoint(signal));
}

/** Options of the SDK's exporters, which read `OTEL_EXPORTER_OTLP_*` themselves: only the default is ours. */
export function exporterOptions(signal: Signal): { url?: string } {
  return givenEndpoint(signal) === undefined ? { url: `${defaultEndpoint}/v1/${signal}` } : {};
}

function givenEndpoint(signal: Signal): string | undefined {
  return Deno.env.get(`OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_ENDPOINT`) ||
    Deno.env.get("OTEL_EXPORTER_OTLP_ENDPOINT") || undefined;
}

/**
 * `OTEL_BSP_*` for spans, `OTEL_BLRP_*` for log records.
 *
 * @throws {TelemetryVariableError} one is no number above 0
 */
export function batchLimits(prefix: "OTEL_BSP" | "OTEL_BLRP"): BatchLimits {
  return {
    // Below the specification's 5 s: someone is watching.
    scheduledDelayMillis: numberVariable(`${prefix}_SCHEDULE_DELAY`, 1_000),
    exportTimeoutMillis: numberVariable(`${prefix}_EXPORT_TIMEOUT`, 10_000),
    maxQueueSize: numberVariable(`${prefix}_MAX_QUEUE_SIZE`, 8_192),
    // Above its 512: an HTTP request costs as much as encoding some 200 spans.
    maxExportBatchSize: numberVariable(`${prefix}_MAX_EXPORT_BATCH_SIZE`, 2_048),
  };
}

/**
 * A number above 0.
 *
 * @throws {TelemetryVariableError} it is anything else
 */
export function numberVariable(name: string, fallback: number): number {
  const text = Deno.env.get(name);
  if (!text) return fallback;
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw refused(name, text, "is no number above 0: set it to one", String(fallback));
}

/** As the specification names them. */
const samplers = ["always_on", "always_off", "traceidratio"]
  .flatMap((name) => [`parentbased_${name}`, name]);

/**
 * `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
 *
 * @throws {TelemetryVariableError} they name a sampler that is not here, or no ratio
 */
export function sampling(): Sampling {
  const name = Deno.env.get("OTEL_TRACES_SAMPLER") || samplers[0]!;
  if (!samplers.includes(name)) {
    const why = `is not supported: set it to ${listed(samplers)}`;
    throw refused("OTEL_TRACES_SAMPLER", name, why, samplers[0]!);
  }
  return {
    sampler: name.endsWith("always_off")
      ? new AlwaysOffSampler()
      : name.endsWith("traceidratio")
      ? new TraceIdRatioBasedSampler(ratio())
      : new AlwaysOnSampler(),
    parentBased: name.startsWith("parentbased_"),
  };
}

/** With anything else the SDK's sampler would take no trace at all. */
function ratio(): number {
  const text = Deno.env.get("OTEL_TRACES_SAMPLER_ARG");
  if (!text) return 1;
  const value = Number(text);
  if (value >= 0 && value <= 1) return value;
  throw refused("OTEL_TRACES_SAMPLER_ARG", text, "is no number from 0 to 1: set it to one", "1");
}

function listed(values: readonly string[]): string {
  return values.map((one) => `'${one}'`).join(" or ");
}

/** Says what, where, and what to do. */
function refused(name: string, value: string, why: string, otherwise: string) {
  return new TelemetryVariableError(
    `Environment variable ${name} is '${value}', which ${why}, or unset it for '${otherwise}'.`,
  );
}
