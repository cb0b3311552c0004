/**
 * The orb's v1 beside the original, which is Rust with Rocket and keeps hashes in memory only: signups a
 * second, and how long they take. Unique images, 32 connections, in turns. Ours are durable: on a disk
 * that others use, too, what is measured is that disk, so the folder may be given (`TMPDIR`).
 *
 * The original is built by `cargo build --release` from
 * [felixgborrego/rust-virtual-orb-poc](https://github.com/felixgborrego/rust-virtual-orb-poc). With Rust 1.95 that takes
 * newer `time` (0.3.36) and `openssl` (0.10.82) by `cargo update`, its own crate's name in
 * `src/main.rs`, and `with_utc_timestamps()` for its log. Without its path nothing is measured.
 *
 * ```sh
 * ORB_ORIGINAL=./target/release/rust-virtual-orb-poc deno run -A bench/orb_original.ts
 * ```
 *
 * @module
 */
import { join } from "node:path";
import { type Child, freePort, startLoad, startOrbServer, startProgram } from "./orb_programs.ts";
import { cpuSeconds } from "./process_memory.ts";
import { connections, sizes } from "./orb_signup.ts";
import { median, report } from "./report.ts";

const rounds = 5;
const roundSeconds = 2;

/** Starts it, and waits until it takes connections. */
async function startOriginal(path: string): Promise<Child & { port: number }> {
  const port = freePort();
  const program = startProgram(path, ["server", "--orb-api-port", String(port)]);
  for (;;) {
    if (program.ended) throw new Error(`${path} ended with ${program.ended.code}`);
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return Object.assign(program, { port });
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

async function measure(
  [sizeName, bytes]: typeof sizes[number],
  servers: readonly (readonly [name: string, Child & { port: number }])[],
): Promise<void> {
  await using load = startLoad(bytes, connections);
  const results = servers.map(([name, server]) => ({
    ...{ name, server, speeds: [] as number[], p50sMs: [] as number[], p99sMs: [] as number[] },
    ...{ requests: 0, usedSeconds: 0 },
  }));
  for (const { port } of servers.map(([, server]) => server)) {
    await load.run({ ports: [port], seconds: 1 });
  }
  for (let round = 0; round < rounds; round++) {
    for (const result of results) {
      const { server: { port, child: { pid } } } = result;
      const before = await cpuSeconds(pid);
      const { requests, seconds, p50Ms, p99Ms } = await load.run({
        ...{ ports: [port], seconds: roundSeconds },
      });
      result.usedSeconds += await cpuSeconds(pid) - before;
      result.requests += requests;
      result.speeds.push(requests / seconds);
      result.p50sMs.push(p50Ms);
      result.p99sMs.push(p99Ms);
    }
  }
  for (const { name, speeds, p50sMs, p99sMs, requests, usedSeconds } of results) {
    const figures = {
      "signups/s": median(speeds),
      "processor time, all threads, µs a signup": 1e6 * usedSeconds / requests,
      "p50, ms": median(p50sMs),
      "p99, ms": median(p99sMs),
    };
    for (const [figure, measured] of Object.entries(figures)) {
      report({ name: `${name} ${sizeName}: ${figure}`, measured });
    }
  }
  const [original, orb] = results as [typeof results[0], typeof results[0]];
  const ratio = (key: "speeds" | "p99sMs") =>
    median(orb[key].map((value, round) => value / original[key][round]!));
  report({ name: `orb ${sizeName}: signups/s, times the original's`, measured: ratio("speeds") });
  report({
    name: `orb ${sizeName}: p99, times the original's`,
    measured: ratio("p99sMs"),
    target: { atMost: 1 },
  });
}

if (import.meta.main) {
  const path = Deno.env.get("ORB_ORIGINAL");
  if (path === undefined) {
    const line = "orb beside the original: not measured, as ORB_ORIGINAL names no binary\n";
    await Deno.stdout.write(new TextEncoder().encode(line));
  } else {
    const folder = await Deno.makeTempDir({ prefix: "orb-original-bench-" });
    try {
      await using original = await startOriginal(path);
      await using orb = await startOrbServer(join(folder, "orb"));
      for (const size of sizes) await measure(size, [["the original", original], ["orb", orb]]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
}
