import assert from "node:assert/strict";
import { diag, DiagLogLevel, type Meter, metrics } from "@opentelemetry/api";
import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { VirtualWorld } from "../world/virtual_world.ts";
import { type Batch, JsonBatch } from "./batch.ts";
import { type BatchLimits, BatchProcessor, type RequestExporter } from "./batch_processor.ts";

const success: ExportResult = { code: ExportResultCode.SUCCESS };

/** A processor of numbers in virtual time, its exporter in the test's hands. */
function setUp(
  limits: Partial<BatchLimits> = {},
  { meter = metrics.getMeter("none"), signal = "span" as "span" | "log", batch }: {
    meter?: Meter;
    signal?: "span" | "log";
    batch?: Batch<number>;
  } = {},
) {
  const world = new VirtualWorld({ seed: 1 });
  const sent: number[][] = [];
  const waiting: ((result: ExportResult) => void)[] = [];
  const state = { answer: success as ExportResult | undefined, ended: false };
  const exporter: RequestExporter = {
    export(request, done) {
      sent.push([...request.bytes]);
      if (state.answer) done(state.answer);
      else waiting.push(done);
    },
    shutdown() {
      state.ended = true;
      return Promise.resolve();
    },
  };
  const processor = new BatchProcessor<number>({
    exporter,
    batch: batch ?? new JsonBatch((numbers) => {
      if (numbers.includes(13)) throw new RangeError("unlucky");
      return Uint8Array.from(numbers);
    }),
    limits: {
      scheduledDelayMillis: 1_000,
      exportTimeoutMillis: 10_000,
      maxQueueSize: 8,
      maxExportBatchSize: 3,
      ...limits,
    },
    ...{ signal, meter, world },
  });
  const answer = (result = success) => waiting.shift()!(result);
  return { world, sent, state, processor, answer, waiting };
}

const add = (processor: BatchProcessor<number>, ...numbers: number[]) =>
  numbers.forEach((number) => processor.add(number));

Deno.test("BatchProcessor sends what has waited for the delay, and a full batch at once", async () => {
  const { world, sent, processor } = setUp();
  add(processor, 1, 2);
  await world.advance(999);
  assert.deepEqual(sent, []);
  await world.advance(1);
  assert.deepEqual(sent, [[1, 2]]);
  add(processor, 3, 4, 5, 6);
  assert.deepEqual(sent, [[1, 2], [3, 4, 5]]);
  await world.advance(1_000);
  assert.deepEqual(sent, [[1, 2], [3, 4, 5], [6]]);
  assert.equal(world.pendingTimers, 0);
});

Deno.test("BatchProcessor exports one batch at a time, and gives up a hanging one", async () => {
  const { world, sent, state, processor, answer } = setUp();
  state.answer = undefined;
  add(processor, 1, 2, 3, 4, 5, 6, 7);
  await world.advance(5_000);
  assert.deepEqual(sent, [[1, 2, 3]]);
  answer();
  await world.advance(0);
  assert.deepEqual(sent, [[1, 2, 3], [4, 5, 6]]);
  await world.advance(10_000);
  // The export hangs; what is left follows after the delay.
  await world.advance(1_000);
  assert.deepEqual(sent, [[1, 2, 3], [4, 5, 6], [7]]);
});

Deno.test("BatchProcessor drops what is beyond its bound and goes on when there is room", async () => {
  const { world, sent, state, processor, answer } = setUp();
  state.answer = undefined;
  // Three are being sent, eight wait, two are dropped.
  add(processor, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14);
  state.answer = success;
  answer();
  await world.advance(1_000);
  assert.deepEqual(sent, [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11]]);
  add(processor, 15);
  await world.advance(1_000);
  assert.deepEqual(sent.at(-1), [15]);
});

Deno.test("BatchProcessor.shutdown() sends all, waits for what is under way, takes nothing more", async () => {
  const { sent, state, processor, answer, waiting, world } = setUp();
  state.answer = undefined;
  add(processor, 1, 2, 3, 4);
  let ended = false;
  const shutdown = processor.shutdown().then(() => ended = true);
  add(processor, 5);
  assert.deepEqual(sent, [[1, 2, 3], [4]]);
  answer();
  await world.advance(0);
  assert.equal(ended, false);
  assert.equal(state.ended, false);
  while (waiting.length > 0) answer();
  await shutdown;
  assert.equal(state.ended, true);
  assert.equal(processor.shutdown(), processor.shutdown());
});

Deno.test("BatchProcessor breaks nothing when a batch cannot be encoded", async () => {
  const { world, sent, processor } = setUp();
  add(processor, 1, 13, 2);
  add(processor, 3);
  await world.advance(1_000);
  assert.deepEqual(sent, [[3]]);
});

Deno.test("BatchProcessor drops a record that cannot be taken in, and says so", async () => {
  const said: string[] = [];
  const silent = () => {};
  diag.setLogger(
    {
      ...{ verbose: silent, debug: silent, info: silent, warn: silent },
      error: (one) => said.push(one),
    },
    { logLevel: DiagLogLevel.ERROR, suppressOverrideMessage: true },
  );
  const batch = new JsonBatch<number>((numbers) => Uint8Array.from(numbers));
  const { world, sent, processor } = setUp({}, {
    batch: {
      get count() {
        return batch.count;
      },
      byteLength: 0,
      add(number) {
        if (number === 13) throw new RangeError("unlucky");
        batch.add(number);
      },
      take: () => batch.take(),
    },
  });
  add(processor, 1, 13, 2);
  await world.advance(1_000);
  assert.deepEqual(sent, [[1, 2]]);
  assert.deepEqual(said, ["1 record(s) cannot be encoded and are dropped: unlucky"]);
  diag.disable();
});

Deno.test("BatchProcessor sends a batch that has come to a MiB", () => {
  let byteLength = 0;
  let count = 0;
  const { sent, processor } = setUp({}, {
    batch: {
      ...{ add: () => void count++, take: () => ({ bytes: new Uint8Array([count]), count }) },
      get byteLength() {
        return byteLength;
      },
      get count() {
        return count;
      },
    },
  });
  byteLength = 1_024 ** 2 - 1;
  processor.add(1);
  assert.deepEqual(sent, []);
  byteLength++;
  processor.add(1);
  assert.deepEqual(sent, [[2]]);
});

/** The processor's own metrics, as they are exported. */
async function metricsOf(
  signal: "span" | "log",
  use: (set: ReturnType<typeof setUp>) => Promise<void>,
) {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const meterProvider = new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1e6 })],
  });
  const set = setUp({}, { signal, meter: meterProvider.getMeter("test") });
  await use(set);
  await meterProvider.forceFlush();
  const { metrics } = exporter.getMetrics()[0]!.scopeMetrics[0]!;
  await meterProvider.shutdown();
  return metrics;
}

Deno.test("BatchProcessor's metrics say what they are, and end with it", async () => {
  for (const [signal, unit] of [["span", "{span}"], ["log", "{log_record}"]] as const) {
    const type = `batching_${signal}_processor`;
    const found = await metricsOf(signal, async ({ processor, state, answer, world }) => {
      state.answer = undefined;
      add(processor, 1, 2, 3, 4);
      answer({ code: ExportResultCode.FAILED });
      await world.advance(0);
    });
    assert.deepEqual(
      found.map(({ descriptor: { name, unit, description }, dataPoints }) => [
        ...[name, unit, description, dataPoints[0]!.attributes],
      ]),
      [
        ["processed", "Records whose processing has finished, successful or not.", "export_failed"],
        ["queue.capacity", "The most records that may wait."],
        ["queue.size", "Records that wait."],
      ].map(([name, description, error]) => [
        ...[`otel.sdk.processor.${signal}.${name}`, unit, description],
        {
          ...{ "otel.component.type": type, "otel.component.name": `${type}/0` },
          ...(error !== undefined && { "error.type": error }),
        },
      ]),
    );
    const ended = await metricsOf(signal, ({ processor }) => processor.shutdown());
    assert.deepEqual(ended.map(({ descriptor: { name } }) => name), [
      `otel.sdk.processor.${signal}.queue.capacity`,
    ]);
  }
});

Deno.test("BatchProcessor counts under the SDK's names", async () => {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const meterProvider = new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1e6 })],
  });
  const { world, state, processor, answer } = setUp({}, { meter: meterProvider.getMeter("test") });
  add(processor, 1, 2, 3, 13);
  await world.advance(1_000);
  state.answer = undefined;
  add(processor, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
  answer({ code: ExportResultCode.FAILED, error: new TypeError("no way") });
  await world.advance(0);
  await meterProvider.forceFlush();
  const all = exporter.getMetrics()[0]!.scopeMetrics[0]!.metrics.map((
    { descriptor, dataPoints },
  ) => [
    descriptor.name,
    dataPoints.map(({ attributes, value }) => [attributes["error.type"], value]),
    dataPoints[0]!.attributes["otel.component.type"],
  ]);
  const type = "batching_span_processor";
  assert.deepEqual(all, [
    ["otel.sdk.processor.span.processed", [
      [undefined, 3],
      ["RangeError", 1],
      ["queue_full", 1],
      ["TypeError", 3],
    ], type],
    ["otel.sdk.processor.span.queue.capacity", [[undefined, 8]], type],
    ["otel.sdk.processor.span.queue.size", [[undefined, 5]], type],
  ]);
  await meterProvider.shutdown();
});
