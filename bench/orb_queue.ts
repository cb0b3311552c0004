/**
 * How long a signup of v2 waits for its decision: from its 202 to decided, by the records' own times.
 * On SQLite and a folder, PNGs that a worker examines, of 525 kB and of 4.2 MB of pixels, each with a
 * server of its own. First an idle server that is asked twenty times a second; then as many as it takes,
 * to learn what it decides a second while it takes in others; then 80 % of that, evenly spaced. Beside
 * it PNGs that are decided with their arrival: those wait for nothing after their 202, so what counts is
 * when that comes.
 *
 * ```sh
 * deno run -A bench/orb_queue.ts
 * ```
 *
 * @module
 */
import { join } from "node:path";
import { startLoad, startOrbServer } from "./orb_programs.ts";
import { report } from "./report.ts";

const imageBytes = 1_024;
const connections = 32;
const flags = ["--max-pending-signups", "10000000"];
const idlePerSecond = 20;
const idleSeconds = 6;
const fullSeconds = 5;
const loadedSeconds = 10;

interface Signup {
  createdAt: string;
  decidedAt?: string;
}

/** The newest signups. */
async function newest(port: number, count: number): Promise<Signup[]> {
  const all: Signup[] = [];
  for (let before = ""; all.length < count;) {
    const limit = Math.min(500, count - all.length);
    const response = await fetch(
      `http://127.0.0.1:${port}/v2/signups?limit=${limit}${before}`,
    );
    const { signups, next } = await response.json();
    all.push(...signups);
    if (next === undefined) break;
    before = `&before=${next}`;
  }
  return all;
}

/** Waits until nothing is under way. */
async function drained(port: number): Promise<void> {
  for (;;) {
    const { byState } = await (await fetch(`http://127.0.0.1:${port}/v2/queue`)).json();
    if (byState.queued + byState.processing === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Milliseconds from each one's 202 to its decision, ascending. */
async function waitsMs(port: number, count: number): Promise<number[]> {
  await drained(port);
  return (await newest(port, count))
    .map(({ createdAt, decidedAt }) => Date.parse(decidedAt!) - Date.parse(createdAt))
    .sort((a, b) => a - b);
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}

/** Images that a worker examines. */
async function measureExamined(folder: string, image: "examined" | "large"): Promise<void> {
  const name = `orb, PNGs of ${image === "examined" ? "525 kB" : "4.2 MB"} of pixels`;
  await using server = await startOrbServer(join(folder, image), {}, flags);
  const { port } = server;
  await using load = startLoad(imageBytes, connections);
  const run = (seconds: number, perSecond?: number) =>
    load.run({
      ...{ ports: [port], seconds, api: "v2", image },
      ...(perSecond !== undefined && { perSecond }),
    });
  await run(2);
  await drained(port);

  const idle = await waitsMs(port, (await run(idleSeconds, idlePerSecond)).requests);
  report({
    name: `${name}: 202 to decided, idle: p50, ms`,
    measured: quantile(idle, .5),
    target: { atMost: 20 },
  });
  report({ name: `${name}: 202 to decided, idle: p99, ms`, measured: quantile(idle, .99) });

  const start = performance.now();
  const full = await run(fullSeconds);
  await drained(port);
  const perSecond = 1_000 * full.requests / (performance.now() - start);
  report({
    name: `${name}: taken in and decided, as many as it can, a second`,
    measured: perSecond,
  });

  const result = await run(loadedSeconds, .8 * perSecond);
  const loaded = await waitsMs(port, result.requests);
  report({
    name: `${name}: taken in at 80 % of that, a second`,
    measured: result.requests / result.seconds,
  });
  report({ name: `${name}: 202 to decided, at 80 %: p50, ms`, measured: quantile(loaded, .5) });
  report({
    name: `${name}: 202 to decided, at 80 %: p99, ms`,
    measured: quantile(loaded, .99),
    target: { atMost: 250 },
  });
}

/** Images that are decided with their arrival: how long their answer takes at 80 %. */
async function measureArrival(folder: string): Promise<void> {
  const name = "orb, PNGs of 1 KiB, decided with their arrival";
  await using server = await startOrbServer(join(folder, "arrival"), {}, flags);
  await using load = startLoad(imageBytes, connections);
  const run = { ports: [server.port], seconds: fullSeconds, api: "v2", image: "png" } as const;
  await load.run({ ...run, seconds: 2 });
  const full = await load.run(run);
  const perSecond = full.requests / full.seconds;
  report({ name: `${name}, as many as it can, a second`, measured: perSecond });
  const { p50Ms, p99Ms } = await load.run({ ...run, perSecond: .8 * perSecond });
  report({ name: `${name}: request to its 202, at 80 %: p50, ms`, measured: p50Ms });
  report({
    name: `${name}: request to its 202, at 80 %: p99, ms`,
    measured: p99Ms,
    target: { atMost: 250 },
  });
}

if (import.meta.main) {
  const folder = await Deno.makeTempDir({ prefix: "orb-queue-bench-" });
  try {
    await measureArrival(folder);
    for (const image of ["examined", "large"] as const) await measureExamined(folder, image);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
