/**
 * Whether three orb servers on one PostgreSQL and one S3 (MinIO) take more than one: signups of 1 KiB
 * by 32 connections, durable, v1 and v2 (PNGs, which workers examine), one server and three in turns,
 * each on a database and a bucket of its own. Beside it what each part of it uses of the processors,
 * and for a signup: where that comes near to all there are, more servers cannot give more, and where a
 * signup costs more with three than with one, they give less. So then once more with servers of which
 * each may have a part of a processor only, as pods have a limit: what one of them can do is the
 * limit then.
 *
 * ```sh
 * deno run -A bench/orb_servers.ts           # as administrator, for the limits
 * deno run -A bench/orb_servers.ts limited   # with them only
 * ```
 *
 * @module
 */
import { cpus } from "node:os";
import { join } from "node:path";
import { type RunningMinio, startMinio } from "../stack/minio.ts";
import { type RunningPostgresql, startPostgresql } from "../stack/postgresql.ts";
import { limitCpus } from "./cpu_limit.ts";
import { type Child, type Load, startLoad, startOrbServer } from "./orb_programs.ts";
import { cpuSeconds, treeCpuSeconds } from "./process_memory.ts";
import { median, report } from "./report.ts";

const connections = 32;
const imageBytes = 1_024;
const rounds = 5;
const roundSeconds = 2;
/** Of a processor, for each server that is limited. */
const limitedCpus = .2;

type Server = Child & { port: number };

interface Parts {
  postgresql: RunningPostgresql;
  minio: RunningMinio;
  folder: string;
}

async function startServers(
  count: number,
  { postgresql, minio, folder }: Parts,
  undo: AsyncDisposableStack,
): Promise<Server[]> {
  const { default: pg } = await import("pg");
  const database = `orb_${count}`;
  const admin = new pg.Client(postgresql.databaseUrl);
  await admin.connect();
  await admin.query(`CREATE DATABASE ${database}`);
  await admin.end();
  const flags = [
    ...["--database-url", postgresql.databaseUrl.replace(/[^/]*$/, database)],
    ...["--s3-endpoint", minio.url, "--s3-bucket", `orb-${count}`],
    ...["--s3-access-key-id", minio.accessKeyId, "--max-pending-signups", "10000000"],
  ];
  const servers: Server[] = [];
  for (let index = 0; index < count; index++) {
    const env = { ORB_SERVER_S3_SECRET_ACCESS_KEY: minio.secretAccessKey };
    servers.push(
      undo.use(await startOrbServer(join(folder, `${count}-${index}`), env, flags)),
    );
  }
  return servers;
}

/** Waits until nothing is under way: what a round has left would be the next one's work. */
async function drained({ port }: Server): Promise<void> {
  for (;;) {
    const { byState } = await (await fetch(`http://127.0.0.1:${port}/v2/queue`)).json();
    if (byState.queued + byState.processing === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Signups taken in and decided: how many, and how many a second. */
async function takenIn(
  load: Load,
  servers: readonly Server[],
  api: "v1" | "v2",
): Promise<{ signups: number; perSecond: number }> {
  const ports = servers.map(({ port }) => port);
  const start = performance.now();
  const { requests } = await load.run({
    ...{ ports, seconds: roundSeconds, api, image: api === "v2" ? "examined" : "bytes" },
  });
  if (api === "v2") await drained(servers[0]!);
  return { signups: requests, perSecond: 1_000 * requests / (performance.now() - start) };
}

async function measure(
  load: Load,
  [one, three]: [Server[], Server[]],
  { postgresql, minio }: Parts,
  api: "v1" | "v2",
  limit = "",
): Promise<void> {
  const used = async (servers: readonly Server[]) => ({
    servers: (await Promise.all(servers.map(({ child }) => cpuSeconds(child.pid))))
      .reduce((sum, seconds) => sum + seconds),
    PostgreSQL: await treeCpuSeconds(postgresql.pid),
    MinIO: await treeCpuSeconds(minio.pid),
  });
  const speeds: [number, number][] = [];
  const shares = { servers: [0, 0], PostgreSQL: [0, 0], MinIO: [0, 0] };
  const seconds = [0, 0];
  const signups = [0, 0];
  for (let round = -1; round < rounds; round++) {
    const pair: number[] = [];
    for (const [index, servers] of [one, three].entries()) {
      const before = await used(servers);
      const start = performance.now();
      const taken = await takenIn(load, servers, api);
      pair.push(taken.perSecond);
      const after = await used(servers);
      if (round < 0) continue;
      seconds[index]! += (performance.now() - start) / 1_000;
      signups[index]! += taken.signups;
      for (const part of ["servers", "PostgreSQL", "MinIO"] as const) {
        shares[part][index]! += after[part] - before[part];
      }
    }
    if (round >= 0) speeds.push(pair as [number, number]);
  }
  const name = `orb on PostgreSQL and S3, 1 KiB, ${api}${limit}`;
  report({ name: `${name}: one server, signups/s`, measured: median(speeds.map(([a]) => a)) });
  report({ name: `${name}: three servers, signups/s`, measured: median(speeds.map(([, b]) => b)) });
  for (const [part, [a, b]] of Object.entries(shares) as [string, [number, number]][]) {
    report({ name: `${name}: processors used by ${part}, one server`, measured: a / seconds[0]! });
    report({ name: `${name}: processors used by ${part}, three`, measured: b / seconds[1]! });
    const aSignup = `${name}: processor time of ${part}, µs a signup`;
    report({ name: `${aSignup}, one server`, measured: 1e6 * a / signups[0]! });
    report({ name: `${aSignup}, three`, measured: 1e6 * b / signups[1]! });
  }
  report({
    name: `${name}: three servers, times one (${cpus().length} processors)`,
    measured: median(speeds.map(([a, b]) => b / a)),
    target: { atLeast: 1 },
  });
}

if (import.meta.main) {
  await using undo = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ prefix: "orb-servers-bench-" });
  undo.defer(() => Deno.remove(folder, { recursive: true }));
  const postgresql = undo.use(await startPostgresql());
  const minio = undo.use(await startMinio());
  const parts = { postgresql, minio, folder };
  const one = await startServers(1, parts, undo);
  const three = await startServers(3, parts, undo);
  const load = undo.use(startLoad(imageBytes, connections));
  if (Deno.args[0] !== "limited") {
    await measure(load, [one, three], parts, "v1");
    await measure(load, [one, three], parts, "v2");
  }
  undo.use(await limitCpus([...one, ...three].map(({ child }) => child.pid), limitedCpus));
  const limit = `, each server with ${limitedCpus} of a processor`;
  await measure(load, [one, three], parts, "v1", limit);
  await measure(load, [one, three], parts, "v2", limit);
}
