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

/** Spans, bytes and traces as they are, counted anew. */
function assertExact(traces: TraceStore): void {
  const held = [...traces.newestFirst()];
  assert.equal(traces.traces, held.length);
  assert.equal(traces.spans, held.reduce((sum, { spans }) => sum + spans.length, 0));
  assert.equal(
    traces.bytes,
    held.reduce(
      (sum, trace) => sum + 400 + trace.spans.reduce((all, one) => all + one.bytes, 0),
      0,
    ),
  );
  for (const trace of held) {
    assert.equal(trace.held, true);
    assert.equal(trace.errors, trace.spans.filter(({ status }) => status === 2).length);
    assert.equal(trace.bytes, 400 + trace.spans.reduce((all, one) => all + one.bytes, 0));
    const ends = trace.spans.map(({ startUs, durationNs }) => startUs + durationNs / 1_000);
    assert.equal(trace.startUs, Math.min(...trace.spans.map(({ startUs }) => startUs)));
    assert.equal(trace.endUs, Math.max(...ends));
  }
}

Deno.test("TraceStore counts exactly what it holds, also of spans that are replaced and traces that go", () => {
  const traces = store({ maxTraces: 2 });
  assert.equal(traces.oldestMs, undefined);
  traces.add(span({ traceId: "a", spanId: "1", startUs: 5_000, status: 2 }));
  assert.equal(traces.oldestMs, 5);
  traces.add(span({ traceId: "a", spanId: "2", startUs: 3_000, durationNs: 1_000 }));
  assertExact(traces);
  // Later, shorter, larger and without its error; then as it was.
  traces.add(span({ traceId: "a", spanId: "1", startUs: 6_000, durationNs: 1, bytes: 300 }));
  assertExact(traces);
  traces.add(span({ traceId: "a", spanId: "1", startUs: 6_000, durationNs: 9_000, status: 2 }));
  assertExact(traces);
  traces.add(span({ traceId: "a", spanId: "1", startUs: 9_000, durationNs: 9_000, status: 2 }));
  assertExact(traces);
  traces.add(span({ traceId: "a", spanId: "1", startUs: 9_000, durationNs: 1_000, status: 2 }));
  assertExact(traces);
  traces.add(span({ traceId: "b" }));
  const gone = traces.get("a")!;
  traces.add(span({ traceId: "c" }));
  assert.equal(gone.held, false);
  assert.equal(traces.evicted, 2);
  assertExact(traces);
  const [kept] = traces.newestFirst();
  traces.clear();
  assert.equal(kept!.held, false);
  assert.deepEqual([traces.spans, traces.bytes, traces.traces, traces.evicted], [0, 0, 0, 0]);
  assert.deepEqual(traces.takeChanged(), []);
});

Deno.test("TraceStore holds just as much as it may, and a trace a quarter of it", () => {
  const traces = store({ maxSpans: 3, maxBytes: 4_000 });
  for (const traceId of ["a", "b", "c"]) traces.add(span({ traceId }));
  assert.equal(traces.traces, 3, "as many spans as it may");
  assert.equal(traces.add(span({ traceId: "d", bytes: 601 })), "trace_full");
  assert.equal(traces.get("d"), undefined);
  assert.equal(traces.add(span({ traceId: "d", bytes: 600 })), "kept");
  assert.equal(traces.get("a"), undefined);
  const full = traces.get("d")!;
  assert.equal(full.cut, 0);
  assert.equal(traceSummary(full).complete, true);
  assert.equal(traces.add(span({ traceId: "d", bytes: 1 })), "trace_full");
  assert.equal(full.cut, 1);
  assert.equal(traceSummary(full).complete, false, "it is said that something is missing");
  const bytes = store({ maxBytes: 2_000 });
  for (const traceId of ["a", "b", "c", "d"]) bytes.add(span({ traceId }));
  assert.equal(bytes.traces, 4, "2,000 bytes are as many as it may");
  bytes.add(span({ traceId: "e" }));
  assert.equal(bytes.traces, 4);
  const one = store({ maxSpans: 1 });
  one.add(span({ traceId: "a" }));
  one.add(span({ traceId: "a" }));
  assert.equal(one.spans, 2, "the only one stays");
  one.add(span({ traceId: "b" }));
  assert.deepEqual([...one.newestFirst()].map(({ traceId }) => traceId), ["b"]);
  // The oldest may be the one that grows: it goes, too.
  const grows = store({ maxSpans: 2 });
  for (const traceId of ["a", "b", "a"]) grows.add(span({ traceId }));
  assert.deepEqual([...grows.newestFirst()].map(({ traceId }) => traceId), ["b"]);
});

Deno.test("TraceStore tells of each change once, in their order, and numbers them", () => {
  const traces = store();
  for (const traceId of ["a", "b", "a"]) traces.add(span({ traceId }));
  assert.deepEqual(traces.takeChanged().map(({ traceId }) => traceId), ["a", "b"]);
  assert.deepEqual(traces.takeChanged(), []);
  traces.add(span({ traceId: "b", spanId: "again" }));
  traces.add(span({ traceId: "b", spanId: "again" }));
  assert.deepEqual(traces.takeChanged().map(({ traceId }) => traceId), ["b"]);
  assert.equal(traces.get("b")!.changedSeq, 5);
  // What ended is not taken back, and is no change.
  traces.add(span({ traceId: "b", spanId: "again", ended: false }));
  assert.deepEqual(traces.takeChanged(), []);
});

Deno.test("TraceStore finds a span in a long trace by its id, the first of several that share it", () => {
  const traces = store();
  for (let number = 0; number < 31; number++) traces.add(span({ spanId: `n${number}` }));
  const trace = traces.get("t1")!;
  assert.equal(traces.add(span({ spanId: "n0" })), "replaced");
  const idsNow = () => trace.ids;
  assert.equal(idsNow(), undefined);
  traces.add(span({ spanId: "n1", kind: 2 }));
  assert.equal(traces.add(span({ spanId: "n2" })), "replaced");
  assert.ok(idsNow() !== undefined, "from 32 spans on");
  assert.equal(idsNow()!.get("n1"), 1);
  assert.equal(traces.add(span({ spanId: "n1", kind: 2, name: "server" })), "replaced");
  assert.equal(trace.spans[31]!.name, "server");
  assert.equal(traces.add(span({ spanId: "n1", kind: 3 })), "kept");
  assert.equal(idsNow()!.get("n1"), 1, "the first stands");
  assert.equal(traces.add(span({ spanId: "new" })), "kept");
  assert.equal(idsNow()!.get("new"), 33);
  assert.equal(traces.add(span({ spanId: "new", source: source("other") })), "kept");
});

Deno.test("traceSummary() shows the earliest root, or the earliest of all, and whose the spans are", () => {
  const traces = store();
  const at = (startUs: number, given: Partial<StoredSpan>) =>
    void traces.add(span({ startUs, durationNs: 1_000, ...given }));
  at(5_000, { spanId: "x", parentSpanId: "gone", name: "orphan", source: source("late") });
  at(4_000, { spanId: "y", parentSpanId: "x", name: "first", source: source("early") });
  at(4_000, { spanId: "z", parentSpanId: "x", name: "beside", status: 2, source: source("late") });
  const trace = traces.get("t1")!;
  const { rootName, rootService, complete, services, startMs, durationMs } = traceSummary(trace);
  assert.deepEqual([rootName, rootService, complete], ["first", "early", false]);
  assert.deepEqual(services, [
    { name: "late", spans: 2, errors: 1 },
    { name: "early", spans: 1, errors: 0 },
  ]);
  assert.deepEqual([startMs, durationMs], [4, 1 + 1 / 1_000]);
  at(9_000, { name: "later root" });
  at(7_000, { name: "root" });
  at(7_000, { name: "same time" });
  assert.equal(traceSummary(trace).rootName, "root");
  assert.equal(traceSummary(trace).complete, false, "a parent is missing");
  at(8_000, { spanId: "gone", name: "found", source: source("later") });
  assert.deepEqual(
    traceSummary(trace).services.map(({ name }) => name),
    ["late", "early", "shop", "later"],
    "by when they began",
  );
  assert.equal(traceSummary(trace).complete, true);
  const many = store({ maxSpans: 1_000 });
  for (let number = 0; number < 40; number++) many.add(span({ source: source(`s${number}`) }));
  assert.equal(traceSummary(many.get("t1")!).services.length, 32);
});
