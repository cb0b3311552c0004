import assert from "node:assert/strict";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ExportLogsServiceRequestSchema } from "../../service/otlp/proto/gen/logs_service_pb.ts";
import { type LogRecordSchema } from "../../service/otlp/proto/gen/logs_pb.ts";
import { TelemetryStore } from "../stores/telemetry_store.ts";
import { IntakeRequest } from "./intake_request.ts";
import { takeLogs } from "./take_logs.ts";

const nowMs = 1_795_000_000_000;
const traceId = new Uint8Array(16).fill(0xab);
const spanId = new Uint8Array(8).fill(0xcd);

/** Takes these records of one scope, and gives them as they are kept, the oldest first. */
function take(
  logRecords: MessageInitShape<typeof LogRecordSchema>[],
  more: { schemaUrl?: string; ownSchemaUrl?: string } = {},
) {
  const store = new TelemetryStore();
  const intake = new IntakeRequest(store, "logs", nowMs);
  const { schemaUrl = "", ownSchemaUrl = "" } = more;
  const scopeLogs = [{ scope: { name: "scope" }, schemaUrl: ownSchemaUrl, logRecords }];
  takeLogs(
    intake,
    create(ExportLogsServiceRequestSchema, { resourceLogs: [{ schemaUrl, scopeLogs }] }),
  );
  assert.equal(intake.finish(), undefined, "no record is refused");
  return { store, kept: [...store.logs.newestFirst()].reverse() };
}

Deno.test("takeLogs() keeps a record's own time, the observer's beside it, and else the time of its arrival", () => {
  const [own, observed] = [1_795_000_001_234_567_000n, 1_795_000_002_000_000_000n];
  const times = take([
    { timeUnixNano: own, observedTimeUnixNano: observed },
    { timeUnixNano: own },
    { observedTimeUnixNano: observed },
    {},
  ]).kept.map(({ timeMs, observedMs }) => [timeMs, observedMs]);
  assert.deepEqual(times, [
    [1_795_000_001_234.567, 1_795_000_002_000],
    [1_795_000_001_234.567, undefined],
    [1_795_000_002_000, undefined],
    [nowMs, undefined],
  ]);
});

Deno.test("takeLogs() keeps ids that are ids, and says of others that they were none", () => {
  const [trace, span] = ["ab".repeat(16), "cd".repeat(8)];
  const none = new Uint8Array();
  for (
    const [ids, kept, mended] of [
      [{ traceId, spanId }, [trace, span], 0],
      [{ traceId, spanId: none }, [trace, ""], 0],
      [{ traceId: none, spanId: none }, ["", ""], 0],
      [{ traceId: new Uint8Array(16), spanId: new Uint8Array(8) }, ["", ""], 0],
      [{ traceId: none, spanId }, ["", ""], 0],
      [{ traceId: traceId.subarray(1), spanId }, ["", ""], 1],
      [{ traceId, spanId: spanId.subarray(1) }, [trace, ""], 1],
    ] as const
  ) {
    const { kept: [log], store } = take([ids]);
    assert.deepEqual([log!.traceId, log!.spanId], kept);
    const rows = store.notices.rows();
    assert.equal(rows.length, mended, JSON.stringify(rows));
    if (mended > 0) {
      const [{ reason, example, sender, signal } = {} as never] = rows;
      assert.deepEqual(
        [signal, sender, reason, example],
        ["logs", "unknown_service", "log_without_trace", "scope"],
      );
    }
  }
});

Deno.test("takeLogs() keeps words as they are, counts records, and takes the resource's schema where there is no other", () => {
  const { kept, store } = take(
    [{ severityText: "WARN", eventName: "e" }, { severityNumber: 21 }],
    { schemaUrl: "of the resource" },
  );
  assert.deepEqual(
    kept.map(({ severityText, severityNumber, eventName }) => [
      ...[severityText, severityNumber, eventName],
    ]),
    [["WARN", 13, "e"], ["", 21, ""]],
  );
  assert.deepEqual(kept.map(({ scope }) => scope.schemaUrl), Array(2).fill("of the resource"));
  assert.equal(store.services.rows()[0]!.logs, 2);
  assert.equal(store.counters.logs.received, 2);
  const own = take([{}], { schemaUrl: "of the resource", ownSchemaUrl: "its own" });
  assert.equal(own.kept[0]!.scope.schemaUrl, "its own");
});
