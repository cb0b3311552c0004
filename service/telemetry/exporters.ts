/**
 * What sends telemetry: the SDK's OTLP/HTTP transport, with its variables (`OTEL_EXPORTER_OTLP_*`:
 * endpoint, headers, timeout, compression, certificates), its retries and its metrics.
 *
 * @module
 */
import type { MeterProvider } from "@opentelemetry/api";
import { OTLPMetricExporter as JsonMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPMetricExporter as ProtobufMetricExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { OTLPExporterBase } from "@opentelemetry/otlp-exporter-base";
import {
  convertLegacyHttpOptions,
  createOtlpHttpExportDelegate,
} from "@opentelemetry/otlp-exporter-base/node-http";
import {
  type ISerializer,
  JsonLogsSerializer,
  JsonTraceSerializer,
  ProtobufLogsSerializer,
  ProtobufTraceSerializer,
} from "@opentelemetry/otlp-transformer";
import type { ReadableLogRecord } from "@opentelemetry/sdk-logs";
import type { PushMetricExporter } from "@opentelemetry/sdk-metrics";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import { type Batch, type EncodedRequest, JsonBatch, ProtobufBatch } from "./batch.ts";
import type { RequestExporter } from "./batch_processor.ts";
import { exporterOptions, type OtlpProtocol } from "./environment.ts";
import { writeLogRecord, writeSpan } from "./otlp_encoder.ts";

/** Gathers ended spans for a protocol. */
export function spanBatch(protocol: OtlpProtocol): Batch<ReadableSpan> {
  return protocol === "http/json"
    ? new JsonBatch((spans) => JsonTraceSerializer.serializeRequest(spans))
    : new ProtobufBatch(writeSpan);
}

/** Gathers log records for a protocol. */
export function logBatch(protocol: OtlpProtocol): Batch<ReadableLogRecord> {
  return protocol === "http/json"
    ? new JsonBatch((records) => JsonLogsSerializer.serializeRequest(records))
    : new ProtobufBatch(writeLogRecord);
}

/**
 * Sends what {@linkcode spanBatch} gathers.
 *
 * @param url where to, such as `http://127.0.0.1:4318/v1/traces`; without, the variables say
 */
export function spanExporter(
  protocol: OtlpProtocol,
  meters: MeterProvider,
  url?: string,
): RequestExporter {
  const serializer = protocol === "http/json" ? JsonTraceSerializer : ProtobufTraceSerializer;
  return requestExporter({ signal: "traces", record: "span", protocol, serializer }, meters, url);
}

/** Sends what {@linkcode logBatch} gathers. */
export function logExporter(protocol: OtlpProtocol, meters: MeterProvider): RequestExporter {
  const serializer = protocol === "http/json" ? JsonLogsSerializer : ProtobufLogsSerializer;
  return requestExporter({ signal: "logs", record: "log", protocol, serializer }, meters);
}

/** Sends metrics, as the SDK does. */
export function metricExporter(protocol: OtlpProtocol): PushMetricExporter {
  const options = exporterOptions("metrics");
  return protocol === "http/json"
    ? new JsonMetricExporter(options)
    : new ProtobufMetricExporter(options);
}

interface Kind<Response> {
  signal: "traces" | "logs";
  record: "span" | "log";
  protocol: OtlpProtocol;
  serializer: Pick<ISerializer<never, Response>, "deserializeResponse">;
}

function requestExporter<Response>(
  { signal, record, protocol, serializer }: Kind<Response>,
  meters: MeterProvider,
  url?: string,
): RequestExporter {
  const contentType = protocol === "http/json" ? "application/json" : "application/x-protobuf";
  return new OTLPExporterBase(createOtlpHttpExportDelegate<EncodedRequest, Response>(
    convertLegacyHttpOptions(
      url === undefined ? exporterOptions(signal) : { url },
      signal.toUpperCase(),
      `v1/${signal}`,
      {
        "Content-Type": contentType,
      },
    ),
    {
      serializeRequest: ({ bytes }) => bytes,
      deserializeResponse: (bytes) => serializer.deserializeResponse(bytes),
    },
    `otlp_http_${record}_exporter`,
    { name: record, countItems: ({ count }) => count },
    meters,
  ));
}
