import assert from "node:assert/strict";
import { join } from "node:path";
import { choosePorts } from "../../service/ports.ts";
import { testContext } from "../../service/testing/context.ts";
import { eventually } from "../../service/testing/eventually.ts";
import { testWith } from "../../service/testing/permissions.ts";
import { startProgram, type TestProgram } from "../../service/testing/program.ts";
import { openSpool } from "./spool.ts";
import { withTempFolder } from "../../service/testing/temp_folder.ts";

const clientEntry = new URL("../client.ts", import.meta.url);
const serverEntry = new URL("../server.ts", import.meta.url);

function faultTest(name: string, run: (folder: string) => Promise<void>): void {
  testWith(["net", "read", "write", "run", "env"], name, () => withTempFolder(run));
}

async function startServer(folder: string, port: number): Promise<TestProgram> {
  const server = await startProgram(serverEntry, [
    ...["--orb-api-port", String(port), "--data-dir", join(folder, "server")],
    ...["--device-rate", "1000", "--device-burst", "1000"],
  ]);
  await server.line(/The orb server is ready/);
  return server;
}

/** Images that no other life has, small so that there can be many. */
async function imagesOf(folder: string, life: number, count = 600): Promise<string> {
  const path = join(folder, `images-${life}`);
  await Deno.mkdir(path);
  for (let number = 0; number < count; number++) {
    await Deno.writeTextFile(
      join(path, `${number}.bin`),
      `life ${life}, image ${number}`.padEnd(500),
    );
  }
  return path;
}

function clientFlags(folder: string, url: string, images: string, intervalS: string): string[] {
  return [
    ...["--telemetry-url", url, "--telemetry-interval", "0", "--orb-server", url],
    ...["--orb-signup-interval", intervalS, "--images", images, "--orbs", "3"],
    ...["--api", "v2", "--spool-dir", join(folder, "spool")],
  ];
}

/** What a client that is gone has left. */
async function spooledIds(folder: string): Promise<string[]> {
  const spool = await openSpool({
    folder: join(folder, "spool"),
    maxBytes: 1e9,
    meter: testContext().telemetry.meter,
  });
  const ids: string[] = [];
  for (const orb of spool.orbs) {
    for (let next = spool.oldest(orb); next; next = spool.oldest(orb)) {
      ids.push(next.id);
      // In this copy of the queue only: the file is put back below.
      await spool.remove(next);
    }
  }
  spool.close();
  return ids;
}

/** Reads a copy, so that the spool itself stays as it was left. */
async function idsLeft(folder: string): Promise<string[]> {
  const copy = await Deno.makeTempDir();
  try {
    await Deno.mkdir(join(copy, "spool"));
    for await (const { name } of Deno.readDir(join(folder, "spool"))) {
      await Deno.copyFile(join(folder, "spool", name), join(copy, "spool", name));
    }
    return await spooledIds(copy);
  } finally {
    await Deno.remove(copy, { recursive: true });
  }
}

interface Listed {
  id: string;
  state: string;
  orbId: string;
  createdAt: string;
}

/** Every signup that the server knows, newest first. */
async function listed(url: string): Promise<Listed[]> {
  const all: Listed[] = [];
  for (let before = "";;) {
    const response = await fetch(`${url}/v2/signups?limit=500${before && `&before=${before}`}`);
    const { signups, next } = await response.json() as { signups: Listed[]; next?: string };
    all.push(...signups);
    if (next === undefined) return all;
    before = next;
  }
}

const successes = ({ lines }: TestProgram) =>
  lines.filter((line) => line.includes("Signup request successful")).length;

/** Each once, none as a repetition, each orb's in the order they were taken. */
function assertExactlyOnce(all: readonly Listed[], expected: ReadonlySet<string>): void {
  assert.deepEqual([...new Set(all.map(({ state }) => state))], ["accepted"]);
  const ids = all.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  for (const id of expected) assert.ok(ids.includes(id), `${id} was lost`);
  for (const orb of ["orb-1", "orb-2", "orb-3"]) {
    const own = all.filter(({ orbId }) => orbId === orb)
      .sort((a, b) => a.createdAt < b.createdAt ? -1 : a.createdAt > b.createdAt ? 1 : 0);
    assert.ok(own.length > 0);
    for (let at = 1; at < own.length; at++) {
      const [before, after] = [own[at - 1]!, own[at]!];
      assert.ok(before.createdAt === after.createdAt || before.id < after.id, "out of order");
    }
  }
}

faultTest(
  "signups of a client killed again and again, and of its server, are accepted once each",
  async (folder) => {
    const [port] = choosePorts(0);
    const url = `http://127.0.0.1:${port}`;
    let server = await startServer(folder, port);
    const expected = new Set<string>();
    try {
      // A fast client has few in its spool when it is killed: as often as it takes to catch some.
      for (let life = 1; life <= 4 || expected.size <= 10 && life <= 20; life++) {
        await using client = await startProgram(
          clientEntry,
          clientFlags(folder, url, await imagesOf(folder, life), "0.03"),
        );
        await eventually("signups", () => successes(client) >= 15 || undefined);
        if (life % 2 === 0) {
          // With the server away, what is taken stays in the spool.
          server.kill("SIGKILL");
          await server.status;
          await client.line(/Signup not decided yet, the same image is sent again/);
        }
        client.kill("SIGKILL");
        assert.equal((await client.status).signal, "SIGKILL");
        const left = await idsLeft(folder);
        for (const id of left) expected.add(id);
        if (life % 2 === 0) {
          assert.ok(left.length > 0);
          await server[Symbol.asyncDispose]();
          server = await startServer(folder, port);
        }
      }
      assert.ok(expected.size > 10, `${expected.size} were caught in the spool`);

      // The last life takes none and sends what is left.
      await using last = await startProgram(clientEntry, clientFlags(folder, url, "same", "0"));
      await last.line(/Signups of an earlier life wait in the spool/);
      await eventually("the last decision", async () => {
        const accepted = new Set(
          (await listed(url)).filter(({ state }) => state === "accepted")
            .map(({ id }) => id),
        );
        return [...expected].every((id) => accepted.has(id)) || undefined;
      });
      last.kill("SIGTERM");
      assert.equal((await last.status).code, 0);
      assert.deepEqual(await idsLeft(folder), []);
      assertExactlyOnce(await listed(url), expected);
    } finally {
      await server[Symbol.asyncDispose]();
    }
  },
);

faultTest(
  "a server that stops and comes back under a client gets everything, in order",
  async (folder) => {
    const [port] = choosePorts(0);
    const url = `http://127.0.0.1:${port}`;
    let server = await startServer(folder, port);
    try {
      await using client = await startProgram(
        clientEntry,
        clientFlags(folder, url, await imagesOf(folder, 1), "0.05"),
      );
      await eventually("signups", () => successes(client) >= 10 || undefined);
      server.kill("SIGTERM");
      assert.equal((await server.status).code, 0);
      await server[Symbol.asyncDispose]();
      await client.line(/Signup not decided yet, the same image is sent again: .*refused/);
      server = await startServer(folder, port);
      const before = successes(client);
      await eventually("signups again", () => successes(client) >= before + 20 || undefined);
      client.kill("SIGTERM");
      assert.equal((await client.status).code, 0);
      const all = await listed(url);
      assertExactlyOnce(all, new Set());
    } finally {
      await server[Symbol.asyncDispose]();
    }
  },
);

faultTest("Retry-After is obeyed, with the same signup", async () => {
  const asked: { atMs: number; body: string }[] = [];
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      asked.push({ atMs: performance.now(), body: await request.text() });
      return asked.length === 1
        ? new Response(null, { status: 503, headers: { "retry-after": "2" } })
        : new Response("371dd8e3f2423f4a");
    },
  );
  const url = `http://127.0.0.1:${server.addr.port}`;
  await using client = await startProgram(clientEntry, [
    ...["--telemetry-url", url, "--telemetry-interval", "0", "--orb-server", url],
    ...["--orb-signup-interval", "600", "--images", "fresh"],
  ]);
  await client.line(/Signup request successful/);
  assert.equal(asked.length, 2);
  assert.equal(asked[0]!.body, asked[1]!.body);
  assert.ok(asked[1]!.atMs - asked[0]!.atMs >= 2_000);
});
