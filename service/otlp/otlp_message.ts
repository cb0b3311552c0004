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
  type Message,
  type MessageShape,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { lenientBinary, lenientJson, Unreadable } from "./lenient_decode.ts";
import { protobufJson } from "./otlp_json.ts";
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
 * Decodes a request. Unknown fields are ignored, as the specification asks; what cannot be read of
 * it is counted in `unreadable`, the rest is kept.
 *
 * @throws {OtlpDecodeError} nothing of it can be read
 *
 * @example
 * ```ts
 * const unreadable = new Unreadable();
 * const request = decodeRequest("traces", "application/json", body, unreadable);
 * ```
 */
export function decodeRequest<S extends Signal>(
  signal: S,
  encoding: Encoding,
  body: Uint8Array,
  unreadable: Unreadable = new Unreadable(),
): OtlpRequests[S] {
  const schema: DescMessage = requestSchemas[signal];
  try {
    const message = encoding === "application/json"
      ? decodeJson(schema, protobufJson(signal, body), unreadable)
      : decodeBinary(schema, body, unreadable);
    return message as unknown as OtlpRequests[S];
  } catch (error) {
    // Nesting without end exhausts the stack: a RangeError, and no reason to die.
    const reason = error instanceof Error ? error.message : String(error);
    throw new OtlpDecodeError(`The body is not ${phrases[signal]} in ${encoding}: ${reason}`, {
      cause: error,
    });
  }
}

function decodeJson(schema: DescMessage, json: unknown, unreadable: Unreadable): Message {
  try {
    return fromJson(schema, json as JsonValue, { ignoreUnknownFields: true });
  } catch {
    return lenientJson(schema, json, unreadable);
  }
}

function decodeBinary(schema: DescMessage, body: Uint8Array, unreadable: Unreadable): Message {
  try {
    return fromBinary(schema, body, { readUnknownFields: false });
  } catch {
    return lenientBinary(schema, body, unreadable);
  }
}

const phrases: Record<Signal, string> = {
  traces: "an ExportTraceServiceRequest",
  metrics: "an ExportMetricsServiceRequest",
  logs: "an ExportLogsServiceRequest",
};

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
