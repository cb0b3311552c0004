import assert from "node:assert/strict";
import {
  type Attributes,
  type AttributeValue,
  context,
  createTraceState,
  type Link,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Tracer,
} from "@opentelemetry/api";
import { suppressTracing } from "@opentelemetry/core";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type ReadableSpan,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import fc from "fast-check";
import { VirtualWorld } from "../world/virtual_world.ts";
import { RecordedSpan, type SpanLimits } from "./recorded_span.ts";
import { RecordingTracerProvider, type Sampling } from "./recording_tracer.ts";
import { attributes, resource, spanContext, text, time, value } from "./test_records.ts";

const limits: SpanLimits = {
  attributeCountLimit: 6,
  attributeValueLengthLimit: 20,
  eventCountLimit: 3,
  linkCountLimit: 3,
};

/** A tracer of ours and what it has recorded. */
function ours(
  sampling: Sampling = { sampler: new AlwaysOnSampler(), parentBased: true },
  world = new VirtualWorld({ seed: 1 }),
) {
  const ended: ReadableSpan[] = [];
  const provider = new RecordingTracerProvider(
    { resource, limits, world, onEnd: (span) => ended.push(span) },
    sampling,
  );
  return { tracer: provider.getTracer("test", "1"), ended, world, provider };
}

/** The SDK's tracer with the same limits. */
function sdk(sampler = new ParentBasedSampler({ root: new AlwaysOnSampler() })) {
  const ended: ReadableSpan[] = [];
  const provider = new TracerProvider({
    resource,
    sampler,
    spanLimits: {
      ...limits,
      attributePerEventCountLimit: limits.attributeCountLimit,
      attributePerLinkCountLimit: limits.attributeCountLimit,
    },
    spanProcessors: [{
      onStart() {},
      onEnd: (span) => void ended.push(span),
      forceFlush: async () => {},
      shutdown: async () => {},
    }],
  });
  return { tracer: provider.getTracer("test", "1"), ended };
}

/** What a program may do to a span. */
const operation: fc.Arbitrary<(span: Span) => unknown> = fc.oneof(
  fc.tuple(fc.constantFrom("a", "b", "c", "d", "e", "f", "g", "h"), value)
    .map(([key, value]: [string, AttributeValue]) => (span: Span) => span.setAttribute(key, value)),
  attributes.map((values: Attributes) => (span: Span) => span.setAttributes(values)),
  fc.tuple(text, attributes, time)
    .map(([name, values, time]) => (span: Span) => span.addEvent(name, values, time)),
  fc.tuple(text, time).map(([name, time]) => (span: Span) => span.addEvent(name, time)),
  fc.tuple(spanContext, attributes)
    .map(([context, attributes]) => (span: Span) => span.addLink({ context, attributes })),
  spanContext.map((context) => (span: Span) => span.addLinks([{ context }, { context }])),
  fc.record({
    code: fc.constantFrom(SpanStatusCode.UNSET, SpanStatusCode.OK, SpanStatusCode.ERROR),
    message: text,
  }, { requiredKeys: ["code"] }).map((status) => (span: Span) => span.setStatus(status)),
  text.map((name) => (span: Span) => span.updateName(name)),
  fc.tuple(
    fc.oneof(
      fc.constantFrom(new TypeError("wrong"), "words", "", { code: 12 }, { message: "only" }),
    ),
    time,
  ).map(([error, time]) => (span: Span) => span.recordException(error as Error, time)),
);

/** All of a span but what is random or of its maker. */
function seen(span: ReadableSpan) {
  return {
    name: span.name,
    kind: span.kind,
    parent: span.parentSpanContext,
    startTime: span.startTime,
    endTime: span.endTime,
    duration: span.duration,
    ended: span.ended,
    status: { ...span.status },
    attributes: span.attributes,
    links: span.links.map(({ context, attributes = {}, droppedAttributesCount = 0 }) => ({
      context,
      attributes,
      droppedAttributesCount,
    })),
    events: span.events.map(({ name, time, attributes = {}, droppedAttributesCount = 0 }) => ({
      name,
      time,
      attributes,
      droppedAttributesCount,
    })),
    dropped: [span.droppedAttributesCount, span.droppedEventsCount, span.droppedLinksCount],
    scope: [span.instrumentationScope.name, span.instrumentationScope.version],
    traceState: span.spanContext().traceState?.serialize(),
    traceFlags: span.spanContext().traceFlags,
  };
}

Deno.test("RecordedSpan keeps what the SDK's span keeps, whatever a program does to it", () => {
  fc.assert(
    fc.property(
      fc.record({
        kind: fc.constantFrom(undefined, SpanKind.SERVER),
        attributes: fc.option(attributes, { nil: undefined }),
        links: fc.array(
          fc.record({ context: spanContext, attributes }) as fc.Arbitrary<Link>,
          { maxLength: 5 },
        ),
        startTime: time,
        root: fc.boolean(),
      }),
      fc.option(spanContext, { nil: undefined }),
      fc.array(operation, { maxLength: 12 }),
      time,
      (options, parent, operations, endTime) => {
        const parentContext = parent ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT;
        const results = [ours(), sdk()].map(({ tracer, ended }) => {
          const span = tracer.startSpan("begin", options as never, parentContext);
          for (const run of operations) run(span);
          span.end(endTime);
          // Too late for anything.
          for (const run of operations) run(span);
          return { recording: span.isRecording(), ended: ended.map(seen) };
        });
        assert.deepEqual(results[0], results[1]);
      },
    ),
    { numRuns: 200 },
  );
});

Deno.test("RecordedSpan takes its times from the world, and a duration from the clock that never goes back", async () => {
  const { tracer, ended, world } = ours();
  const startMs = world.nowMs();
  const span = tracer.startSpan("work", {}, ROOT_CONTEXT);
  await world.advance(1_500);
  span.addEvent("half");
  await world.advance(250);
  span.end();
  const [one] = ended;
  assert.deepEqual(one!.duration, [1, 750_000_000]);
  assert.equal(one!.startTime[0] * 1_000 + one!.startTime[1] / 1e6, startMs);
  const [half] = one!.events;
  assert.equal(half!.time[0] * 1_000 + half!.time[1] / 1e6, startMs + 1_500);
});

Deno.test("RecordedSpan.end() a second time changes nothing", async () => {
  const { tracer, ended, world } = ours();
  const span = tracer.startSpan("work", {}, ROOT_CONTEXT);
  span.end();
  await world.advance(10);
  span.end();
  assert.equal(ended.length, 1);
  assert.deepEqual(ended[0]!.duration, [0, 0]);
});

Deno.test("RecordingTracer gives a child its parent's trace, state and a span id of its own", () => {
  const { tracer } = ours();
  const traceState = createTraceState("vendor=1");
  const remote = {
    traceId: "0af7651916cd43dd8448eb211c80319c",
    spanId: "b7ad6b7169203331",
    traceFlags: TraceFlags.SAMPLED,
    isRemote: true,
    traceState,
  };
  const parent = tracer.startSpan("p", {}, trace.setSpanContext(ROOT_CONTEXT, remote));
  const child = tracer.startSpan("c", {}, trace.setSpan(ROOT_CONTEXT, parent)) as RecordedSpan;
  assert.equal(child.spanContext().traceId, remote.traceId);
  assert.equal(child.spanContext().traceState, traceState);
  assert.equal(child.parentSpanContext?.spanId, parent.spanContext().spanId);
  assert.notEqual(child.spanContext().spanId, parent.spanContext().spanId);
  assert.match(child.spanContext().spanId, /^[0-9a-f]{16}$/);
  assert.match(
    tracer.startSpan("r", { root: true }, trace.setSpan(ROOT_CONTEXT, parent)).spanContext()
      .traceId,
    /^(?!0af7)[0-9a-f]{32}$/,
  );
});

Deno.test("RecordingTracer samples as the SDK does", () => {
  const samplers = [
    new AlwaysOnSampler(),
    new AlwaysOffSampler(),
    new TraceIdRatioBasedSampler(.5),
  ];
  fc.assert(
    fc.property(
      fc.constantFrom(...samplers),
      fc.boolean(),
      // A ratio decides by the trace's id, and without a parent that is random.
      spanContext,
      (sampler, parentBased, parent) => {
        const theirs = parentBased ? new ParentBasedSampler({ root: sampler }) : sampler;
        const parentContext = trace.setSpanContext(ROOT_CONTEXT, parent);
        const [a, b] = [ours({ sampler, parentBased }), sdk(theirs as ParentBasedSampler)].map((
          { tracer, ended },
        ) => {
          const span = tracer.startSpan("work", {}, parentContext);
          span.end();
          return [span.spanContext().traceFlags, span.isRecording(), ended.length];
        });
        assert.deepEqual(a, b);
      },
    ),
  );
});

Deno.test("RecordingTracer records nothing where tracing is suppressed", () => {
  const { tracer, ended } = ours();
  const span = tracer.startSpan("work", {}, suppressTracing(ROOT_CONTEXT));
  span.end();
  assert.equal(span.isRecording(), false);
  assert.equal(ended.length, 0);
});

Deno.test("RecordingTracer.startActiveSpan() takes all its arguments, and returns what the function does", () => {
  const { tracer } = ours();
  const calls: ((tracer: Tracer) => string)[] = [
    (tracer) => tracer.startActiveSpan("a", (span) => (span as RecordedSpan).name),
    (tracer) =>
      tracer.startActiveSpan("b", { kind: SpanKind.CLIENT }, (span) => (span as RecordedSpan).name),
    (tracer) =>
      tracer.startActiveSpan("c", {}, context.active(), (span) => (span as RecordedSpan).name),
  ];
  assert.deepEqual(calls.map((call) => call(tracer)), ["a", "b", "c"]);
});

Deno.test("RecordingTracerProvider.getTracer() makes one tracer a scope", () => {
  const { provider } = ours();
  assert.equal(provider.getTracer("a", "1"), provider.getTracer("a", "1"));
  assert.notEqual(provider.getTracer("a", "1"), provider.getTracer("a", "2"));
});

Deno.test("ids are drawn from the world: the same under the same seed", () => {
  const ids = (seed: number) => {
    const { tracer } = ours(undefined, new VirtualWorld({ seed }));
    return tracer.startSpan("work", {}, ROOT_CONTEXT).spanContext();
  };
  assert.deepEqual(ids(7), ids(7));
  assert.notEqual(ids(7).traceId, ids(8).traceId);
});
