import assert from "node:assert/strict";
import { SpanStatusCode } from "@opentelemetry/api";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { eventually } from "../../service/testing/eventually.ts";
import { faultKinds } from "../simulation/options.ts";
import type { FaultPoint } from "../topology/ports.ts";
import { type Fault, pointNames } from "./faults.ts";
import { liveTest, type TestLive, testLive } from "./test_live.ts";

/** What came out as telemetry. */
interface Seen {
  spans(): ReadableSpan[];
  /** The newest values of a metric, by attributes as JSON. */
  metric(name: string): Promise<Record<string, number>>;
}

/** Runs a topology with telemetry that is kept. */
async function withTelemetry(
  faults: readonly Fault[],
  work: (test: TestLive, seen: Seen) => Promise<void>,
): Promise<void> {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  const metrics = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({
    exporter: metrics,
    exportIntervalMillis: 600_000,
  });
  const meters = new MeterProvider({ readers: [reader] });
  try {
    await using test = await testLive({ faults }, {
      tracer: provider.getTracer("test"),
      meter: meters.getMeter("test"),
    });
    await work(test, {
      spans: () => exporter.getFinishedSpans(),
      async metric(name) {
        await reader.forceFlush();
        const newest = metrics.getMetrics().at(-1)!.scopeMetrics.flatMap((one) => one.metrics);
        const found = newest.find(({ descriptor }) => descriptor.name === name);
        const values = (found?.dataPoints ?? [])
          .map(({ attributes, value }) => [JSON.stringify(attributes), value as number]);
        return Object.fromEntries(values);
      },
    });
  } finally {
    await meters.shutdown();
    await provider.shutdown();
  }
}

const faultsOf = (span: ReadableSpan) => span.events.filter(({ name }) => name === "fault");

liveTest(
  "an order is one trace across all parts, and without faults there is no symptom",
  async () => {
    await withTelemetry([], async (test, { spans, metric }) => {
      const { trace } = await test.live.placeOrder({});
      await test.confirmed(1);
      await eventually(
        "its last span",
        () => spans().find(({ name }) => name === "apply confirmation"),
      );
      const mine = spans().filter((span) => span.spanContext().traceId === trace.split("-")[1]);
      const names = new Set(mine.map(({ name }) => name));
      for (const name of [...Object.values(pointNames), "apply billing", "apply stock"]) {
        assert.ok(names.has(name), `no span '${name}'`);
      }
      const parts = new Set(mine.map(({ attributes }) => attributes["simulator.part"]));
      for (const part of ["frontend", "relay-1.0", "lambda-2.0", "processor-2.0", "relay-2.0"]) {
        assert.ok(parts.has(part), part);
      }
      assert.equal(spans().length, mine.length, "nothing beside the trace");
      assert.deepEqual(spans().flatMap(faultsOf), []);
      assert.ok(spans().every(({ status }) => status.code !== SpanStatusCode.ERROR));
      assert.deepEqual(await metric("simulator.live.faults"), {});
      assert.deepEqual(await metric("simulator.live.orders"), { "{}": 1 });
      await eventually(
        "empty boxes",
        async () =>
          Object.values(await metric("simulator.live.box.depth")).every((depth) => depth === 0) ||
          undefined,
      );
      assert.deepEqual(Object.keys(await metric("simulator.live.box.age")).length, 6);
    });
  },
);

/** Where orders pile up while nothing passes the point; the frontend keeps what it cannot place. */
const piles: Readonly<Record<FaultPoint, string | undefined>> = {
  1: undefined,
  2: "outbox-1",
  3: "orders",
  4: "orders",
  5: "inbox-2",
  6: "outbox-2",
  7: "results",
  8: "results",
};

for (const [text, pile] of Object.entries(piles)) {
  const point = Number(text) as FaultPoint;
  liveTest(
    `a fault at point ${point} shows in span, counter and ${pile ?? "no box"}, until healed`,
    async () => {
      const fault = { point, kind: "refuse", probability: 1 } as const;
      await withTelemetry([fault], async (test, { spans, metric }) => {
        test.live.submitOrders(3);
        const hit = await eventually(
          "the span",
          () =>
            spans().find((span) => span.name === pointNames[point] && faultsOf(span).length > 0),
        );
        assert.equal(hit.status.code, SpanStatusCode.ERROR);
        assert.equal(hit.attributes["error.type"], "refused");
        assert.deepEqual(faultsOf(hit)[0]!.attributes, {
          "simulator.fault.kind": "refuse",
          "simulator.point": point,
        });
        const counted = JSON.stringify({
          "simulator.fault.kind": "refuse",
          "simulator.point": point,
        });
        assert.ok((await metric("simulator.live.faults"))[counted]! > 0);
        if (pile !== undefined) {
          await eventually("the pile", async () => {
            const depths = await metric("simulator.live.box.depth");
            return depths[JSON.stringify({ "simulator.box": pile })]! > 0 || undefined;
          });
        }
        test.live.setFaults([]);
        await test.confirmed(3);
        // Whoever was told of the fault has tried again; nobody is hit any more.
        const sinceMs = Date.now() + 5;
        test.live.submitOrders(1);
        await test.confirmed(4);
        const late = spans().filter(({ startTime }) =>
          startTime[0] * 1_000 + startTime[1] / 1e6 > sinceMs
        );
        assert.deepEqual(late.flatMap(faultsOf), []);
      });
    },
  );
}

liveTest(
  "what is no call's has a span of its own: crash, pause, poison, slow consumer",
  async () => {
    const faults: Fault[] = [
      { kind: "crash", part: "relay-1", probability: 1 },
      { kind: "pause", part: "janitor-1", probability: 1, minDurationMs: 10 },
      { kind: "slow-consumer", probability: 1, minDurationMs: 10 },
      { kind: "poison", probability: 1 },
    ];
    await withTelemetry(faults, async (test, { spans, metric }) => {
      test.live.submitOrders(1);
      for (const { kind } of faults) {
        const span = await eventually(
          kind,
          () => spans().find(({ name }) => name === `fault ${kind}`),
        );
        assert.equal(faultsOf(span)[0]!.attributes!["simulator.fault.kind"], kind);
      }
      const parts = await metric("simulator.live.parts");
      assert.ok(JSON.stringify({ "simulator.part.state": "crashed" }) in parts);
    });
  },
);

liveTest("a full queue shows in the span of who could not publish, and in its box", async () => {
  const fault: Fault = { kind: "full-queue", topic: "orders", capacity: 0 };
  await withTelemetry([fault], async (test, { spans, metric }) => {
    test.live.submitOrders(1);
    await eventually(
      "the span",
      () =>
        spans().find(({ name, attributes }) =>
          name === pointNames[2] && attributes["error.type"] === "full"
        ),
    );
    await eventually("the pile", async () => {
      const depths = await metric("simulator.live.box.depth");
      return depths[JSON.stringify({ "simulator.box": "outbox-1" })] === 1 || undefined;
    });
    test.live.setFaults([]);
    await test.confirmed(1);
  });
});

for (const kind of faultKinds) {
  liveTest(
    `a fault of the kind '${kind}' is an event of the span of each call that it hits`,
    async () => {
      const faults: Fault[] = [{ point: 2, kind, probability: 1, minDurationMs: 10 }];
      await withTelemetry(faults, async (test, { spans, metric }) => {
        test.live.submitOrders(1);
        const hit = await eventually(
          "the span",
          () => spans().find((span) => span.name === pointNames[2] && faultsOf(span).length > 0),
        );
        const attributes = faultsOf(hit)[0]!.attributes!;
        assert.equal(attributes["simulator.fault.kind"], kind);
        const counted = JSON.stringify({ "simulator.fault.kind": kind, "simulator.point": 2 });
        assert.ok((await metric("simulator.live.faults"))[counted]! > 0);
        test.live.setFaults([]);
        await test.confirmed(1);
      });
    },
  );
}
