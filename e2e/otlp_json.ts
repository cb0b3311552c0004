/**
 * For tests: traces, metrics and logs as OTLP/JSON, as any exporter sends them.
 *
 * @module
 */
import assert from "node:assert/strict";

/** Where OTLP is sent: a program whose `otlp` field is the base URL. */
export interface OtlpReceiver {
  readonly fields: Readonly<Record<string, string>>;
}

/** The span below the root of each trace that {@linkcode sendTrace} sends. */
export const childId = "00000000000000bb";

export interface SentTrace {
  name: string;
  service?: string;
  durationMs?: number;
  /** The child span fails with this description. */
  failed?: string;
  attributes?: Record<string, string>;
}

/** Sends a root and a child span; answers the trace's id. */
export async function sendTrace(console: OtlpReceiver, sent: SentTrace): Promise<string> {
  const { name, service = "checkout", durationMs = 40, failed, attributes = {} } = sent;
  const traceId = randomHex(16);
  const rootId = "00000000000000aa";
  const endMs = Date.now();
  await post(console, "/v1/traces", {
    resourceSpans: [resource(service, "scopeSpans", {
      spans: [
        span({ traceId, spanId: rootId, name, durationMs, endMs, kind: 2 }),
        {
          ...span({
            traceId,
            spanId: childId,
            name: "charge card",
            durationMs: durationMs / 2,
            endMs,
          }),
          parentSpanId: rootId,
          attributes: keyValues({ "payment.provider": "acme", ...attributes }),
          events: [{ timeUnixNano: nanos(Date.now()), name: "retrying", attributes: [] }],
          status: failed === undefined ? {} : { code: 2, message: failed },
        },
      ],
    })],
  });
  return traceId;
}

export async function sendSpan(
  console: OtlpReceiver,
  { parentSpanId, ...one }: {
    traceId: string;
    spanId: string;
    name: string;
    /** @default it is a root */
    parentSpanId?: string;
  },
): Promise<void> {
  const spans = [{ ...span(one), ...(parentSpanId && { parentSpanId }) }];
  await post(console, "/v1/traces", {
    resourceSpans: [resource("checkout", "scopeSpans", { spans })],
  });
}

export interface SentLog {
  body: string;
  service?: string;
  severityNumber?: number;
  traceId?: string;
  spanId?: string;
}

export async function sendLog(console: OtlpReceiver, sent: SentLog): Promise<void> {
  const { body, service = "checkout", severityNumber = 9, ...ids } = sent;
  await post(console, "/v1/logs", {
    resourceLogs: [resource(service, "scopeLogs", {
      logRecords: [{
        timeUnixNano: nanos(Date.now()),
        severityNumber,
        body: { stringValue: body },
        ...ids,
      }],
    })],
  });
}

/** Two points of a cumulative histogram of one series: one interval with a thousand values in it. */
export async function sendMetric(
  console: OtlpReceiver,
  { name, attributes = {}, unit = "s", agoMs = 1_000 }: {
    name: string;
    attributes?: Record<string, string>;
    unit?: string;
    /** How long ago its last point was. @default 1,000 */
    agoMs?: number;
  },
): Promise<void> {
  const startMs = Date.now() - 60_000;
  const point = (timeMs: number, counts: number[]) => ({
    attributes: keyValues(attributes),
    startTimeUnixNano: nanos(startMs),
    timeUnixNano: nanos(timeMs),
    count: String(counts.reduce((sum, count) => sum + count, 0)),
    sum: 12.5,
    explicitBounds: [0.005, 0.01, 0.05, 0.1],
    bucketCounts: counts.map(String),
  });
  for (
    const [beforeMs, counts] of [[1_000, [0, 0, 0, 0, 0]], [0, [600, 300, 90, 10, 0]]] as const
  ) {
    await post(console, "/v1/metrics", {
      resourceMetrics: [resource("checkout", "scopeMetrics", {
        metrics: [{
          name,
          unit,
          histogram: {
            aggregationTemporality: 2,
            dataPoints: [point(Date.now() - agoMs - beforeMs, [...counts])],
          },
        }],
      })],
    });
  }
}

export function span(
  { traceId, spanId, name, durationMs = 40, endMs = Date.now(), kind = 1 }: {
    traceId: string;
    spanId: string;
    name: string;
    durationMs?: number;
    endMs?: number;
    kind?: number;
  },
) {
  return {
    traceId,
    spanId,
    name,
    kind,
    startTimeUnixNano: nanos(endMs - durationMs),
    endTimeUnixNano: nanos(endMs),
  };
}

export function resource(service: string, scopes: string, scope: object) {
  return {
    resource: { attributes: keyValues({ "service.name": service }) },
    [scopes]: [{ scope: { name: "test" }, ...scope }],
  };
}

function keyValues(values: Record<string, string>) {
  return Object.entries(values).map(([key, value]) => ({ key, value: { stringValue: value } }));
}

function nanos(ms: number): string {
  return `${BigInt(Math.round(ms * 1e3)) * 1_000n}`;
}

export function randomHex(bytes: number): string {
  return crypto.getRandomValues(new Uint8Array(bytes)).toHex();
}

export async function post(console: OtlpReceiver, path: string, body: unknown): Promise<void> {
  const response = await fetch(console.fields.otlp + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200, await response.text());
}
