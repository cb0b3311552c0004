/**
 * Servers and clients that are killed, stopped and started again, most of them as programs.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { eventually } from "../service/testing/eventually.ts";
import { testWith } from "../service/testing/permissions.ts";
import { startProgram, type TestProgram } from "../service/testing/program.ts";
import { generateCertificates } from "./certificates/generate.ts";
import {
  assertWhole,
  quick,
  startTestServer,
  summaryOf,
  type TestPing,
  testPing,
} from "./test_server.ts";
import { startUdpRelay } from "./test_udp_relay.ts";

const files: Deno.PermissionName[] = ["read", "write"];
const programs: Deno.PermissionName[] = ["read", "write", "run", "env"];

/** A server process and its UDP port. */
interface ServerProcess {
  program: TestProgram;
  port: number;
}

/** Starts a server: on a free port at first, and on the same one when it is started again. */
async function startServerProcess(
  folder: string,
  wanted: number,
  more: readonly string[] = [],
): Promise<ServerProcess> {
  const program = await startProgram(new URL("./server.ts", import.meta.url), [
    ...["--port", String(wanted), "--page-port", "0", "--https-port", "0"],
    ...["--certificate-path", join(folder, "cert.pem"), "--key-path", join(folder, "key.pem")],
    ...more,
  ]);
  const [, port] = await program.line(/Ping-pong over WebTransport at https:\/\/[^ ]*:(\d+)\//);
  return { program, port: Number(port) };
}

async function withCertificate(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "pingpong-" });
  await generateCertificates({
    certificatePath: join(folder, "cert.pem"),
    keyPath: join(folder, "key.pem"),
    pinPath: join(folder, "cert.sha256"),
  });
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const [mode, mailbox] of [["bidi", "SQLite"], ["uni", "memory"]] as const) {
  testWith(
    programs,
    `a server killed three times under 10,000 pings over ${mode} loses none and doubles none (${mailbox})`,
    () =>
      withCertificate(async (folder) => {
        const more = mailbox === "SQLite" ? ["--mailbox", join(folder, "mailbox.sqlite")] : [];
        const first = await startServerProcess(folder, 0, more);
        const { port } = first;
        let { program } = first;
        const seen: number[] = [];
        const kills = [2_000, 5_000, 8_000];
        const restarts: Promise<void>[] = [];
        const ping = await pingWatching(folder, port, mode, (seq) => {
          seen.push(seq);
          if (seen.length !== kills[0]) return;
          kills.shift();
          program.kill("SIGKILL");
          restarts.push((async () => {
            await program.status;
            ({ program } = await startServerProcess(folder, port, more));
          })());
        });
        await Promise.all(restarts);
        program.kill("SIGTERM");
        assert.equal((await program.status).code, 0);
        await program[Symbol.asyncDispose]();
        assertWhole(ping, 10_000);
        assert.equal(kills.length, 0);
        assert.equal(seen.length, 10_000, "each ping was reported once");
        assert.equal(new Set(seen).size, 10_000);
        assert.ok(summaryOf(ping).recovered >= 3);
      }),
  );
}

/** 10,000 pings, of each of which `onPong` hears when it is answered. */
function pingWatching(
  folder: string,
  port: number,
  mode: "bidi" | "uni",
  onPong: (seq: number) => void,
): Promise<TestPing> {
  return testPing(
    {
      ...{ port, mode, pin: join(folder, "cert.sha256"), pingCount: 10_000, concurrency: 4 },
      ...{ json: true, retryBaseDelayMs: 20, connectTimeoutMs: 1_000 },
    },
    undefined,
    (line) => {
      const event = JSON.parse(line);
      if (event.kind === "pong") onPong(event.seq);
    },
  );
}

testWith(
  programs,
  "answers that a killed client had missed reach its next run, once",
  async () => {
    await using server = await startTestServer();
    const relay = startUdpRelay(server.port);
    const client = await startProgram(new URL("./client.ts", import.meta.url), [
      ...["--port", String(relay.port), "--pin", join(server.folder, "cert.sha256")],
      ...["--ping-count", "0", "--interval", "0.05", "--name", "alice-in-test"],
    ]);
    await client.line(/seq=3 /);
    client.kill("SIGKILL");
    await client.status;
    await client[Symbol.asyncDispose]();
    await eventually(
      "the end of the killed client's session",
      () => server.logged.find((line) => /has ended.*by=lost/.test(line)),
    );
    const name = "alice-in-test";
    const next = await server.ping({ name, pingCount: 2 });
    assertWhole(next, 2);
    const missed = next.lines.filter((line) =>
      line.includes("an earlier run of this client had missed")
    );
    // The last answer was never acknowledged: whether it had arrived nobody can know.
    assert.equal(missed.length, 1, next.lines.join("\n"));
    const third = await server.ping({ name, pingCount: 2 });
    assert.ok(!third.lines.some((line) => line.includes("had missed")), third.lines.join("\n"));
    relay.close();
  },
);

testWith(
  files,
  "a second client of the same name takes over, and the first says so and ends",
  async () => {
    await using server = await startTestServer();
    const first = server.ping({ name: "one-name-for-two", pingCount: 0, intervalMs: 10 });
    await eventually(
      "the first session",
      () => server.logged.find((line) => line.includes("has begun")),
    );
    const second = await server.ping({ name: "one-name-for-two", pingCount: 3 });
    assertWhole(second, 3);
    const { exitCode, lines } = await first;
    assert.equal(exitCode, 2);
    assert.match(lines.join("\n"), /Another client of this name has taken over/);
  },
);

testWith(
  files,
  "a certificate swapped under way breaks no session, and the new one serves all transports",
  async () => {
    await using server = await startTestServer();
    const paths = {
      certificatePath: join(server.folder, "cert.pem"),
      keyPath: join(server.folder, "key.pem"),
      pinPath: join(server.folder, "new.sha256"),
    };
    const running = server.ping({ pingCount: 100, intervalMs: 5 });
    await eventually("a session", () => server.logged.find((line) => line.includes("has begun")));
    await Deno.writeTextFile(paths.certificatePath, "half a certifi");
    assert.equal(await server.server.reloadCertificate(), false);
    await generateCertificates(paths);
    assert.equal(await server.server.reloadCertificate(), true);
    assert.equal(await server.server.reloadCertificate(), false);
    assertWhole(await running, 100);
    for (const mode of ["bidi", "websocket"] as const) {
      assert.equal((await server.ping({ mode })).exitCode, 2, `${mode} with the old pin`);
      const pin = paths.pinPath;
      assert.equal((await server.ping({ mode, pin })).exitCode, 0, `${mode} with the new pin`);
    }
  },
);

testWith(
  programs,
  "SIGTERM ends the server in order, and the client goes on when it is back",
  () =>
    withCertificate(async (folder) => {
      const first = await startServerProcess(folder, 0);
      const { port } = first;
      const pin = join(folder, "cert.sha256");
      const connected = Promise.withResolvers<void>();
      const running = testPing(
        { port, pin, pingCount: 200, intervalMs: 10, connectTimeoutMs: 500, ...quick, json: true },
        undefined,
        (line) => {
          if (line.includes('"kind":"connected"')) connected.resolve();
        },
      );
      await connected.promise;
      first.program.kill("SIGTERM");
      assert.equal((await first.program.status).code, 0);
      await first.program[Symbol.asyncDispose]();
      const { program: second } = await startServerProcess(folder, port);
      assertWhole(await running, 200);
      await second[Symbol.asyncDispose]();
    }),
);

testWith(
  programs,
  "SIGINT makes the client tell its figures, and its exit code is theirs",
  async () => {
    await using server = await startTestServer();
    await using client = await startProgram(new URL("./client.ts", import.meta.url), [
      ...["--port", String(server.port), "--pin", join(server.folder, "cert.sha256")],
      ...["--ping-count", "0", "--interval", "0.01"],
    ]);
    await client.line(/seq=5 /);
    client.kill("SIGINT");
    await client.line(/--- bidi ping statistics ---/);
    const { code } = await client.status;
    const lost = client.lines.some((line) => /, 0 lost/.test(line)) ? 0 : 1;
    assert.equal(code, lost, client.lines.slice(-12).join("\n"));
  },
);

testWith(
  programs,
  "--generate-certificate makes what is missing and leaves what is there",
  async () => {
    const folder = await Deno.makeTempDir({ prefix: "pingpong-" });
    const hashes: string[] = [];
    for (let turn = 0; turn < 2; turn++) {
      const started = await startServerProcess(folder, 0, ["--generate-certificate"]);
      const { port } = started;
      await using program = started.program;
      const ping = await testPing({ port, pin: join(folder, "cert.sha256"), quiet: true });
      assert.equal(ping.exitCode, 0, ping.lines.join("\n"));
      hashes.push(await Deno.readTextFile(join(folder, "cert.sha256")));
      program.kill("SIGTERM");
      await program.status;
    }
    assert.equal(hashes[0], hashes[1]);
    await Deno.remove(folder, { recursive: true });
  },
);
