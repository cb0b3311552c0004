import assert from "node:assert/strict";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ExportTraceServiceRequestSchema } from "../../service/otlp/proto/gen/trace_service_pb.ts";
import {
  type ResourceSpansSchema,
  type SpanSchema,
} from "../../service/otlp/proto/gen/trace_pb.ts";
import type { ConsoleLimits } from "../page_api/stream_events.ts";
import { defaultLimits, TelemetryStore } from "../stores/telemetry_store.ts";
import type { StoredSpan } from "../stores/trace_store.ts";
import { IntakeRequest } from "./intake_request.ts";
import { takeTraces } from "./take_traces.ts";
import { plainAttributes } from "./values.ts";

const nowMs = 1_795_000_000_000;
const traceId = new Uint8Array(16).fill(0xab);
const spanId = (byte: number) => new Uint8Array(8).fill(byte);
const text = (key: string, value: string) => ({
  key,
  value: { value: { case: "stringValue" as const, value } },
});

type SpanInit = MessageInitShape<typeof SpanSchema>;

function setUp(limits: Partial<ConsoleLimits> = {}) {
  const store = new TelemetryStore({ ...defaultLimits, ...limits });
  const send = (resourceSpans: MessageInitShape<typeof ResourceSpansSchema>[]) => {
    const intake = new IntakeRequest(store, "traces", nowMs);
    takeTraces(intake, create(ExportTraceServiceRequestSchema, { resourceSpans }));
    return { refusal: intake.finish(), kept: intake.kept };
  };
  return { store, send };
}

/** Takes the spans of one scope, and gives them as they are kept. */
function take(spans: SpanInit[], limits: Partial<ConsoleLimits> = {}) {
  const { store, send } = setUp(limits);
  const { refusal, kept } = send([{
    resource: { attributes: [text("service.name", "shop")] },
    scopeSpans: [{
      scope: { name: "scope" },
      spans: spans.map((span, index) => ({
        ...{
          traceId,
          spanId: spanId(index + 1),
          startTimeUnixNano: 1_000n,
          endTimeUnixNano: 2_000n,
        },
        ...span,
      })),
    }],
  }]);
  const stored = store.traces.get(traceId.toHex())?.spans ?? [];
  return { store, refusal, kept, stored, first: stored[0]! };
}

Deno.test("takeTraces() keeps all that a span says", () => {
  const { first, store } = take([{
    name: "GET /cart",
    parentSpanId: spanId(9),
    ...{ kind: 2, flags: 0x101, traceState: "a=b", startTimeUnixNano: 1_795_000_000_000_001_999n },
    endTimeUnixNano: 1_795_000_000_000_500_000n,
    status: { code: 2, message: "broken" },
    attributes: [text("k", "v")],
    events: [{ name: "e", timeUnixNano: 5_999n, attributes: [text("a", "b")] }],
    links: [
      { traceId, spanId: spanId(7), attributes: [text("l", "m")], traceState: "c=d" },
      { traceId, spanId: spanId(8) },
    ],
  }]);
  const { source, scope, attributes, events, links, bytes, ...rest } = first;
  assert.deepEqual(rest, {
    ...{ traceId: "ab".repeat(16), spanId: "01".repeat(8), parentSpanId: "09".repeat(8) },
    ...{ name: "GET /cart", kind: 2, startUs: 1_795_000_000_000_001, durationNs: 498_001 },
    ...{ ended: true, status: 2, statusMessage: "broken", traceState: "a=b", flags: 0x101 },
    ...{ dropped: undefined, warnings: [] },
  });
  assert.deepEqual([source.service, scope.name], ["shop", "scope"]);
  assert.deepEqual({ ...plainAttributes(attributes) }, { k: "v" });
  assert.deepEqual(events, [{ name: "e", timeUs: 5, attributes: ["a", "b"] }]);
  assert.deepEqual(links, [
    {
      ...{ traceId: "ab".repeat(16), spanId: "07".repeat(8) },
      ...{ attributes: ["l", "m"], traceState: "c=d" },
    },
    { traceId: "ab".repeat(16), spanId: "08".repeat(8) },
  ]);
  assert.ok(bytes > 330);
  const [service] = store.services.rows();
  assert.deepEqual([service!.spans, service!.errors, service!.lastSeenMs], [1, 1, nowMs]);
  assert.deepEqual([...store.services.get("shop")!.operations], [["GET /cart", 2]]);
});

Deno.test("takeTraces() makes up for what a span does not say", () => {
  const { first, store } = take([{ name: "bare" }]);
  const { source: _, scope: __, bytes: ___, ...rest } = first;
  assert.deepEqual(rest, {
    ...{ traceId: "ab".repeat(16), spanId: "01".repeat(8), parentSpanId: "" },
    ...{ name: "bare", kind: 0, startUs: 1, durationNs: 1_000, ended: true },
    ...{ status: 0, statusMessage: "", traceState: "", flags: 0, dropped: undefined },
    ...{ attributes: [], events: [], links: [], warnings: [] },
  });
  assert.equal(store.services.rows()[0]!.errors, 0);
  const kinds: [SpanInit, Partial<StoredSpan>][] = [
    [{ status: { code: 1, message: "" } }, { status: 1, statusMessage: "" }],
    [{ status: { code: 0, message: "only words" } }, { status: 0, statusMessage: "only words" }],
  ];
  for (const [sent, expected] of kinds) {
    const { status, statusMessage } = take([sent]).first;
    assert.deepEqual({ status, statusMessage }, expected);
  }
});

Deno.test("takeTraces() says of times that are none what was made of them", () => {
  const cases: [
    start: bigint,
    end: bigint,
    startUs: number,
    durationNs: number,
    ended: boolean,
    string?,
  ][] = [
    [0n, 0n, nowMs * 1_000, 0, false, "the span has no times; it is shown when it arrived"],
    [0n, 7_000n, 7, 0, true, "the span has no start time; it is shown at its end"],
    [
      ...([5_000n, 0n, 5, 0, false] as const),
      "the span has no end: it is still running, or its program ended before it did",
    ],
    [
      ...([5_000n, 4_000n, 5, 0, true] as const),
      "the span ends before it begins; its duration is shown as 0",
    ],
    [5_000n, 5_000n, 5, 0, true],
  ];
  for (const [startTimeUnixNano, endTimeUnixNano, ...expected] of cases) {
    const { startUs, durationNs, ended, warnings } =
      take([{ startTimeUnixNano, endTimeUnixNano }]).first;
    assert.deepEqual([startUs, durationNs, ended, ...warnings], expected);
  }
});

Deno.test("takeTraces() refuses what has no ids, and names it", () => {
  const cases: [SpanInit, string][] = [
    [{ traceId: traceId.subarray(1) }, "invalid_trace_id: trace_id must be 16 bytes"],
    [{ traceId: new Uint8Array(16) }, "invalid_trace_id: trace_id must be 16 bytes"],
    [{ spanId: new Uint8Array(7) }, "invalid_span_id: span_id must be 8 bytes"],
    [{ parentSpanId: new Uint8Array(7).fill(1) }, "invalid_parent_span_id: parent_span_id must be"],
  ];
  for (const [span, reason] of cases) {
    const { refusal, kept, store } = take([{ ...span, name: "bad" }, { name: "good" }]);
    assert.equal(refusal!.count, 1);
    assert.match(refusal!.message, new RegExp(`^1 ${reason}.*\\(first: "bad" of shop\\)$`));
    assert.equal(kept, 1);
    assert.equal(store.services.rows()[0]!.spans, 1);
    assert.equal(store.counters.traces.received, 1);
  }
  assert.equal(take([{ parentSpanId: new Uint8Array(8) }]).first.parentSpanId, "");
});

Deno.test("takeTraces() takes a span that comes again for the same one, and none beyond a full trace", () => {
  const again = take([{ spanId: spanId(1), name: "a" }, { spanId: spanId(1), name: "b" }]);
  assert.deepEqual([again.kept, again.stored.length, again.first.name], [1, 1, "b"]);
  assert.equal(again.store.services.rows()[0]!.spans, 1);
  assert.deepEqual([...again.store.services.get("shop")!.operations.keys()], ["a"]);
  const full = take([{}, {}, { name: "third" }], { maxSpansPerTrace: 2 });
  assert.deepEqual([full.kept, full.stored.length], [2, 2]);
  assert.match(full.refusal!.message, /^1 trace_full: .*\(first: "third" of shop\)$/);
});

Deno.test("takeTraces() counts what was cut, and what its sender has dropped", () => {
  const event = { name: "e" };
  const link = { traceId, spanId: spanId(2) };
  const bad = [{ traceId: new Uint8Array(3), spanId: spanId(2) }, { traceId, spanId: spanId(0) }];
  const { first, store } = take([{
    ...{ name: "much", droppedAttributesCount: 1, droppedEventsCount: 2, droppedLinksCount: 4 },
    events: [event, event, event, event],
    links: [...bad, link, link, link],
  }], { maxEventsPerSpan: 2 });
  assert.equal(first.events.length, 2);
  assert.deepEqual(
    first.links,
    Array(2).fill({ traceId: "ab".repeat(16), spanId: "02".repeat(8) }),
  );
  assert.deepEqual(first.dropped, { attributes: 1, events: 2, links: 4 });
  assert.deepEqual(first.warnings, [
    "5 values were cut or left out at the console's limits",
    "7 attributes, events or links were dropped by the sender",
  ]);
  const [row] = store.notices.rows();
  assert.deepEqual([row!.reason, row!.count, row!.example, row!.sender], [
    "cut",
    5,
    "much",
    "shop",
  ]);
  const lean = take([{}]).first.bytes;
  assert.equal(
    take([{ events: [{}] }]).first.bytes - lean,
    64 + 24,
    "an event and its list of attributes",
  );
  assert.equal(take([{ links: [link] }]).first.bytes - lean, 130);
});

Deno.test("takeTraces() knows the schema of a scope, and each service by its own resource", () => {
  const { store, send } = setUp();
  const span = (id: number) => ({
    ...{ traceId, spanId: spanId(id), startTimeUnixNano: 1n, endTimeUnixNano: 2n },
  });
  send([
    {
      resource: { attributes: [text("service.name", "one")] },
      schemaUrl: "of the resource",
      scopeSpans: [
        { spans: [span(1)] },
        { schemaUrl: "its own", spans: [span(2)] },
      ],
    },
    { scopeSpans: [{ spans: [span(3)] }] },
  ]);
  const { spans } = store.traces.get(traceId.toHex())!;
  assert.deepEqual(
    spans.map(({ source, scope }) => [source.service, scope.schemaUrl]),
    [["one", "of the resource"], ["one", "its own"], ["unknown_service", undefined]],
  );
  assert.deepEqual(
    store.services.rows().map(({ name, spans }) => [name, spans]),
    [["one", 2], ["unknown_service", 1]],
  );
});

Deno.test("takeTraces() warns a span of what was cut of it, not of the ones before", () => {
  const { stored } = take([{ events: [{}, {}] }, {}, { events: [{}, {}, {}] }], {
    maxEventsPerSpan: 1,
  });
  assert.deepEqual(stored.map(({ warnings }) => warnings.length), [1, 0, 1]);
  assert.match(stored[2]!.warnings[0]!, /^2 values/);
});
