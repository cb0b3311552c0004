import assert from "node:assert/strict";
import type { Source } from "../intake/source.ts";
import {
  type StoredSpan,
  TraceStore,
  type TraceStoreOptions,
  traceSummary,
} from "./trace_store.ts";

function store(options: Partial<TraceStoreOptions> = {}): TraceStore {
  let seq = 0;
  return new TraceStore({
    maxSpans: 100,
    maxTraces: 100,
    maxSpansPerTrace: 100,
    maxBytes: 1e9,
    nextSeq: () => ++seq,
    ...options,
  });
}

function source(service: string): Source {
  return { service, instance: undefined, attributes: [], key: service };
}

let ids = 0;

function span(given: Partial<StoredSpan> = {}): StoredSpan {
  return {
    traceId: "t1",
    spanId: `s${++ids}`,
    parentSpanId: "",
    name: "work",
    kind: 1,
    startUs: 1_000,
    durationNs: 5_000,
    ended: true,
    status: 0,
    statusMessage: "",
    traceState: "",
    attributes: [],
    events: [],
    links: [],
    source: source("shop"),
    scope: { name: "", version: "" },
    flags: 0,
    dropped: undefined,
    warnings: [],
    bytes: 100,
    ...given,
  };
}

Deno.test("TraceStore forgets whole traces, the oldest first, when there are too many spans", () => {
  const traces = store({ maxSpans: 5 });
  for (const traceId of ["a", "a", "b", "c", "c", "b"]) traces.add(span({ traceId }));
  assert.equal(traces.get("a"), undefined);
  assert.deepEqual([...traces.newestFirst()].map(({ traceId }) => traceId), ["c", "b"]);
  assert.equal(traces.spans, 4);
  assert.equal(traces.evicted, 2);
});

Deno.test("TraceStore keeps to its number of traces and its bytes, and counts down exactly", () => {
  const byNumber = store({ maxTraces: 2 });
  for (const traceId of ["a", "b", "c", "d"]) byNumber.add(span({ traceId }));
  assert.deepEqual([...byNumber.newestFirst()].map(({ traceId }) => traceId), ["d", "c"]);

  const byBytes = store({ maxBytes: 10_000 });
  for (let i = 0; i < 500; i++) byBytes.add(span({ traceId: `t${i}`, bytes: 300 }));
  assert.ok(byBytes.bytes <= 10_000 && byBytes.bytes > 9_000, `${byBytes.bytes}`);
  byBytes.clear();
  assert.equal(byBytes.bytes, 0);
  assert.equal(byBytes.spans, 0);
});

Deno.test("TraceStore refuses spans of a trace that is too long or too large", () => {
  const traces = store({ maxSpansPerTrace: 3, maxBytes: 10_000 });
  for (let i = 0; i < 3; i++) assert.equal(traces.add(span()), "kept");
  assert.equal(traces.add(span()), "trace_full");
  assert.equal(traces.add(span({ traceId: "large", bytes: 2_400 })), "trace_full");
  assert.equal(traces.get("large"), undefined);
  assert.equal(traces.spans, 3);
});

Deno.test("TraceStore knows a span that comes again, in short traces and in long ones", () => {
  const traces = store();
  const spans = Array.from({ length: 60 }, () => span());
  for (const one of spans) assert.equal(traces.add(one), "kept");
  for (const one of spans) assert.equal(traces.add(one), "replaced");
  assert.equal(traces.spans, 60);
  assert.equal(traces.takeChanged().length, 1);
  assert.equal(traces.takeChanged().length, 0);
});

Deno.test("traceSummary() gives root, length, services and errors, and changes with new spans", () => {
  const traces = store();
  const child = span({
    parentSpanId: "root",
    name: "SELECT",
    startUs: 2_000,
    durationNs: 500,
    status: 2,
    source: source("db"),
  });
  traces.add(child);
  const trace = traces.get("t1")!;
  assert.deepEqual(traceSummary(trace), {
    traceId: "t1",
    rootName: "SELECT",
    rootService: "db",
    services: [{ name: "db", spans: 1, errors: 1 }],
    startMs: 2,
    durationMs: 0.0005,
    spanCount: 1,
    errorCount: 1,
    complete: false,
  });
  const before = trace.changedSeq;
  traces.add(span({ spanId: "root", name: "GET /", startUs: 1_000, durationNs: 3_000_000 }));
  assert.ok(trace.changedSeq > before);
  assert.deepEqual(traceSummary(trace), {
    traceId: "t1",
    rootName: "GET /",
    rootService: "shop",
    services: [{ name: "shop", spans: 1, errors: 0 }, { name: "db", spans: 1, errors: 1 }],
    startMs: 1,
    durationMs: 3,
    spanCount: 2,
    errorCount: 1,
    complete: true,
  });
  traces.add(span({ parentSpanId: "elsewhere" }));
  assert.equal(traceSummary(trace).complete, false);
});

Deno.test("TraceStore keeps spans that share an id but are of another kind or service", () => {
  for (const filler of [0, 40]) {
    const traces = store();
    for (let i = 0; i < filler; i++) traces.add(span());
    const client = span({ spanId: "b3", kind: 3, source: source("web") });
    const server = span({ spanId: "b3", kind: 2, source: source("shop") });
    const other = span({ spanId: "b3", kind: 2, source: source("mirror") });
    for (const one of [client, server, other]) assert.equal(traces.add(one), "kept");
    for (const one of [client, server, other]) assert.equal(traces.add({ ...one }), "replaced");
    assert.equal(traces.spans, filler + 3);
    assert.equal(traceSummary(traces.get("t1")!).spanCount, filler + 3);
  }
});

Deno.test("TraceStore takes a span sent at its start and at its end as one: the later is shown", () => {
  const traces = store();
  const begun = span({ spanId: "long", startUs: 1_000, durationNs: 0, ended: false, bytes: 100 });
  const ended = { ...begun, durationNs: 9_000_000, ended: true, status: 2, bytes: 150 };
  assert.equal(traces.add(span({ startUs: 1_000 })), "kept");
  assert.equal(traces.add(begun), "kept");
  const bytes = traces.bytes;
  assert.equal(traces.add(ended), "replaced");
  // What has ended does not begin again: the first message may be the one that comes late.
  assert.equal(traces.add(begun), "replaced");
  const trace = traces.get("t1")!;
  assert.equal(trace.spans[1], ended);
  assert.equal(traces.bytes, bytes + 50);
  assert.equal(traces.spans, 2);
  const { durationMs, errorCount } = traceSummary(trace);
  assert.deepEqual([durationMs, errorCount], [9, 1]);
  // And shorter again, with no error.
  assert.equal(traces.add({ ...ended, durationNs: 1_000_000, status: 0 }), "replaced");
  assert.deepEqual(
    [traceSummary(trace).durationMs, traceSummary(trace).errorCount],
    [1, 0],
  );
});
