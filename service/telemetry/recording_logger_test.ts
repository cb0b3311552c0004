import assert from "node:assert/strict";
import {
  type AnyValue,
  type Context,
  type Exception,
  type LogRecord,
  ROOT_CONTEXT,
  SeverityNumber,
  trace,
} from "@opentelemetry/api";
import { LoggerProvider, type ReadableLogRecord } from "@opentelemetry/sdk-logs";
import fc from "fast-check";
import { VirtualWorld } from "../world/virtual_world.ts";
import { RecordingLoggerProvider } from "./recording_logger.ts";
import { attributes, resource, spanContext, text, time, value } from "./test_records.ts";

const limits = { attributeCountLimit: 4, attributeValueLengthLimit: 20 };

function ours() {
  const emitted: ReadableLogRecord[] = [];
  const world = new VirtualWorld({ seed: 1 });
  const provider = new RecordingLoggerProvider({
    resource,
    limits,
    world,
    onEmit: (record) => emitted.push(record),
  });
  return { logger: provider.getLogger("test", "1"), emitted, provider, world };
}

function sdk() {
  const emitted: ReadableLogRecord[] = [];
  const provider = new LoggerProvider({
    resource,
    logRecordLimits: limits,
    processors: [{
      onEmit: (record) => void emitted.push(record),
      forceFlush: async () => {},
      shutdown: async () => {},
    }],
  });
  return { logger: provider.getLogger("test", "1"), emitted };
}

function seen(record: ReadableLogRecord) {
  const { hrTime, hrTimeObserved, severityNumber, severityText, body, eventName } = record;
  return {
    ...{ hrTime, hrTimeObserved, severityNumber, severityText, body, eventName },
    attributes: record.attributes,
    dropped: record.droppedAttributesCount,
    span: record.spanContext,
    scope: [record.instrumentationScope.name, record.instrumentationScope.version],
  };
}

Deno.test("RecordingLogger keeps what the SDK's logger keeps", () => {
  fc.assert(
    fc.property(
      fc.record({
        timestamp: time,
        observedTimestamp: time,
        severityNumber: fc.constantFrom(SeverityNumber.INFO, SeverityNumber.FATAL4),
        severityText: text,
        body: value as fc.Arbitrary<AnyValue>,
        eventName: text,
        attributes,
        exception: fc.constantFrom<Exception>(new TypeError("wrong"), "words", { code: 12 }),
        context: fc.option(spanContext).map((span): Context =>
          span ? trace.setSpanContext(ROOT_CONTEXT, span) : ROOT_CONTEXT
        ),
      }, { requiredKeys: ["timestamp", "observedTimestamp"] }),
      (record) => {
        const [a, b] = [ours(), sdk()].map(({ logger, emitted }) => {
          logger.emit(record as LogRecord);
          return emitted.map(seen);
        });
        assert.deepEqual(a, b);
      },
    ),
    { numRuns: 200 },
  );
});

Deno.test("RecordingLogger takes its time from the world where a record has none", () => {
  const { logger, emitted, world } = ours();
  logger.emit({ body: "now" });
  const [one] = emitted;
  assert.equal(one!.hrTime[0] * 1_000 + one!.hrTime[1] / 1e6, world.nowMs());
  assert.deepEqual(one!.hrTime, one!.hrTimeObserved);
});

Deno.test("RecordingLoggerProvider.getLogger() makes one logger a scope", () => {
  const { provider } = ours();
  assert.equal(provider.getLogger("a"), provider.getLogger("a"));
  assert.notEqual(provider.getLogger("a"), provider.getLogger("a", "2"));
  assert.notEqual(
    provider.getLogger("a", "2"),
    provider.getLogger("a", "2", { attributes: { part: 1 } }),
  );
});
