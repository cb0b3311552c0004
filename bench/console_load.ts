/**
 * For benchmarks of the console: the console by itself, and a flood of spans: protobuf, batches of 512,
 * six attributes a span, eight spans a trace, every trace new.
 *
 * @module
 */
import { create, toBinary } from "@bufbuild/protobuf";
import type { StatsEvent } from "../console/page_api/stream_events.ts";
import { ExportTraceServiceRequestSchema } from "../service/otlp/proto/gen/trace_service_pb.ts";
import { programArguments } from "../service/program_file.ts";

/** Spans of one request. */
export const spansPerBatch = 512;
/** Spans of one trace. */
export const spansPerTrace = 8;
const senders = 3;

/** A console in a process of its own, on one core where `taskset` can pin it. */
export async function startConsole(flags: readonly string[] = []) {
  const pinned = await hasTaskset();
  const entry = new URL("../console/server.ts", import.meta.url).pathname;
  const args = await programArguments(entry, [
    ...["--otlp-port", "0", "--page-port", "0"],
    ...flags,
  ]);
  const child = new Deno.Command(pinned ? "taskset" : Deno.execPath(), {
    args: pinned ? ["--cpu-list", "0", Deno.execPath(), ...args] : args,
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let text = "";
  const decoder = new TextDecoder();
  const reader = child.stdout.getReader();
  let match: RegExpExecArray | null = null;
  while (match === null) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`The console ended before it was ready: ${text}`);
    text += decoder.decode(value, { stream: true });
    match = /page=(\S+) otlp=(\S+) grpc=(\S+)/.exec(text);
  }
  return {
    pid: child.pid,
    pinned,
    pageUrl: match[1]!,
    otlpUrl: match[2]!,
    grpcAddress: match[3]!,
    async stop() {
      await reader.cancel();
      child.kill("SIGTERM");
      await child.status;
    },
  };
}

async function hasTaskset(): Promise<boolean> {
  try {
    const { success } = await new Deno.Command("taskset", { args: ["--version"] }).output();
    return success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** A batch whose ids can be overwritten: encoding 60,000 spans a second would measure the encoder. */
export function makeBatch(): {
  bytes: Uint8Array<ArrayBuffer>;
  traceIds: number[];
  spanIds: number[];
} {
  const now = BigInt(Date.now()) * 1_000_000n;
  const spans = Array.from({ length: spansPerBatch }, (_, i) => ({
    traceId: marked(16, 0xa5),
    spanId: marked(8, 0x5a),
    parentSpanId: new Uint8Array(),
    name: `GET /api/things/${i % 20}`,
    kind: 2,
    startTimeUnixNano: now,
    endTimeUnixNano: now + BigInt(i * 1_000),
    attributes: [
      text("http.request.method", "GET"),
      text("http.route", `/api/things/${i % 20}`),
      text("url.full", `http://127.0.0.1:4242/api/things/${i}?page=${i * 7}`),
      text("user.id", `user-${i * 31}`),
      { key: "http.response.status_code", value: { value: int(200) } },
      { key: "server.port", value: { value: int(4242) } },
    ],
  }));
  const bytes = toBinary(
    ExportTraceServiceRequestSchema,
    create(ExportTraceServiceRequestSchema, {
      resourceSpans: [{
        resource: { attributes: [text("service.name", "bench")] },
        scopeSpans: [{ scope: { name: "bench" }, spans }],
      }],
    }),
  ) as Uint8Array<ArrayBuffer>;
  return { bytes, traceIds: places(bytes, 16, 0xa5), spanIds: places(bytes, 8, 0x5a) };
}

function text(key: string, value: string) {
  return { key, value: { value: { case: "stringValue" as const, value } } };
}

function int(value: number) {
  return { case: "intValue" as const, value: BigInt(value) };
}

function marked(length: number, mark: number): Uint8Array {
  return new Uint8Array(length).fill(mark);
}

function places(bytes: Uint8Array, length: number, mark: number): number[] {
  const found: number[] = [];
  for (let at = 0; at + length <= bytes.length; at++) {
    if (!bytes.subarray(at, at + length).every((byte) => byte === mark)) continue;
    found.push(at);
    at += length - 1;
  }
  if (found.length !== spansPerBatch) throw new Error(`${found.length} ids instead of 512`);
  return found;
}

/** Floods a console until it is stopped, or until so many spans were sent. */
export function startLoad(otlpUrl: string, { spans = Infinity }: { spans?: number } = {}) {
  let running = true;
  let failures = 0;
  let counter = 0;

  async function send(): Promise<void> {
    const { bytes, traceIds, spanIds } = makeBatch();
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    while (running && counter < spans) {
      for (let i = 0; i < spansPerBatch; i++) {
        counter++;
        view.setUint32(traceIds[i]!, Math.floor(counter / spansPerTrace));
        view.setUint32(spanIds[i]!, counter);
      }
      const response = await fetch(`${otlpUrl}/v1/traces`, {
        method: "POST",
        headers: { "content-type": "application/x-protobuf" },
        body: bytes,
      });
      await response.body?.cancel();
      if (response.status !== 200) failures++;
    }
  }

  const all = Promise.all(Array.from({ length: senders }, send));
  return {
    failures: () => failures,
    /** Resolves when all are sent. */
    done: all,
    async stop() {
      running = false;
      await all;
    },
  };
}

/** The console's counters. */
export async function readStats(pageUrl: string): Promise<StatsEvent> {
  return await (await fetch(`${pageUrl}/api/stats`)).json();
}
