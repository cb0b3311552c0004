/**
 * Log records, from OTLP's form to the store's.
 *
 * @module
 */
import type { OtlpRequests } from "../../service/otlp/otlp_message.ts";
import type { LogRecord } from "../../service/otlp/proto/gen/logs_pb.ts";
import { severityNumberOf, type StoredLog } from "../stores/log_store.ts";
import { hexId, type IntakeRequest, microseconds } from "./intake_request.ts";
import type { Scope, Source } from "./source.ts";

/** Keeps the records of a request. */
export function takeLogs(intake: IntakeRequest, request: OtlpRequests["logs"]): void {
  const { store, nowMs } = intake;
  for (const { resource, schemaUrl, scopeLogs } of request.resourceLogs) {
    const source = store.sources.source(resource);
    const service = store.services.seen(source.service, nowMs);
    intake.from(source.service);
    for (const { scope: sentScope, schemaUrl: ownSchemaUrl, logRecords } of scopeLogs) {
      const scope = store.sources.scope(sentScope, ownSchemaUrl || schemaUrl);
      for (const record of logRecords) {
        // Outside of a trace a record has no ids, or ids of zeros; ids that are none are no reason
        // to lose what was said (logs.proto, "trace_id").
        const { traceId, spanId } = record;
        if (!isIdOrNone(traceId, 16) || !isIdOrNone(spanId, 8)) {
          intake.mend("log_without_trace", source.service, scope.name);
        }
        store.logs.add(storedLog(intake, record, source, scope));
        service.logs++;
        intake.kept++;
      }
      intake.cut(source.service, scope.name);
    }
  }
}

function isIdOrNone(id: Uint8Array, length: number): boolean {
  return id.length === 0 || id.length === length;
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
  const traceId = hexId(record.traceId, 16) ?? "";
  const time = record.timeUnixNano || record.observedTimeUnixNano;
  return {
    seq: store.nextSeq(),
    timeMs: time === 0n ? nowMs : microseconds(time) / 1000,
    ...(record.timeUnixNano !== 0n && record.observedTimeUnixNano !== 0n && {
      observedMs: microseconds(record.observedTimeUnixNano) / 1000,
    }),
    severityNumber: record.severityNumber || severityNumberOf(record.severityText),
    severityText: record.severityText === "" ? "" : reader.name(record.severityText),
    body: reader.value(record.body),
    attributes: reader.attributes(record.attributes),
    eventName: record.eventName === "" ? "" : reader.name(record.eventName),
    traceId,
    // A span's id alone leads nowhere.
    spanId: traceId === "" ? "" : hexId(record.spanId, 8) ?? "",
    source,
    scope,
    bytes: reader.bytes,
  };
}
