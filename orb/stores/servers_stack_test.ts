/**
 * Several servers on PostgreSQL and S3, the real ones, and what becomes of signups when parts of it
 * go away.
 */
import assert from "node:assert/strict";
import { startKafka } from "../../stack/kafka.ts";
import { type RunningMinio, startMinio } from "../../stack/minio.ts";
import { type RunningPostgresql, startPostgresql } from "../../stack/postgresql.ts";
import { startPostgresqlStandby } from "../../stack/postgresql_standby.ts";
import { testWithStack } from "../../stack/test_with_stack.ts";
import { eventually } from "../../service/testing/eventually.ts";
import { startProgram, type TestProgram } from "../../service/testing/program.ts";
import { SignupLoad } from "../signups/test_signup_load.ts";
import type { QueryResult } from "./postgres/pg.d.ts";
import { openImageBucket } from "./image_bucket.ts";

const entry = new URL("../server.ts", import.meta.url);

interface Server {
  program: TestProgram;
  url: string;
}

function argumentsFor(databaseUrl: string, minio: RunningMinio): string[] {
  return [
    ...["--orb-api-port", "0", "--database-url", databaseUrl],
    ...["--s3-endpoint", minio.url, "--s3-access-key-id", minio.accessKeyId],
  ];
}

async function startServers(
  count: number,
  { databaseUrl }: Pick<RunningPostgresql, "databaseUrl">,
  minio: RunningMinio,
  undo: AsyncDisposableStack,
  more: readonly string[] = [],
): Promise<Server[]> {
  return await Promise.all(Array.from({ length: count }, async () => {
    const dataDir = await Deno.makeTempDir();
    undo.defer(() => Deno.remove(dataDir, { recursive: true }));
    const args = [...argumentsFor(databaseUrl, minio), "--data-dir", dataDir, ...more];
    const program = await startProgram(entry, args, {
      ORB_SERVER_S3_SECRET_ACCESS_KEY: minio.secretAccessKey,
    });
    undo.use(program);
    const [, url] = await program.line(/The orb server is ready url=(\S+)/, 60_000);
    return { program, url: url! };
  }));
}

async function imagesInBucket(minio: RunningMinio): Promise<string[]> {
  const images = await openImageBucket({ ...minio, endpoint: minio.url, bucket: "orb" });
  return (await Array.fromAsync(images.list(), ({ sha256 }) => sha256)).sort();
}

testWithStack(
  "three servers share the work; one that is killed leaves nothing undone",
  async () => {
    await using postgresql = await startPostgresql();
    await using minio = await startMinio();
    await using undo = new AsyncDisposableStack();
    const servers = await startServers(3, postgresql, minio, undo);
    const urls = servers.map(({ url }) => url);
    const load = new SignupLoad(() => urls);
    const done = new AbortController();
    const running = load.run(6, done.signal);
    await eventually("signups", () => load.acknowledged.size >= 100 || undefined);

    const [killed] = servers;
    killed!.program.kill("SIGKILL");
    urls.shift();
    await eventually("signups at the others", () => load.acknowledged.size >= 250 || undefined);
    done.abort();
    await running;

    // What the killed one had is given to the others once its leases are over.
    const all = await load.verify(urls[0]!);
    const images = await imagesInBucket(minio);
    for (const { image } of all) assert.ok(images.includes(image.sha256), "a record without image");
    const decidedBy = servers.map(({ program }) =>
      program.lines.filter((line) => line.includes("Signup decided")).length
    );
    assert.ok(decidedBy.every((count) => count > 0), `decided: ${decidedBy}`);

    // A duplicate is known by every server, by v1 as well.
    const known = await Promise.all(urls.map(async (url) => {
      const response = await fetch(`${url}/api/signup`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ id: "1", image_base64: btoa("image 0 ".padEnd(3_000, "x")) }),
      });
      await response.body?.cancel();
      return response.status;
    }));
    assert.deepEqual(known, urls.map(() => 409));
  },
);

testWithStack("a server waits for a database and images that go away, and goes on", async () => {
  const folders = [await Deno.makeTempDir(), await Deno.makeTempDir()];
  for (const folder of folders) await Deno.chmod(folder, 0o755);
  const [databaseFolder, imageFolder] = folders;
  try {
    await using undo = new AsyncDisposableStack();
    let postgresql = await startPostgresql({ runFolder: databaseFolder! });
    undo.defer(() => postgresql.stop());
    let minio = await startMinio({ runFolder: imageFolder! });
    undo.defer(() => minio.stop());
    const [server] = await startServers(1, postgresql, minio, undo);
    const { url, program } = server!;
    const load = new SignupLoad(() => [url]);
    const done = new AbortController();
    const running = load.run(4, done.signal);
    const more = (what: string) => {
      const before = load.acknowledged.size;
      return eventually(`signups ${what}`, () => load.acknowledged.size > before + 30 || undefined);
    };
    await more("at the beginning");

    await postgresql.stop();
    await program.line(/Tokens cannot be written/, 60_000);
    await eventually("unreadiness", async () => await isReady(url) ? undefined : true);
    const port = Number(new URL(postgresql.publicUrl).port);
    postgresql = await startPostgresql({ runFolder: databaseFolder!, port });
    await program.line(/Tokens can be written again/, 60_000);
    await more("after the database was away");

    await minio.stop();
    await program.line(/Images cannot be written/, 60_000);
    assert.equal(await isReady(url), false);
    minio = await startMinio({
      runFolder: imageFolder!,
      port: Number(new URL(minio.url).port),
      secretAccessKey: minio.secretAccessKey,
    });
    await program.line(/Images can be written again/, 60_000);
    await more("after the images were away");
    done.abort();
    await running;
    const all = await load.verify(url);
    assert.deepEqual(all.filter(({ state }) => state === "dead_letter"), []);
    const images = await imagesInBucket(minio);
    for (const { image } of all) assert.ok(images.includes(image.sha256), "a record without image");
    assert.equal(await isReady(url), true);
  } finally {
    for (const folder of folders) await Deno.remove(folder, { recursive: true });
  }
});

testWithStack(
  "Kafka deals signups to three servers; neither one that is killed nor Kafka's own end loses any",
  async () => {
    await using undo = new AsyncDisposableStack();
    await using postgresql = await startPostgresql();
    await using minio = await startMinio();
    const kafka = await startKafka();
    undo.defer(() => kafka.stop());
    const flags = ["--kafka-brokers", kafka.bootstrapServer];
    const servers = await startServers(3, postgresql, minio, undo, flags);
    const urls = servers.map(({ url }) => url);
    const load = new SignupLoad(() => urls);
    const done = new AbortController();
    const running = load.run(6, done.signal);
    const isAtWork = ({ program }: Server) =>
      program.lines.some((line) => line.includes("Signup decided"));
    await eventually("work at each", () => servers.every(isAtWork) || undefined);
    await eventually("signups", () => load.acknowledged.size >= 100 || undefined);
    servers[0]!.program.kill("SIGKILL");
    urls.shift();
    const more = async (what: string) => {
      const before = load.acknowledged.size;
      await eventually(what, () => load.acknowledged.size >= before + 50 || undefined);
    };
    await more("signups at the others");
    await kafka.stop();
    await more("signups without Kafka");
    done.abort();
    await running;
    const all = await load.verify(urls[0]!);
    assert.deepEqual(all.filter(({ state }) => state === "dead_letter"), []);
  },
);

testWithStack(
  "a standby that is promoted takes over, and no acknowledged signup is lost",
  async () => {
    await using undo = new AsyncDisposableStack();
    const folder = await Deno.makeTempDir();
    undo.defer(() => Deno.remove(folder, { recursive: true }));
    await Deno.chmod(folder, 0o755);
    const primary = await startPostgresql();
    undo.defer(() => primary.stop());
    const standby = await startPostgresqlStandby(primary, { runFolder: folder });
    undo.defer(() => standby.stop());
    await waitForStandby(primary);
    await using minio = await startMinio();
    const hosts = [primary, standby].map(({ publicUrl }) => new URL(publicUrl).host).join(",");
    const databaseUrl = primary.databaseUrl.replace(/@[^/]*/, `@${hosts}`);
    const servers = await startServers(2, { databaseUrl }, minio, undo);
    const load = new SignupLoad(() => servers.map(({ url }) => url));
    const done = new AbortController();
    const running = load.run(6, done.signal);
    await eventually("signups", () => load.acknowledged.size >= 100 || undefined);

    Deno.kill(primary.pid, "SIGKILL");
    await Promise.all(
      servers.map(({ program }) => program.line(/Tokens cannot be written/, 60_000)),
    );
    const before = load.acknowledged.size;
    await standby.promote();
    await Promise.all(
      servers.map(({ program }) => program.line(/Tokens can be written again/, 60_000)),
    );
    await eventually("more signups", () => load.acknowledged.size >= before + 100 || undefined);
    done.abort();
    await running;

    const all = await load.verify(servers[1]!.url);
    assert.deepEqual(all.filter(({ state }) => state === "dead_letter"), []);
    const images = await imagesInBucket(minio);
    for (const { image } of all) assert.ok(images.includes(image.sha256), "a record without image");
    assert.deepEqual(await Promise.all(servers.map(({ url }) => isReady(url))), [true, true]);
  },
);

/** From here on what is committed is on the standby's disk as well: otherwise some of it may be lost. */
async function waitForStandby({ databaseUrl }: RunningPostgresql): Promise<void> {
  // @ts-types="./postgres/pg.d.ts"
  const { default: pg } = await import("pg");
  const admin = new pg.Client(databaseUrl);
  await admin.connect();
  await admin.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
  await admin.query("SELECT pg_reload_conf()");
  await eventually("the synchronous standby", async () => {
    const { rows }: QueryResult<{ sync_state: string }> = await admin.query(
      "SELECT sync_state FROM pg_stat_replication",
    );
    return rows.some(({ sync_state }) => sync_state === "sync") || undefined;
  });
  await admin.end();
}

async function isReady(url: string): Promise<boolean> {
  const response = await fetch(`${url}/readyz`);
  await response.body?.cancel();
  return response.ok;
}
