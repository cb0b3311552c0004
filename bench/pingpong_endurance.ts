#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-env --allow-run --allow-sys
/**
 * Does ping-pong stay as it is? A million pings on one connection in each mode, a stream for every
 * ping included: no limit is reached, and client and server need no more memory at the end than
 * after the first tenth. And a thousand clients at ten pings a second each.
 *
 * @module
 */
import { metrics, trace } from "@opentelemetry/api";
import { join } from "node:path";
import { type PingpongClientOptions, runPingpongClient } from "../pingpong/client.ts";
import { generateCertificates } from "../pingpong/gen_certs.ts";
import { openLink } from "../pingpong/links.ts";
import { Pinger } from "../pingpong/pinger.ts";
import { Reconnection } from "../pingpong/reconnection.ts";
import { Histogram } from "../pingpong/statistics.ts";
import { endProcess, type PingpongProcess, startPingpong } from "./pingpong_server.ts";
import { report } from "./report.ts";

/** Fewer for a look: `PINGPONG_BENCH_PINGS=100000`. */
const pings = Number(Deno.env.get("PINGPONG_BENCH_PINGS") ?? 1_000_000);
const clients = Number(Deno.env.get("PINGPONG_BENCH_CLIENTS") ?? 1_000);
const clientSeconds = 30;

const tracer = trace.getTracer("bench");
const meter = metrics.getMeter("bench");
const telemetry = { enabled: false, tracer, meter, shutdown: async () => {} };

const runs: readonly [name: string, options: PingpongClientOptions][] = [
  ["bidi", { mode: "bidi" }],
  ["uni", { mode: "uni" }],
  ["datagram", { mode: "datagram" }],
  ["bidi, a stream per ping", { mode: "bidi", streamPerPing: true }],
  ["uni, a stream per ping", { mode: "uni", streamPerPing: true }],
];

async function endure(
  server: PingpongProcess,
  pin: string,
  name: string,
  options: PingpongClientOptions,
): Promise<void> {
  let seen = 0;
  const early: number[] = [];
  let sampling: Promise<void> = Promise.resolve();
  const { runs: [run] } = await runPingpongClient(
    { ...options, port: server.port, pin, pingCount: pings, concurrency: 32, json: true },
    { telemetry },
    (line) => {
      if (!line.startsWith('{"kind":"pong"') || ++seen !== Math.floor(pings / 10)) return;
      sampling = server.rss().then((rss) => void early.push(rss, Deno.memoryUsage().rss));
    },
  );
  await sampling;
  const { received, lost } = run!.run.statistics.summary();
  report({
    name: `${name}: pings answered`,
    measured: received,
    target: { atLeast: pings - lost },
  });
  report({ name: `${name}: pings lost`, measured: lost, target: { atMost: 0 } });
  const late = [await server.rss(), Deno.memoryUsage().rss];
  report({
    name: `${name}: server memory at the end / after a tenth`,
    measured: late[0]! / early[0]!,
    target: { atMost: 1.25 },
  });
  report({
    name: `${name}: client memory at the end / after a tenth`,
    measured: late[1]! / early[1]!,
    target: { atMost: 1.25 },
  });
}

async function crowd(server: PingpongProcess, hash: Uint8Array): Promise<void> {
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  const stop = new AbortController();
  const times = new Histogram();
  let failed = 0;
  const target = { host: "127.0.0.1", port: server.port };
  const counting = { now: false };
  const pingers = Array.from({ length: clients }, (_, number) => {
    const pinger: Pinger = new Pinger({
      openLink: () =>
        openLink({
          mode: "bidi",
          target,
          trust: { pins: [hash] },
          client: { name: `client-${number}`, run: pinger.run },
          endpoint,
          connectTimeoutMs: 30_000,
          heartbeatTimeoutMs: 10_000,
        }),
      reconnection: new Reconnection(),
      onEvent: (event) => {
        if (event.kind === "pong" && counting.now) times.add(event.rttMs);
        if (event.kind === "disconnected") failed++;
      },
      count: 0,
      intervalMs: 100,
      tracer,
      meter,
    });
    return pinger;
  });
  const running: Promise<unknown>[] = [];
  for (const pinger of pingers) {
    running.push(pinger.start(stop.signal));
    // A thousand handshakes at once would measure handshakes.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  counting.now = true;
  await new Promise((resolve) => setTimeout(resolve, clientSeconds * 1_000));
  counting.now = false;
  const rss = await server.rss();
  stop.abort();
  await Promise.all(running);
  endpoint.close();
  report({ name: `${clients} clients, 10 pings/s each: connections broken`, measured: failed });
  report({ name: `${clients} clients: RTT p50, ms`, measured: times.quantile(0.5) });
  report({
    name: `${clients} clients: RTT p99, ms`,
    measured: times.quantile(0.99),
    target: { atMost: 20 },
  });
  report({
    name: `${clients} clients: server memory, MB`,
    measured: rss / 1e6,
    target: { atMost: 300 },
  });
}

if (import.meta.main) {
  const folder = await Deno.makeTempDir({ prefix: "pingpong-bench-" });
  const pinPath = join(folder, "cert.sha256");
  const { hash } = await generateCertificates({
    certificatePath: join(folder, "cert.pem"),
    keyPath: join(folder, "key.pem"),
    pinPath,
  });
  try {
    for (const [name, options] of runs) {
      const server = await startPingpong(folder);
      await endure(server, pinPath, name, options);
      await endProcess(server.child);
    }
    const server = await startPingpong(folder);
    await crowd(server, hash);
    await endProcess(server.child);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
