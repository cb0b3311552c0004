#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-env --allow-run --allow-sys
/**
 * Does ping-pong stay as it is? A million pings on one connection in each mode, a stream for every
 * ping included: no limit is reached, and client and server need no more memory at the end than
 * after the first tenth.
 *
 * @module
 */
import { metrics, trace } from "@opentelemetry/api";
import { type PingpongClientOptions, runPingpongClient } from "../pingpong/client.ts";
import {
  endProcess,
  makeCertificate,
  type PingpongProcess,
  startPingpong,
} from "./pingpong_server.ts";
import { report } from "./report.ts";

/** Fewer for a look: `PINGPONG_BENCH_PINGS=100000`. */
const pings = Number(Deno.env.get("PINGPONG_BENCH_PINGS") ?? 1_000_000);

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
    {
      data: (line) => {
        if (!line.startsWith('{"kind":"pong"') || ++seen !== Math.floor(pings / 10)) return;
        sampling = server.rss().then((rss) => void early.push(rss, Deno.memoryUsage().rss));
      },
      talk: () => {},
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

if (import.meta.main) {
  await using made = await makeCertificate();
  const { folder, pinPath } = made;
  // This process is the client: its heap has the size that it needs only after some work.
  const first = await startPingpong(folder);
  await runPingpongClient(
    { port: first.port, pin: pinPath, pingCount: pings / 10, concurrency: 32, json: true },
    { telemetry },
    { data: () => {}, talk: () => {} },
  );
  await endProcess(first.child);
  for (const [name, options] of runs) {
    const server = await startPingpong(folder);
    await endure(server, pinPath, name, options);
    await endProcess(server.child);
  }
}
