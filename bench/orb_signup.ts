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
import { fileURLToPath } from "node:url";
import { SqliteRecords } from "../orb/stores/sqlite/sqlite_records.ts";
import { programArguments } from "../service/program_file.ts";
import type { LoadResult } from "./orb_load.ts";
import { median, report } from "./report.ts";

const connections = 32;
const rounds = 7;
const roundSeconds = 1.5;
/** The images' sizes. */
export const sizes = [["1 KiB", 1_024], ["284 kB", 284_000]] as const;
/** What telemetry at full sampling may cost of the signups a second, a size. */
const maxTelemetryCost = { "1 KiB": .35, "284 kB": .15 };
/** What of the bare server's signups a second there should be, a size. */
const minShareOfBare = { "1 KiB": .5, "284 kB": .75 };
const storedTokens = 1_000_000;

/** A child process that is killed at the end of the block. */
export interface Child extends AsyncDisposable {
  child: Deno.ChildProcess;
  /** Its stdout, line by line. */
  lines: AsyncIterator<string>;
}

function start(args: string[], env: Record<string, string> = {}): Child {
  const child = new Deno.Command(Deno.execPath(), {
    args,
    env: { OTEL_SDK_DISABLED: "true", ...env },
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  return {
    child,
    lines: linesOf(child.stdout),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.status;
    },
  };
}

async function* linesOf(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<string, never> {
  const decoder = new TextDecoderStream();
  let rest = "";
  for await (const chunk of stream.pipeThrough(decoder)) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
  throw new Error("the process ended");
}

const beside = (file: string) => fileURLToPath(new URL(file, import.meta.url));

/** Starts a helper that prints its port. */
async function startHelper(file: string): Promise<Child & { port: number }> {
  const child = start(["run", "--allow-net", beside(file)]);
  return Object.assign(child, { port: Number((await child.lines.next()).value) });
}

/** Starts an orb server whose log goes to nowhere, with the permissions of its shebang. */
export async function startOrbServer(
  dataDir: string,
  env: Record<string, string> = {},
  more: readonly string[] = [],
): Promise<Child & { port: number }> {
  const port = freePort();
  const entry = beside("../orb/server.ts");
  const args = ["--orb-api-port", String(port), "--data-dir", dataDir, ...more];
  const child = new Deno.Command(Deno.execPath(), {
    args: await programArguments(entry, args),
    env: { OTEL_SDK_DISABLED: "true", ...env },
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  for (;;) {
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/readyz`);
      await answer.body?.cancel();
      if (answer.ok) break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  return {
    child,
    port,
    lines: { next: () => Promise.reject(new Error("its log goes to nowhere")) },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.status;
    },
  };
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

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

/** Loads A and B in turns; with `apiOfB` B by another version of the API. */
export async function compare(
  imageBytes: number,
  a: number,
  b: number,
  apiOfB: "v1" | "v2" = "v1",
): Promise<Comparison> {
  const signups: [number, number] = [0, 0];
  await using generator = start([
    ...["run", "--allow-net=127.0.0.1", beside("orb_load.ts")],
    ...[String(imageBytes), String(connections)],
  ]);
  const stdin = generator.child.stdin.getWriter();
  async function load(port: number): Promise<number> {
    await stdin.write(
      new TextEncoder().encode(
        `${JSON.stringify({ port, seconds: roundSeconds, api: port === a ? "v1" : apiOfB })}\n`,
      ),
    );
    const result = JSON.parse((await generator.lines.next()).value) as LoadResult;
    if (result.accepted !== result.requests) {
      throw new Error(`${result.requests - result.accepted} signups were not accepted`);
    }
    signups[port === a ? 0 : 1] += result.requests;
    return result.requests / result.seconds;
  }
  await load(a);
  await load(b);
  const speeds: [number, number][] = [];
  for (let round = 0; round < rounds; round++) speeds.push([await load(a), await load(b)]);
  await stdin.close();
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

/** Processor time that a process has used so far, in microseconds; Linux only. */
function processorTimeUs(pid: number): number | undefined {
  if (Deno.build.os !== "linux") return undefined;
  // By `cat`, as Deno itself reads /proc only with every permission there is.
  const { stdout } = new Deno.Command("cat", { args: [`/proc/${pid}/stat`] }).outputSync();
  const fields = new TextDecoder().decode(stdout).split(") ")[1]!.split(" ");
  // utime and stime, in ticks of 10 ms (proc_pid_stat(5), fields 14 and 15).
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

/** Loads two servers in turns and reports the processor time of each, which a busy machine changes least. */
async function compareWithTime(
  size: typeof sizes[number],
  servers: [a: [name: string, Child & { port: number }], b: [string, Child & { port: number }]],
): Promise<Comparison> {
  const [sizeName, bytes] = size;
  const children = servers.map(([name, { child }]) => ({ name, pid: child.pid }));
  const before = children.map(({ pid }) => processorTimeUs(pid));
  const comparison = await compare(bytes, servers[0][1].port, servers[1][1].port);
  for (const [index, { name, pid }] of children.entries()) {
    const after = processorTimeUs(pid);
    if (after === undefined) continue;
    report({
      name: `orb ${sizeName}: processor time of ${name}, all threads, µs a signup`,
      measured: (after - before[index]!) / comparison.signups[index]!,
    });
  }
  return comparison;
}

async function measureAgainstBare(folder: string): Promise<void> {
  await using bare = await startHelper("orb_bare_server.ts");
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
    await measureWhenFull(folder);
    await measureTelemetry(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
