#!/usr/bin/env -S deno run --allow-run --allow-read --allow-write --allow-env --allow-net=127.0.0.1
/**
 * The console beside Jaeger all-in-one with its store in memory: start, memory, what a span costs in
 * processor time, a search. The same batches by OTLP/gRPC, which both take. Jaeger is Go and uses all
 * cores it has; processor time is what can be compared.
 *
 * @module
 */
import http2 from "node:http2";
import { framed } from "../console/test_grpc.ts";
import { startJaeger } from "../stack/jaeger.ts";
import {
  cpuSeconds,
  makeBatch,
  spansPerBatch,
  spansPerTrace,
  startConsole,
} from "./console_load.ts";
import { report } from "./report.ts";

const warmUpBatches = 60;
const batches = 200;
const path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

interface Viewer {
  name: string;
  pid: number;
  grpc: string;
  query: string;
  startMs: number;
}

let counter = 0;

/** Sends batches one after the other on three connections' streams. */
async function flood(address: string, count: number): Promise<void> {
  const session = http2.connect(`http://${address}`);
  let left = count;
  async function send(): Promise<void> {
    const { bytes, traceIds, spanIds } = makeBatch();
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    while (left-- > 0) {
      for (let i = 0; i < spansPerBatch; i++) {
        counter++;
        view.setUint32(traceIds[i]!, Math.floor(counter / spansPerTrace));
        view.setUint32(spanIds[i]!, counter);
      }
      const stream = session.request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
        te: "trailers",
      });
      let status: unknown;
      const note = (headers: Record<string, unknown>) => status = headers["grpc-status"] ?? status;
      stream.on("response", note);
      stream.on("trailers", note);
      stream.resume();
      stream.end(framed(bytes));
      await new Promise((resolve, reject) => {
        stream.on("close", resolve);
        stream.on("error", reject);
      });
      if (status !== "0") throw new Error(`${address} answered ${status}`);
    }
  }
  await Promise.all([send(), send(), send()]);
  session.destroy();
}

async function residentMB(pid: number): Promise<number> {
  const { stdout } = await new Deno.Command("cat", { args: [`/proc/${pid}/status`] }).output();
  return Number(/VmRSS:\s+(\d+)/.exec(new TextDecoder().decode(stdout))?.[1]) / 1e3;
}

async function measure({ name, pid, grpc, query, startMs }: Viewer): Promise<number> {
  report({ name: `${name}: start, ms`, measured: startMs });
  report({ name: `${name}: memory at rest, MB`, measured: await residentMB(pid) });
  await flood(grpc, warmUpBatches);
  const before = await cpuSeconds(pid);
  await flood(grpc, batches);
  const perSecond = batches * spansPerBatch / (await cpuSeconds(pid) - before);
  report({ name: `${name}: spans taken in a second of processor time`, measured: perSecond });
  report({ name: `${name}: memory with its buffers full, MB`, measured: await residentMB(pid) });
  const search = new URLSearchParams({
    service: "bench",
    operation: "GET /api/things/7",
    tags: '{"http.route":"/api/things/7"}',
    limit: "20",
    start: String((Date.now() - 3_600_000) * 1_000),
    end: String((Date.now() + 60_000) * 1_000),
  });
  let fastest = Infinity;
  for (let i = 0; i < 9; i++) {
    const beforeMs = performance.now();
    const { data } = await (await fetch(`${query}/api/traces?${search}`)).json();
    if (data.length === 0) throw new Error(`${name} found nothing`);
    fastest = Math.min(fastest, performance.now() - beforeMs);
  }
  report({
    name: `${name}: search by operation and attribute, ms, fastest of 9`,
    measured: fastest,
  });
  return perSecond;
}

async function measureConsole(): Promise<number> {
  const beforeMs = performance.now();
  const viewer = await startConsole();
  try {
    const startMs = performance.now() - beforeMs;
    const { grpcAddress: grpc, pageUrl: query, pid } = viewer;
    return await measure({ name: "console", pid, grpc, query, startMs });
  } finally {
    await viewer.stop();
  }
}

async function measureJaeger(): Promise<number> {
  const beforeMs = performance.now();
  // As many spans as the console holds.
  await using jaeger = await startJaeger({ maxTraces: 50_000 / spansPerTrace });
  const startMs = performance.now() - beforeMs;
  const { otlpGrpcAddress: grpc, queryUrl: query, pid } = jaeger;
  return await measure({ name: "jaeger", pid, grpc, query, startMs });
}

const theirs = await measureJaeger();
const ours = await measureConsole();
report({
  name: "console: spans in a second of processor time, over Jaeger's",
  measured: ours / theirs,
});
