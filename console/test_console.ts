/**
 * For tests: a console in this process on free ports, and small OTLP requests to send to it.
 *
 * @module
 */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { testContext } from "../service/testing/context.ts";
import { realWorld, type World } from "../service/world/world.ts";
import type { Signal } from "./page_api/stream_events.ts";
import { ExportLogsServiceRequestSchema } from "../service/otlp/proto/gen/logs_service_pb.ts";
import { ExportMetricsServiceRequestSchema } from "../service/otlp/proto/gen/metrics_service_pb.ts";
import { ExportTraceServiceRequestSchema } from "../service/otlp/proto/gen/trace_service_pb.ts";
import type { SpanSchema } from "../service/otlp/proto/gen/trace_pb.ts";
import type { MetricSchema } from "../service/otlp/proto/gen/metrics_pb.ts";
import type { LogRecordSchema } from "../service/otlp/proto/gen/logs_pb.ts";
import { type ConsoleOptions, startConsole } from "./server.ts";

/**
 * Starts a console, in its own time where a world is given; it stops at the end of the block.
 *
 * @example
 * ```ts
 * await using viewer = await testConsole({ maxSpans: 10 });
 * await viewer.sendSpans([{ name: "work" }]);
 * assert.equal((await viewer.get("/api/summaries")).held, 1);
 * ```
 */
export async function testConsole(
  options: Partial<ConsoleOptions> = {},
  { world = realWorld, lines = [] }: {
    /** Time and chance. @default the real world */
    world?: World;
    /** Where its log goes. @default nowhere */
    lines?: string[];
  } = {},
) {
  const service = await startConsole(
    { otlpPort: 0, pagePort: 0, ...options },
    testContext({ world, lines }),
  );
  return {
    otlpUrl: service.otlpUrl,
    grpcAddress: service.grpcAddress,
    pageUrl: service.pageUrl,
    stop: (deadline: AbortSignal) => service.stop(deadline),
    /** Sends bytes or text to `/v1/<signal>`. */
    send(signal: Signal, body: BodyInit, headers: HeadersInit = {}): Promise<Response> {
      return fetch(`${service.otlpUrl}/v1/${signal}`, {
        method: "POST",
        headers: { "content-type": "application/x-protobuf", ...headers },
        body,
      });
    },
    /** Sends spans and takes the answer for granted. */
    async sendSpans(spans: TestSpan[], serviceName = "shop"): Promise<void> {
      const response = await this.send("traces", tracesRequest(spans, serviceName));
      if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
      await response.body?.cancel();
    },
    /** The JSON at a path of the page port. */
    // deno-lint-ignore no-explicit-any -- a test says what it expects
    async get(path: string): Promise<any> {
      const response = await fetch(service.pageUrl + path);
      const text = await response.text();
      if (response.status !== 200) throw new Error(`${path}: ${response.status} ${text}`);
      return JSON.parse(text);
    },
    [Symbol.asyncDispose]: () => service.stop(AbortSignal.abort()),
  };
}

/** A span with what a test leaves out made up. */
export type TestSpan = Partial<MessageInitShape<typeof SpanSchema>>;

const startNs = 1_795_000_000_000_000_000n;
let lastId = 0;

/** A trace id, another one with each call. */
export function newTraceId(): Uint8Array<ArrayBuffer> {
  const id = new Uint8Array(16);
  id[0] = 0xaa;
  new DataView(id.buffer).setUint32(12, ++lastId);
  return id;
}

/** A span id, another one with each call. */
export function newSpanId(): Uint8Array<ArrayBuffer> {
  const id = new Uint8Array(8);
  id[0] = 0xbb;
  new DataView(id.buffer).setUint32(4, ++lastId);
  return id;
}

/** An attribute. */
export function attributeOf(key: string, value: string | number | bigint | boolean) {
  switch (typeof value) {
    case "string":
      return { key, value: { value: { case: "stringValue" as const, value } } };
    case "bigint":
      return { key, value: { value: { case: "intValue" as const, value } } };
    case "number":
      return { key, value: { value: { case: "doubleValue" as const, value } } };
    case "boolean":
      return { key, value: { value: { case: "boolValue" as const, value } } };
  }
}

/** A whole span. */
export function span(given: TestSpan = {}): MessageInitShape<typeof SpanSchema> {
  return {
    traceId: newTraceId(),
    spanId: newSpanId(),
    name: "GET /",
    startTimeUnixNano: startNs,
    endTimeUnixNano: startNs + 1_500_000n,
    ...given,
  } as MessageInitShape<typeof SpanSchema>;
}

/** A request with spans of one service, in protobuf. */
export function tracesRequest(
  spans: TestSpan[],
  serviceName = "shop",
): Uint8Array<ArrayBuffer> {
  return toBinary(
    ExportTraceServiceRequestSchema,
    create(ExportTraceServiceRequestSchema, {
      resourceSpans: [{
        resource: { attributes: [attributeOf("service.name", serviceName)] },
        scopeSpans: [{ scope: { name: "test" }, spans: spans.map(span) }],
      }],
    }),
  ) as Uint8Array<ArrayBuffer>;
}

/** A request with log records of one service, in protobuf. */
export function logsRequest(
  logRecords: MessageInitShape<typeof LogRecordSchema>[],
  serviceName = "shop",
): Uint8Array<ArrayBuffer> {
  return toBinary(
    ExportLogsServiceRequestSchema,
    create(ExportLogsServiceRequestSchema, {
      resourceLogs: [{
        resource: { attributes: [attributeOf("service.name", serviceName)] },
        scopeLogs: [{ scope: { name: "test" }, logRecords }],
      }],
    }),
  ) as Uint8Array<ArrayBuffer>;
}

/** A request with metrics of one service, in protobuf. */
export function metricsRequest(
  metrics: MessageInitShape<typeof MetricSchema>[],
  serviceName = "shop",
): Uint8Array<ArrayBuffer> {
  return toBinary(
    ExportMetricsServiceRequestSchema,
    create(ExportMetricsServiceRequestSchema, {
      resourceMetrics: [{
        resource: { attributes: [attributeOf("service.name", serviceName)] },
        scopeMetrics: [{ scope: { name: "test" }, metrics }],
      }],
    }),
  ) as Uint8Array<ArrayBuffer>;
}
