/**
 * `--otlp-endpoint`: sends a run's spans to whoever takes OTLP/HTTP, such as the console or Jaeger.
 *
 * @module
 */
import { diag, DiagLogLevel, metrics } from "@opentelemetry/api";
import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { flag, InvalidArgumentError, parseHttpUrl } from "../../service/command_line.ts";
import { stderrLines } from "../../service/log.ts";
import { spanBatch, spanExporter } from "../../service/telemetry/exporters.ts";
import { realWorld } from "../../service/world/world.ts";
import type { RunResult } from "../simulation/run.ts";
import { UsageError } from "./output.ts";
import { RunSpans } from "./run_spans.ts";

/** Flags of the export. */
export interface OtlpFlags {
  otlpEndpoint?: string;
  otlpEpoch: number;
}

const protocol = "http/protobuf";
/** Spans of one request: of some 300 bytes each. */
const maxSpans = 2_000;

/** 2026-01-01T00:00:00Z. */
const defaultEpochMs = 1_767_225_600_000;

/** `--otlp-endpoint` */
export const otlpEndpointFlag = () =>
  flag("--otlp-endpoint <url>", "send the run's spans there, by OTLP/HTTP, at virtual times")
    .argParser(parseHttpUrl);

/** `--otlp-epoch` */
export const otlpEpochFlag = () =>
  flag("--otlp-epoch <time>", "what virtual time 0 is: an ISO 8601 time with its zone, or 'now'")
    .argParser(parseEpoch).default(defaultEpochMs, "2026-01-01T00:00:00Z");

/**
 * Reads a time.
 *
 * @throws {InvalidArgumentError} it is none, or says no zone.
 */
export function parseEpoch(text: string): number {
  if (text === "now") return realWorld.nowMs();
  const epochMs = /T.*(?:Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : NaN;
  if (epochMs >= 0) return epochMs;
  throw new InvalidArgumentError(
    `Give a time since 1970 with its zone, such as 2026-01-01T00:00:00Z, or now: current value is '${text}'.`,
  );
}

/**
 * Sends a run's spans; gives how many.
 *
 * @param endpoint without `/v1/traces`, such as `http://127.0.0.1:4318`
 * @throws {UsageError} they cannot be delivered; those that were sent before stay.
 *
 * @example
 * ```ts
 * const spans = new RunSpans();
 * const result = runSimulation({ seed: 7, ...spans.input });
 * await exportSpans(spans, result, { endpoint: "http://127.0.0.1:4318", epochMs: 0 });
 * ```
 */
export async function exportSpans(
  spans: RunSpans,
  result: RunResult,
  { endpoint, epochMs }: { endpoint: string; epochMs: number },
): Promise<number> {
  const url = `${endpoint.replace(/\/+$/, "")}/v1/traces`;
  const batch = spanBatch(protocol);
  const requests: { bytes: Uint8Array; count: number }[] = [];
  spans.make(result, epochMs, (span) => {
    batch.add(span);
    if (batch.count >= maxSpans) requests.push(batch.take());
  });
  if (batch.count > 0) requests.push(batch.take());
  const exporter = spanExporter(protocol, metrics.getMeterProvider(), url);
  let sent = 0;
  try {
    for (const request of requests) {
      const { code, error } = await new Promise<ExportResult>((resolve) =>
        exporter.export(request, resolve)
      );
      if (code !== ExportResultCode.SUCCESS) {
        const reason = error?.message ?? "no reason given";
        throw new UsageError(
          `The run's spans cannot be delivered to ${endpoint} (${reason}), ${sent} were sent before. ` +
            "Start a collector there (deno task console), or name another with --otlp-endpoint",
        );
      }
      sent += request.count;
    }
  } finally {
    await exporter.shutdown();
  }
  return sent;
}

/** Gathers the spans of a run and sends them, where the flags ask for it. */
export async function withExport(
  { otlpEndpoint: endpoint, otlpEpoch: epochMs }: OtlpFlags,
  run: (input: RunSpans["input"]) => RunResult,
): Promise<RunResult> {
  if (endpoint === undefined) return run({});
  // What a collector refuses of them it says in its answer, which the exporter only tells here.
  const warn = (message: string) => stderrLines.write(`simulate: ${message}`);
  const silent = () => {};
  diag.setLogger(
    { error: warn, warn, info: silent, debug: silent, verbose: silent },
    DiagLogLevel.WARN,
  );
  const spans = new RunSpans();
  const result = run(spans.input);
  const sent = await exportSpans(spans, result, { endpoint, epochMs });
  stderrLines.write(`simulate: ${sent} spans sent to ${endpoint}`);
  return result;
}
