/**
 * Taking telemetry along and bringing it back: OTLP's JSON, one request a line where there are
 * several, as the collector's file exporter writes and reads it.
 *
 * @module
 */
import type { Context } from "hono";
import { OtlpDecodeError, type Refusal } from "../../service/otlp/otlp_message.ts";
import { ProblemError } from "../../service/problem.ts";
import { readText } from "../../service/request_body.ts";
import { standalonePage } from "../../service/page/assets.ts";
import { otlpLogs, otlpTraces } from "../queries/otlp_export.ts";
import { otlpMetrics } from "../queries/otlp_export_metrics.ts";
import { jaegerAnswer, jaegerTrace } from "../queries/jaeger.ts";
import { spanExtra } from "../queries/span_extra.ts";
import { logDetail, logRow, type StoredLog } from "../stores/log_store.ts";
import type { TelemetryStore } from "../stores/telemetry_store.ts";
import { type Trace, traceSummary } from "../stores/trace_store.ts";
import { apiPaths, type ImportAnswer, spanPath, traceLogsPath, tracePath } from "./api.ts";
import type { LogsAnswer } from "./logs_api.ts";
import type { Signal } from "./stream_events.ts";

/** Traces of one line of an export of everything: a line must stay shorter than a request may be. */
const tracesPerLine = 100;
const logsPerLine = 2_000;
/** Spans of a file whose links are in it: each is looked for in all that is held. */
const maxSpansWithMore = 100;
/** Log records shown in a trace. */
const maxLogsInTrace = 500;
const importTimeoutMs = 60_000;

/** Answers with traces, a request to `/v1/traces`. */
export function exportTraces(traces: readonly Trace[]): Response {
  return download(JSON.stringify(otlpTraces(traces)), "traces.otlp.json");
}

/** Answers with log records, the oldest first, a request to `/v1/logs`. */
export function exportLogs(newestFirst: readonly StoredLog[]): Response {
  return download(JSON.stringify(otlpLogs(newestFirst.toReversed())), "logs.otlp.json");
}

/** Answers with everything that is held, a request a line. */
export function exportAll(store: TelemetryStore): Response {
  const lines = allRequests(store);
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const { done, value } = lines.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(`${JSON.stringify(value)}\n`));
    },
  });
  return new Response(body, {
    headers: attachment("telemetry.otlp.jsonl", "application/x-ndjson"),
  });
}

/** Answers with a trace and its log records as one HTML file. */
export function tracePage(store: TelemetryStore, trace: Trace): Response {
  const { traceId } = trace;
  const logs: StoredLog[] = [];
  for (const log of store.logs.newestFirst()) {
    if (log.traceId === traceId && logs.push(log) === maxLogsInTrace) break;
  }
  const logsAnswer: LogsAnswer = { logs: logs.map(logRow), more: false, held: logs.length };
  const { rootName } = traceSummary(trace);
  const html = standalonePage("console", {
    path: `/traces/${traceId}`,
    answers: {
      [tracePath(traceId)]: jaegerAnswer([jaegerTrace(trace)]),
      [traceLogsPath(traceId)]: logsAnswer,
      ...Object.fromEntries(
        trace.spans.filter(({ links }) => links.length > 0).slice(0, maxSpansWithMore)
          .map((span) => [
            spanPath(traceId, span.spanId),
            spanExtra(span, store.traces.newestFirst(), (id) => store.traces.get(id)),
          ]),
      ),
      ...Object.fromEntries(
        logs.map((log) => [apiPaths.log.replace("{seq}", String(log.seq)), logDetail(log)]),
      ),
    },
  }, `${rootName} · Trace ${traceId.slice(0, 8)}`);
  return new Response(html, {
    headers: {
      ...attachment(`trace-${traceId.slice(0, 8)}.html`, "text/html; charset=utf-8"),
      // Were it opened here all the same, it would be a page of nobody.
      "content-security-policy": "sandbox",
    },
  });
}

function* allRequests({ traces, logs, metrics }: TelemetryStore): Generator<unknown> {
  // What comes meanwhile is none of it.
  const held = [...traces.newestFirst()].reverse();
  for (let i = 0; i < held.length; i += tracesPerLine) {
    yield otlpTraces(held.slice(i, i + tracesPerLine));
  }
  const records = [...logs.newestFirst()].reverse();
  for (let i = 0; i < records.length; i += logsPerLine) {
    yield otlpLogs(records.slice(i, i + logsPerLine));
  }
  yield* otlpMetrics([...metrics.families()]);
}

function download(body: string, name: string): Response {
  return new Response(body, { headers: attachment(name, "application/json") });
}

function attachment(name: string, type: string): Record<string, string> {
  return { "content-type": type, "content-disposition": `attachment; filename="${name}"` };
}

/** What a line of an import may be, by its only needed field. */
const signals: readonly (readonly [field: string, signal: Signal])[] = [
  ["resourceSpans", "traces"],
  ["resourceMetrics", "metrics"],
  ["resourceLogs", "logs"],
];

/**
 * Takes in an exported file: one request, or one a line.
 *
 * @throws {ProblemError} 400 names the line that cannot be read; those before it were taken in
 */
export async function importOtlp(
  c: Context,
  { take, limitBytes }: {
    take: (signal: Signal, body: Uint8Array<ArrayBuffer>) => Refusal | undefined;
    limitBytes: number;
  },
): Promise<Response> {
  const text = await readText(c.req.raw, { limitBytes, timeoutMs: importTimeoutMs });
  const answer: ImportAnswer = { requests: 0, refused: 0, reasons: [] };
  const whole = signalsOf(parsed(text));
  const parts = whole.length > 0 ? [text] : text.split("\n");
  for (const [i, part] of parts.entries()) {
    if (part.trim() === "") continue;
    const found = signalsOf(parsed(part));
    if (found.length === 0) throw notOtlp(`line ${i + 1}`, answer.requests);
    const body = new TextEncoder().encode(part);
    for (const signal of found) {
      const refusal = taken(() => take(signal, body), i, answer.requests);
      answer.requests++;
      if (refusal === undefined) continue;
      answer.refused += refusal.count;
      if (answer.reasons.length < 20) answer.reasons.push(refusal.message);
    }
  }
  return c.json(answer);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON as a whole: it is read line by line, and a line is what is complained of.
    return undefined;
  }
}

function signalsOf(value: unknown): Signal[] {
  if (typeof value !== "object" || value === null) return [];
  return signals.filter(([field]) => Array.isArray((value as Record<string, unknown>)[field]))
    .map(([, signal]) => signal);
}

function taken(
  take: () => Refusal | undefined,
  line: number,
  before: number,
): Refusal | undefined {
  try {
    return take();
  } catch (error) {
    if (error instanceof OtlpDecodeError) {
      throw notOtlp(`line ${line + 1} (${error.message})`, before);
    }
    throw error;
  }
}

function notOtlp(where: string, before: number): ProblemError {
  return new ProblemError(400, {
    title: "Not OTLP's JSON",
    detail:
      `There is no resourceSpans, resourceMetrics or resourceLogs in ${where}. ${before} requests before it were taken in.`,
  });
}
