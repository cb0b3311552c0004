/**
 * OTLP requests and answers between bytes and messages, in both encodings of OTLP/HTTP
 * (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP"): binary protobuf, and JSON with its two
 * deviations from protobuf's JSON mapping: ids are hex instead of base64, enums are numbers.
 *
 * @module
 */
import {
  create,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonValue,
  type MessageShape,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { StatusSchema } from "./proto/gen/status_pb.ts";
import {
  type ExportLogsServiceRequest,
  ExportLogsServiceRequestSchema,
  ExportLogsServiceResponseSchema,
} from "./proto/gen/logs_service_pb.ts";
import {
  type ExportMetricsServiceRequest,
  ExportMetricsServiceRequestSchema,
  ExportMetricsServiceResponseSchema,
} from "./proto/gen/metrics_service_pb.ts";
import {
  type ExportTraceServiceRequest,
  ExportTraceServiceRequestSchema,
  ExportTraceServiceResponseSchema,
} from "./proto/gen/trace_service_pb.ts";

/** The signals of OTLP, by the last part of their path. */
export type Signal = "traces" | "metrics" | "logs";

/** The two encodings, named by their media types. */
export type Encoding = "application/x-protobuf" | "application/json";

/** A request of each signal. */
export interface OtlpRequests {
  traces: ExportTraceServiceRequest;
  metrics: ExportMetricsServiceRequest;
  logs: ExportLogsServiceRequest;
}

const requestSchemas = {
  traces: ExportTraceServiceRequestSchema,
  metrics: ExportMetricsServiceRequestSchema,
  logs: ExportLogsServiceRequestSchema,
} satisfies Record<Signal, DescMessage>;

/** Bytes that are no OTLP request. The message says what is wrong with them. */
export class OtlpDecodeError extends Error {
  override name = "OtlpDecodeError";
}

/**
 * Decodes a request. Unknown fields are ignored, as the specification asks.
 *
 * @throws {OtlpDecodeError}
 */
export function decodeRequest<S extends Signal>(
  signal: S,
  encoding: Encoding,
  body: Uint8Array,
): OtlpRequests[S] {
  const schema: DescMessage = requestSchemas[signal];
  try {
    const message = encoding === "application/json"
      ? fromJson(schema, protobufJson(body), { ignoreUnknownFields: true })
      : fromBinary(schema, body, { readUnknownFields: false });
    return message as unknown as OtlpRequests[S];
  } catch (error) {
    // Nesting without end exhausts the stack: a RangeError, and no reason to die.
    const reason = error instanceof Error ? error.message : String(error);
    throw new OtlpDecodeError(`The body is not ${phrases[signal]} in ${encoding}: ${reason}`, {
      cause: error,
    });
  }
}

const phrases: Record<Signal, string> = {
  traces: "an ExportTraceServiceRequest",
  metrics: "an ExportMetricsServiceRequest",
  logs: "an ExportLogsServiceRequest",
};

// OTLP's JSON to protobuf's JSON.

const idFields = new Set(["traceId", "spanId", "parentSpanId"]);
/** Where values of attributes begin: nothing below is an id field, whatever its name. */
const valueFields = new Set(["value", "body", "attributes", "filteredAttributes", "resource"]);

function protobufJson(body: Uint8Array): JsonValue {
  const json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  convertIds(json);
  return json;
}

function convertIds(node: unknown): void {
  if (Array.isArray(node)) {
    for (const item of node) convertIds(item);
    return;
  }
  if (typeof node !== "object" || node === null) return;
  const fields = node as Record<string, unknown>;
  for (const key of Object.keys(fields)) {
    const value = fields[key];
    if (idFields.has(key)) fields[key] = base64OfHex(key, value);
    else if (typeof value === "object" && !valueFields.has(key)) convertIds(value);
  }
}

function base64OfHex(key: string, value: unknown): unknown {
  if (value === null || value === "") return value;
  if (typeof value !== "string" || !/^(?:[0-9a-fA-F]{2})*$/.test(value)) {
    throw new TypeError(`${key} must be a string of hex digits`);
  }
  return Uint8Array.fromHex(value).toBase64();
}

// Answers.

/** What was refused of a request that was otherwise taken. */
export interface Refusal {
  count: number;
  message: string;
}

/** Encodes the answer to a request that was taken, in whole or (with a refusal) in part. */
export function encodeResponse(
  signal: Signal,
  encoding: Encoding,
  refusal: Refusal | undefined,
): Uint8Array<ArrayBuffer> {
  if (refusal === undefined) return encoding === "application/json" ? emptyJson : emptyBinary;
  const errorMessage = refusal.message;
  const count = BigInt(refusal.count);
  switch (signal) {
    case "traces":
      return encode(
        ExportTraceServiceResponseSchema,
        encoding,
        create(ExportTraceServiceResponseSchema, {
          partialSuccess: { rejectedSpans: count, errorMessage },
        }),
      );
    case "metrics":
      return encode(
        ExportMetricsServiceResponseSchema,
        encoding,
        create(ExportMetricsServiceResponseSchema, {
          partialSuccess: { rejectedDataPoints: count, errorMessage },
        }),
      );
    case "logs":
      return encode(
        ExportLogsServiceResponseSchema,
        encoding,
        create(ExportLogsServiceResponseSchema, {
          partialSuccess: { rejectedLogRecords: count, errorMessage },
        }),
      );
  }
}

/** Encodes a `google.rpc.Status`, the body of every answer that is not 200. */
export function encodeStatus(
  encoding: Encoding,
  code: number,
  message: string,
): Uint8Array<ArrayBuffer> {
  return encode(StatusSchema, encoding, create(StatusSchema, { code, message }));
}

const emptyJson = new TextEncoder().encode("{}");
const emptyBinary = new Uint8Array();

function encode<Desc extends DescMessage>(
  schema: Desc,
  encoding: Encoding,
  message: MessageShape<Desc>,
): Uint8Array<ArrayBuffer> {
  return encoding === "application/json"
    ? new TextEncoder().encode(JSON.stringify(toJson(schema, message)))
    : toBinary(schema, message) as Uint8Array<ArrayBuffer>;
}
