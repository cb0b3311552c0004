/**
 * Log records, from OTLP's form to the store's.
 *
 * @module
 */
import type { OtlpRequests } from "../../service/otlp/otlp_message.ts";
import type { LogRecord } from "../../service/otlp/proto/gen/logs_pb.ts";
import type { StoredLog } from "../stores/log_store.ts";
import { hexId, type IntakeRequest, microseconds } from "./intake_request.ts";
import type { Scope, Source } from "./source.ts";

/** Keeps the records of a request. */
export function takeLogs(intake: IntakeRequest, request: OtlpRequests["logs"]): void {
  const { store, nowMs } = intake;
  for (const { resource, scopeLogs } of request.resourceLogs) {
    const source = store.sources.source(resource);
    const service = store.services.seen(source.service, nowMs);
    for (const { scope: sentScope, logRecords } of scopeLogs) {
      const scope = store.sources.scope(sentScope);
      for (const record of logRecords) {
        // Outside of a trace a record has no ids, or ids of zeros.
        const { traceId, spanId } = record;
        if (traceId.length !== 0 && traceId.length !== 16) intake.refuse("invalid_trace_id");
        else if (spanId.length !== 0 && spanId.length !== 8) intake.refuse("invalid_span_id");
        else {
          store.logs.add(storedLog(intake, record, source, scope));
          service.logs++;
          intake.kept++;
        }
      }
    }
  }
}

const logBytes = 250;

function storedLog(
  { store, nowMs }: IntakeRequest,
  record: LogRecord,
  source: Source,
  scope: Scope,
): StoredLog {
  const { reader } = store;
  reader.bytes = logBytes;
  const time = record.timeUnixNano || record.observedTimeUnixNano;
  return {
    seq: store.nextSeq(),
    timeMs: time === 0n ? nowMs : microseconds(time) / 1000,
    severityNumber: record.severityNumber,
    severityText: record.severityText === "" ? "" : reader.name(record.severityText),
    body: reader.value(record.body),
    attributes: reader.attributes(record.attributes),
    eventName: record.eventName === "" ? "" : reader.name(record.eventName),
    traceId: hexId(record.traceId, 16) ?? "",
    spanId: hexId(record.spanId, 8) ?? "",
    source,
    scope,
    bytes: reader.bytes,
  };
}
