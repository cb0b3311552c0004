/**
 * How fast the orb server takes signups: unique images, 32 connections, durable, its log going to
 * nowhere. Every figure is a ratio of two servers that live at the same time and are loaded in
 * turns (A, B, A, B …) by one generator; the middle of the ratios is reported.
 *
 * ```sh
 * deno run -A bench/orb_signup.ts
 * ```
 *
 * @module
 */
import { join } from "node:path";
import { SqliteRecords } from "../orb/stores/sqlite/sqlite_records.ts";
import type { LoadRun } from "./orb_load.ts";
import { type Child, startHelper, startLoad, startOrbServer } from "./orb_programs.ts";
import { cpuSeconds } from "./process_memory.ts";
import { median, report } from "./report.ts";

/** Connections of the generator, each with one signup at a time. */
export const connections = 32;
const rounds = 7;
const roundSeconds = 1.5;
/** The images' sizes. */
export const sizes = [["1 KiB", 1_024], ["284 kB", 284_000]] as const;
/** What telemetry at full sampling may cost of the signups a second, a size. */
const maxTelemetryCost = { "1 KiB": .35, "284 kB": .15 };
/** What of the bare server's signups a second there should be, a size. */
const minShareOfBare = { "1 KiB": .5, "284 kB": .75 };
const storedTokens = 1_000_000;

/** What a comparison came to. */
export interface Comparison {
  /** Signups a second. */
  a: number;
  b: number;
  /** B's share of A's speed. */
  ratio: number;
  /** All that each of them answered. */
  signups: [a: number, b: number];
}

/** Loads A and B in turns; B perhaps by another version of the API, or with other images. */
export async function compare(
  imageBytes: number,
  a: number,
  b: number,
  ofB: Pick<LoadRun, "api" | "image"> = {},
): Promise<Comparison> {
  const signups: [number, number] = [0, 0];
  await using generator = startLoad(imageBytes, connections);
  async function load(port: number): Promise<number> {
    const ports = [port];
    const result = await generator.run({
      ...{ ports, seconds: roundSeconds, ...(port === b && ofB) },
    });
    signups[port === a ? 0 : 1] += result.requests;
    return result.requests / result.seconds;
  }
  await load(a);
  await load(b);
  const speeds: [number, number][] = [];
  for (let round = 0; round < rounds; round++) speeds.push([await load(a), await load(b)]);
  return {
    a: median(speeds.map(([speed]) => speed)),
    b: median(speeds.map(([, speed]) => speed)),
    ratio: median(speeds.map(([a, b]) => b / a)),
    signups,
  };
}

/** What every durable signup waits for, whoever writes it: bytes on this disk, and their sync. */
async function measureDisk(folder: string): Promise<void> {
  using file = await Deno.open(join(folder, "sync"), { create: true, write: true });
  const page = new Uint8Array(4_096);
  const timesMs: number[] = [];
  for (let count = 0; count < 1_000; count++) {
    await file.seek(0, Deno.SeekMode.Start);
    file.writeSync(page);
    const startMs = performance.now();
    file.syncDataSync();
    timesMs.push(performance.now() - startMs);
  }
  const meanMs = timesMs.reduce((sum, ms) => sum + ms) / timesMs.length;
  report({ name: "orb: one sync of this disk, median, µs", measured: 1_000 * median(timesMs) });
  report({ name: "orb: one sync of this disk, mean, µs", measured: 1_000 * meanMs });
}

/** Loads two servers in turns and reports the processor time of each, which a busy machine changes least. */
export async function compareWithTime(
  size: typeof sizes[number],
  servers: [a: [name: string, Child & { port: number }], b: [string, Child & { port: number }]],
  ofB: Pick<LoadRun, "api" | "image"> = {},
): Promise<Comparison> {
  const [sizeName, bytes] = size;
  const children = servers.map(([name, { child }]) => ({ name, pid: child.pid }));
  const before = await Promise.all(children.map(({ pid }) => cpuSeconds(pid)));
  const comparison = await compare(bytes, servers[0][1].port, servers[1][1].port, ofB);
  for (const [index, { name, pid }] of children.entries()) {
    const usedSeconds = await cpuSeconds(pid) - before[index]!;
    report({
      name: `orb ${sizeName}: processor time of ${name}, all threads, µs a signup`,
      measured: 1e6 * usedSeconds / comparison.signups[index]!,
    });
  }
  return comparison;
}

async function measureAgainstBare(folder: string): Promise<void> {
  await using bare = await startHelper("orb_bare_server.ts", ["serve"]);
  await using orb = await startOrbServer(join(folder, "against-bare"));
  for (const size of sizes) {
    const [name] = size;
    const { a, b, ratio } = await compareWithTime(size, [["bare", bare], ["orb", orb]]);
    report({ name: `orb ${name}: bare Deno.serve, signups/s`, measured: a });
    report({ name: `orb ${name}: orb server, signups/s`, measured: b });
    report({
      name: `orb ${name}: share of bare`,
      measured: ratio,
      target: { atLeast: minShareOfBare[name] },
    });
  }
}

/**
 * Of what the bare server does not do, what each part costs: the HTTP that all servers here have, the
 * store below a bare server, and both. The orb cannot be faster than these.
 */
async function measureParts(folder: string): Promise<void> {
  await using bare = await startHelper("orb_bare_server.ts", ["serve"]);
  await using listening = await startHelper("orb_bare_server.ts", ["listen"]);
  await using keeping = await startHelper("orb_bare_server.ts", ["serve"], join(folder, "keeping"));
  await using both = await startHelper("orb_bare_server.ts", ["listen"], join(folder, "both"));
  await using orb = await startOrbServer(join(folder, "against-keeping"));
  for (const size of sizes) {
    const [name] = size;
    for (
      const [part, server] of [
        ["bare listen()", listening],
        ["bare Deno.serve that keeps hashes durably", keeping],
        ["bare listen() that does", both],
        ["orb", orb],
      ] as const
    ) {
      const { b, ratio } = await compareWithTime(size, [["bare", bare], [part, server]]);
      report({ name: `orb ${name}: ${part}, signups/s`, measured: b });
      report({ name: `orb ${name}: ${part}, share of bare`, measured: ratio });
    }
  }
}

async function measureWhenFull(folder: string): Promise<void> {
  const full = join(folder, "full");
  await Deno.mkdir(full);
  const database = new SqliteRecords({ path: join(full, "tokens.sqlite"), nowMs: () => 0 });
  const digests = new Uint8Array(1_000 * 32);
  while (database.count < storedTokens) database.apply(crypto.getRandomValues(digests), []);
  database.close();

  await using empty = await startOrbServer(join(folder, "empty"));
  await using orb = await startOrbServer(full);
  for (const [name, bytes] of sizes) {
    const { ratio } = await compare(bytes, empty.port, orb.port);
    report({
      name: `orb ${name}: with 1,000,000 tokens, share of its speed when empty`,
      measured: ratio,
      target: { atLeast: .9 },
    });
  }
}

async function measureTelemetry(folder: string): Promise<void> {
  await using sink = await startHelper("orb_sink.ts");
  await using off = await startOrbServer(join(folder, "telemetry-off"));
  await using on = await startOrbServer(join(folder, "telemetry-on"), {
    OTEL_SDK_DISABLED: "false",
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${sink.port}`,
  });
  for (const size of sizes) {
    const [name] = size;
    const { ratio } = await compareWithTime(size, [
      ["orb without telemetry", off],
      ["orb with telemetry", on],
    ]);
    report({
      name: `orb ${name}: cost of telemetry at full sampling`,
      measured: 1 - ratio,
      target: { atMost: maxTelemetryCost[name] },
    });
  }
}

if (import.meta.main) {
  // The system's folder for temporary files must lie on a disk: `tmpfs` has nothing to sync.
  const folder = await Deno.makeTempDir({ prefix: "orb-bench-" });
  try {
    await measureDisk(folder);
    await measureAgainstBare(folder);
    await measureParts(folder);
    await measureWhenFull(folder);
    await measureTelemetry(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
