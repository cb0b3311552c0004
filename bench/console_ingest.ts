#!/usr/bin/env -S deno run --allow-run --allow-read --allow-net=127.0.0.1
/**
 * How many spans a second the console takes in on one core while a page is connected, whether its
 * memory stays flat once its buffers are full, and whether the page is still served.
 *
 * The console runs in a process of its own, on one core where `taskset` can pin it; this process
 * makes the load: protobuf, batches of 512 spans, six attributes a span, eight spans a trace, every
 * trace new.
 *
 * @module
 */
import { create, toBinary } from "@bufbuild/protobuf";
import type { StatsEvent, TracesEvent } from "../console/page_api/stream_events.ts";
import { ExportTraceServiceRequestSchema } from "../service/otlp/proto/gen/trace_service_pb.ts";
import { programArguments } from "../service/program_file.ts";
import { median, report } from "./report.ts";

const spansPerBatch = 512;
const spansPerTrace = 8;
const senders = 3;
const warmUpMs = 8_000;
const measureMs = 20_000;
const targetSpansPerSecond = 60_000;
const targetGrowth = 1.1;

const console_ = await startConsole();
try {
  const page = followStream(console_.pageUrl);
  const load = startLoad(console_.otlpUrl);
  await sleep(warmUpMs);

  const samples: StatsEvent[] = [];
  const before = await readStats(console_.pageUrl);
  page.reset();
  const cpuBefore = await cpuSeconds(console_.pid);
  const startMs = performance.now();
  while (performance.now() - startMs < measureMs) {
    await sleep(1_000);
    samples.push(await readStats(console_.pageUrl));
  }
  const seconds = (performance.now() - startMs) / 1_000;
  const cpu = await cpuSeconds(console_.pid) - cpuBefore;
  const after = samples.at(-1)!;
  const seen = page.seen();
  await load.stop();
  await page.stop();

  const rss = samples.map(({ memory }) => memory.rssBytes / 1e6);
  const quarter = Math.ceil(rss.length / 4);
  const pinned = console_.pinned ? "pinned to one core" : "not pinned: no taskset here";
  report({
    name: `console: spans taken in a second, a page connected (${pinned})`,
    measured: (after.traces.received - before.traces.received) / seconds,
    target: { atLeast: targetSpansPerSecond },
  });
  report({ name: "console: share of its core that it used", measured: cpu / seconds });
  report({
    name: "console: spans taken in a second of its CPU time",
    measured: (after.traces.received - before.traces.received) / cpu,
  });
  report({
    name: "console: RSS with full buffers, last quarter of the run over the first",
    measured: median(rss.slice(-quarter)) / median(rss.slice(0, quarter)),
    target: { atMost: targetGrowth },
  });
  print(`console: RSS by second, MB: ${rss.map((value) => value.toFixed(0)).join(" ")}`);
  report({ name: "console: spans held", measured: after.traces.held });
  report({ name: "console: estimated bytes held, MB", measured: after.memory.heldBytes / 1e6 });
  report({ name: "console: spans evicted", measured: after.traces.evicted });
  report({ name: "console: spans refused", measured: refusedCount(after) });
  report({
    name: "page: longest silence of the stream, ms",
    measured: seen.longestSilenceMs,
    target: { atMost: 1_500 },
  });
  report({ name: "page: rows a second", measured: seen.rows / seconds });
  report({ name: "page: traces behind these rows, a second", measured: seen.seen / seconds });
  report({
    name: "load: answers other than 200",
    measured: load.failures(),
    target: { atMost: 0 },
  });
} finally {
  await console_.stop();
}

async function startConsole() {
  const pinned = await hasTaskset();
  const entry = new URL("../console/server.ts", import.meta.url).pathname;
  const args = await programArguments(entry, ["--otlp-port", "0", "--page-port", "0"]);
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
    match = /page=(\S+) otlp=(\S+)/.exec(text);
  }
  return {
    pid: child.pid,
    pinned,
    pageUrl: match[1]!,
    otlpUrl: match[2]!,
    async stop() {
      await reader.cancel();
      child.kill("SIGTERM");
      await child.status;
    },
  };
}

/** CPU time of a process, user and system (`/proc/<pid>/stat`, in ticks of 10 ms). */
async function cpuSeconds(pid: number): Promise<number> {
  // By `cat`: Deno itself reads /proc only with all permissions.
  const { stdout } = await new Deno.Command("cat", { args: [`/proc/${pid}/stat`] }).output();
  const stat = new TextDecoder().decode(stdout);
  // The name in parentheses may hold anything, so count from behind it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
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
function makeBatch(): { bytes: Uint8Array<ArrayBuffer>; traceIds: number[]; spanIds: number[] } {
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

function startLoad(otlpUrl: string) {
  let running = true;
  let failures = 0;
  let counter = 0;

  async function send(): Promise<void> {
    const { bytes, traceIds, spanIds } = makeBatch();
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    while (running) {
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
    async stop() {
      running = false;
      await all;
    },
  };
}

function followStream(pageUrl: string) {
  const cut = new AbortController();
  let rows = 0;
  let seen = 0;
  let longestSilenceMs = 0;
  let lastMs = performance.now();

  async function follow(): Promise<void> {
    const response = await fetch(`${pageUrl}/api/stream?signals=traces`, { signal: cut.signal });
    let rest = "";
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      const nowMs = performance.now();
      longestSilenceMs = Math.max(longestSilenceMs, nowMs - lastMs);
      lastMs = nowMs;
      const events = (rest + chunk).split("\n\n");
      rest = events.pop()!;
      for (const event of events) {
        if (!event.startsWith("event: traces\n")) continue;
        const data = event.slice(event.indexOf("\ndata: ") + 7);
        const { sampled } = JSON.parse(data) as TracesEvent;
        rows += sampled.shown;
        seen += sampled.seen;
      }
    }
  }

  const done = follow().catch((error) => {
    if (!cut.signal.aborted) throw error;
  });
  return {
    reset() {
      [rows, seen, longestSilenceMs] = [0, 0, 0];
    },
    seen: () => ({ rows, seen, longestSilenceMs }),
    async stop() {
      cut.abort();
      await done;
    },
  };
}

async function readStats(pageUrl: string): Promise<StatsEvent> {
  return await (await fetch(`${pageUrl}/api/stats`)).json();
}

function refusedCount({ traces }: StatsEvent): number {
  return Object.values(traces.refused).reduce((sum, count) => sum + count, 0);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
