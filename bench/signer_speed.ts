#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-env --allow-run --allow-sys
/**
 * How fast the signer signs, over a real Kafka on the same machine and inside one process: from
 * the WebSocket to the signature and back, broker, programs and load sharing the machine's cores.
 *
 * ```sh
 * deno run -A bench/signer_speed.ts
 * ```
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startProgram, type TestProgram } from "../service/testing/program.ts";
import { startKafka } from "../stack/kafka.ts";
import { statusBytes } from "./process_memory.ts";
import { median, report } from "./report.ts";
import type { LoadResult } from "./signer_load.ts";

const beside = (file: string) => fileURLToPath(new URL(file, import.meta.url));
const entry = (name: string) => new URL(`../signer/${name}.ts`, import.meta.url);

/** Sockets and messages in flight on each, of the pipelined loads. */
const pipeline = [16, 64] as const;

async function deno(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-net", "--allow-env", "--allow-read", ...args],
    env: { OTEL_SDK_DISABLED: "true" },
    stdin: "null",
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

async function load(
  url: string,
  seconds: number,
  [sockets, inFlight]: readonly [number, number],
  rate = 0,
) {
  const ws = `${url.replace("http", "ws")}/sign/ws`;
  const args = [ws, seconds, sockets, inFlight, rate].map(String);
  const result = JSON.parse(await deno(beside("signer_load.ts"), ...args)) as LoadResult;
  const failed = Object.entries(result.errors);
  if (failed.length > 0) print(`  errors: ${failed.map(([type, n]) => `${n} ${type}`).join(", ")}`);
  return result;
}

async function startApi(flags: string[]) {
  const program = await startProgram(entry("rest_api"), ["--port", "0", ...flags]);
  const [, url] = await program.line(/Listening url=(http:\/\/[^/]+)/);
  return { program, url: url! };
}

async function startService(broker: string, folder: string) {
  const program = await startProgram(entry("service"), [
    ...["--port", "0", "--kafka-brokers", broker, "--data-dir", folder],
  ]);
  await program.line(/Listening/);
  return program;
}

/** The most memory that the process had, in MiB (Linux). */
async function peakMiB({ pid }: TestProgram): Promise<number> {
  return await statusBytes(pid, "VmHWM") / 1024 ** 2;
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

async function overKafka(folder: string): Promise<void> {
  await using kafka = await startKafka();
  const broker = kafka.bootstrapServer;
  await using service = await startService(broker, join(folder, "first"));
  const api = await startApi(["--kafka-brokers", broker]);
  await using apiProgram = api.program;

  const echo = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-net",
      "--allow-env",
      "--allow-read",
      beside("signer_bare_kafka.ts"),
      broker,
      "echo",
    ],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const ratios: { p50: number; p99: number }[] = [];
  try {
    const reader = echo.stdout.getReader();
    await reader.read();
    // In turns, on the same broker: what disturbs one disturbs the other.
    for (let round = 0; round < 5; round++) {
      const bare = JSON.parse(await deno(beside("signer_bare_kafka.ts"), broker, "ask", "800"));
      const ours = await load(api.url, 4, [1, 1]);
      print(
        `  round ${round + 1}: bare p50 ${bare.p50Ms.toFixed(2)} p99 ${
          bare.p99Ms.toFixed(2)
        } ms, signer p50 ${ours.p50Ms.toFixed(2)} p99 ${ours.p99Ms.toFixed(2)} ms`,
      );
      ratios.push({ p50: ours.p50Ms / bare.p50Ms, p99: ours.p99Ms / bare.p99Ms });
    }
    await reader.cancel();
  } finally {
    echo.kill("SIGKILL");
    await echo.status;
  }
  report({
    name: "signer: sequential p50, times a bare two-topic round trip",
    measured: median(ratios.map(({ p50 }) => p50)),
    target: { atMost: 1.5 },
  });
  report({
    name: "signer: sequential p99, times a bare two-topic round trip",
    measured: median(ratios.map(({ p99 }) => p99)),
    target: { atMost: 3 },
  });

  await load(api.url, 3, pipeline);
  const full = await load(api.url, 30, pipeline);
  report({
    name: "signer: signatures a second over Kafka, one service, Ed25519, 30 s",
    measured: full.perSecond,
    target: { atLeast: 10_000 },
  });
  const most = await load(api.url, 15, pipeline, full.perSecond * 0.8);
  report({
    name: "signer: p99 at 80 % of that load, ms",
    measured: most.p99Ms,
    target: { atMost: 250 },
  });
  {
    await using _second = await startService(broker, join(folder, "second"));
    await load(api.url, 3, pipeline);
    const both = await load(api.url, 10, pipeline);
    report({
      name: "signer: signatures a second with a second service, times those with one",
      measured: both.perSecond / full.perSecond,
    });
  }
  for (const [name, program] of [["API", apiProgram], ["service", service]] as const) {
    report({
      name: `signer: peak memory of the ${name} under that load, MiB`,
      measured: await peakMiB(program),
      target: { atMost: 200 },
    });
  }
}

async function inProcess(folder: string): Promise<void> {
  const api = await startApi(["--data-dir", join(folder, "alone")]);
  await using _api = api.program;
  await load(api.url, 3, pipeline);
  report({
    name: "signer: signatures a second in one process, Ed25519, 10 s",
    measured: (await load(api.url, 10, pipeline)).perSecond,
    target: { atLeast: 15_000 },
  });
}

const folder = await Deno.makeTempDir();
try {
  await overKafka(folder);
  await inProcess(folder);
} finally {
  await Deno.remove(folder, { recursive: true });
}
