#!/usr/bin/env -S deno run --allow-run --allow-read --allow-write --allow-env --allow-net=127.0.0.1
/**
 * The console beside others that take OTLP, with the same batches in the same run: Jaeger all-in-one
 * with its store in memory; the OpenTelemetry Collector as `otel-collector.yaml` has it (span metrics,
 * and on to Jaeger) and as bare as it can be (batched, counted, thrown away); and otel-desktop-viewer,
 * where `OTEL_DESKTOP_VIEWER` names its program (v0.4.1 cannot be had by `go install`: clone it, `go
 * build`). Start, memory, what a span costs in processor time, a search.
 *
 * The others are Go and use all cores they have: processor time is what can be compared.
 *
 * @module
 */
import { answersOk, choosePorts } from "../service/ports.ts";
import { startProcess } from "../service/supervisor.ts";
import { startJaeger } from "../stack/jaeger.ts";
import { startOtelCollector } from "../stack/otel_collector.ts";
import { flood, type FloodTarget } from "./console_flood.ts";
import { readStats, spansPerBatch, spansPerTrace, startConsole } from "./console_load.ts";
import { cpuSeconds, statusBytes } from "./process_memory.ts";
import { median, report } from "./report.ts";

const warmUpBatches = 60;
const batches = 200;
const rounds = 3;
const heldSpans = 50_000;

interface Peer extends FloodTarget {
  readonly name: string;
  readonly pid: number;
  /** From the command until it is ready. */
  readonly startMs: number;
  /** How many spans it holds by now; undefined if it holds none. */
  readonly held: (() => Promise<number>) | undefined;
  /** Finds traces by operation and attribute; undefined if it cannot. */
  readonly search: (() => Promise<number>) | undefined;
}

/** Spans taken in a second of processor time, by each way in. */
interface Speeds {
  grpc: number;
  http: number | undefined;
}

async function measure(peer: Peer): Promise<Speeds> {
  const { name, pid } = peer;
  report({ name: `${name}: start, ms`, measured: peer.startMs });
  const restMB = await statusBytes(pid, "VmRSS") / 1e6;
  report({ name: `${name}: memory at rest, MB`, measured: restMB });
  const grpc = await speedOf(peer, "grpc");
  const http = peer.http === undefined ? undefined : await speedOf(peer, "http");
  const fullMB = await statusBytes(pid, "VmRSS") / 1e6;
  report({ name: `${name}: memory with its buffers full, MB`, measured: fullMB });
  if (peer.held) {
    const held = await peer.held();
    report({ name: `${name}: spans held`, measured: held });
    report({
      name: `${name}: memory a 100,000 spans held, MB`,
      measured: (fullMB - restMB) / held * 100_000,
    });
  }
  if (peer.search) await measureSearch(name, peer.search);
  return { grpc, http };
}

async function speedOf(peer: Peer, by: "grpc" | "http"): Promise<number> {
  await flood(peer, { by, batches: warmUpBatches });
  const speeds: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const before = await cpuSeconds(peer.pid);
    await flood(peer, { by, batches });
    speeds.push(batches * spansPerBatch / (await cpuSeconds(peer.pid) - before));
  }
  report({
    name: `${peer.name}: spans taken in a second of processor time, by ${by} (median of ${rounds})`,
    measured: median(speeds),
  });
  return median(speeds);
}

async function measureSearch(name: string, search: () => Promise<number>): Promise<void> {
  let fastest = Infinity;
  for (let i = 0; i < 9; i++) {
    const beforeMs = performance.now();
    const found = await search();
    if (found === 0) throw new Error(`${name} found nothing`);
    fastest = Math.min(fastest, performance.now() - beforeMs);
  }
  report({
    name: `${name}: search by operation and attribute, ms, fastest of 9`,
    measured: fastest,
  });
}

/** As Jaeger's API asks, which the console has, too. */
function jaegerSearch(url: string): () => Promise<number> {
  return async () => {
    const query = new URLSearchParams({
      service: "bench",
      operation: "GET /api/things/7",
      tags: '{"http.route":"/api/things/7"}',
      limit: "20",
      start: String((Date.now() - 3_600_000) * 1_000),
      end: String((Date.now() + 60_000) * 1_000),
    });
    return (await (await fetch(`${url}/api/traces?${query}`)).json()).data.length;
  };
}

async function measureConsole(): Promise<Speeds> {
  const beforeMs = performance.now();
  const viewer = await startConsole();
  try {
    const { grpcAddress: grpc, otlpUrl: http, pageUrl, pid } = viewer;
    const startMs = performance.now() - beforeMs;
    const search = jaegerSearch(pageUrl);
    const held = async () => (await readStats(pageUrl)).traces.held;
    return await measure({ name: "console", pid, grpc, http, startMs, held, search });
  } finally {
    await viewer.stop();
  }
}

async function measureJaeger(): Promise<Speeds> {
  const beforeMs = performance.now();
  await using jaeger = await startJaeger({ maxTraces: heldSpans / spansPerTrace });
  const startMs = performance.now() - beforeMs;
  const { otlpGrpcAddress: grpc, queryUrl, pid } = jaeger;
  const search = jaegerSearch(queryUrl);
  // It does not say; this many traces are what it was started with.
  const held = () => Promise.resolve(heldSpans);
  return await measure({ name: "jaeger", pid, grpc, http: undefined, startMs, held, search });
}

/** Received, batched, counted: nothing that it is used for. */
const bare = [
  "service::pipelines::traces::processors: [batch]",
  "service::pipelines::traces::exporters: [debug]",
  "service::pipelines::metrics::receivers: [otlp]",
];

async function measureCollector(name: string, settings: readonly string[]): Promise<Speeds> {
  await using jaeger = await startJaeger({ maxTraces: 1_000 });
  const beforeMs = performance.now();
  await using collector = await startOtelCollector({
    jaegerOtlpGrpcAddress: jaeger.otlpGrpcAddress,
    settings,
  });
  const startMs = performance.now() - beforeMs;
  const { otlpGrpcAddress: grpc, otlpHttpUrl: http, pid } = collector;
  return await measure({ name, pid, grpc, http, startMs, held: undefined, search: undefined });
}

async function measureDesktopViewer(command: string): Promise<void> {
  const everything = ["0", "9223372036854775807", desktopViewerQuery()];
  // deno-lint-ignore no-explicit-any -- another program's answer, of which two fields are read
  const ask = async (method: string, params: unknown[]): Promise<any> => {
    const response = await fetch(`http://127.0.0.1:${page}/rpc`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    });
    const { result, error } = await response.json();
    if (error) throw new Error(`otel-desktop-viewer: ${JSON.stringify(error)}`);
    return result;
  };
  const [grpcPort, httpPort, page] = choosePorts(undefined, undefined, undefined);
  const beforeMs = performance.now();
  await using viewer = await startProcess({
    name: "otel-desktop-viewer",
    command,
    args: () => [
      ...["--grpc", `${grpcPort}`, "--http", `${httpPort}`, "--browser-port", `${page}`],
      ...["--open-browser=false", "--host", "127.0.0.1"],
    ],
    env: {},
    ports: { grpc: grpcPort, http: httpPort, page },
    ready: (signal) => answersOk(`http://127.0.0.1:${page}/`, signal),
  }, {});
  await measure({
    name: "otel-desktop-viewer",
    pid: viewer.pid,
    grpc: `127.0.0.1:${grpcPort}`,
    http: `http://127.0.0.1:${httpPort}`,
    startMs: performance.now() - beforeMs,
    held: async () => (await ask("getStats", [])).traces.spanCount,
    search: async () => (await ask("searchTraces", everything)).length,
  });
}

function desktopViewerQuery(): object {
  const condition = (name: string, value: string, scope: object) => ({
    id: name,
    type: "condition",
    query: { field: { name, ...scope }, fieldOperator: "=", value },
  });
  const attribute = { searchScope: "attribute", attributeScope: "span", type: "string" };
  return {
    id: "both",
    type: "group",
    group: {
      logicalOperator: "AND",
      children: [
        condition("name", "GET /api/things/7", { searchScope: "field" }),
        condition("http.route", "/api/things/7", attribute),
      ],
    },
  };
}

const jaeger = await measureJaeger();
const collector = await measureCollector("collector", []);
const bareCollector = await measureCollector("bare collector", bare);
const ours = await measureConsole();
const desktopViewer = Deno.env.get("OTEL_DESKTOP_VIEWER");
if (desktopViewer) await measureDesktopViewer(desktopViewer);

const over = "console: spans in a second of processor time, over";
report({
  name: `${over} the collector's, by grpc`,
  measured: ours.grpc / collector.grpc,
  target: { atLeast: 0.5 },
});
report({
  name: `${over} the collector's, by http`,
  measured: ours.http! / collector.http!,
  target: { atLeast: 0.5 },
});
report({ name: `${over} a bare collector's, by grpc`, measured: ours.grpc / bareCollector.grpc });
report({ name: `${over} a bare collector's, by http`, measured: ours.http! / bareCollector.http! });
report({ name: `${over} Jaeger's, by grpc`, measured: ours.grpc / jaeger.grpc });
