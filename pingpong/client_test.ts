import { ROOT_CONTEXT } from "@opentelemetry/api";
import assert from "node:assert/strict";
import { join } from "node:path";
import { testWith } from "../service/testing/permissions.ts";
import { linkOpener } from "./client/failover.ts";
import type { Link, Target } from "./client/link.ts";
import { startTestServer, type TestPing, testPing, type TestServer } from "./test_server.ts";
import type { PingpongClientOptions } from "./client.ts";
import { WebTransportError } from "./http3/mod.ts";

const files: Deno.PermissionName[] = ["read", "write"];
/** Whose datagrams are not lost because the machine is busy. */
const patient = { timeoutMs: 60_000 };
/** Waits that are as short as they may be. */
const impatient = { retryBaseDelayMs: 10, connectTimeoutMs: 200 };

for (const mode of ["bidi", "uni", "datagram", "websocket"] as const) {
  testWith(
    files,
    `the client pings over ${mode} and tells every pong and the figures`,
    async () => {
      await using server = await startTestServer();
      const { exitCode, lines, runs } = await server.ping({ mode, pingCount: 5, ...patient });
      const { received, lost, recovered } = runs[0]!.run.statistics.summary();
      // UDP promises no datagram.
      if (mode === "datagram") assert.ok(received > 0 && received + lost === 5);
      else assert.equal(received, 5);
      assert.equal(exitCode, lost === 0 ? 0 : 1, lines.join("\n"));
      const pongs = lines.filter((line) => line.startsWith("Received response data: Pong! "));
      const seqs = pongs.map((line) => Number(/seq=(\d+)/.exec(line)![1]));
      assert.deepEqual(seqs, [0, 1, 2, 3, 4].filter((seq) => seqs.includes(seq)));
      assert.equal(seqs.length, received);
      for (const pong of pongs) assert.match(pong, / bytes=\d+ time=\d+\.\d+ ms$/);
      const figures = `5 sent, ${received} received, ${lost} lost (${(lost * 20).toFixed(1)}%)`;
      assert.ok(lines.join("\n").includes(figures), lines.join("\n"));
      assert.equal(recovered, 0);
    },
  );
}

testWith(files, "--mode all runs each mode after the other", async () => {
  await using server = await startTestServer();
  const { runs } = await server.ping({ mode: "all", pingCount: 2, ...patient });
  const received = runs.map(({ mode, run }) => [mode, run.statistics.summary().received]);
  const datagrams = Math.max(1, runs[2]!.run.statistics.summary().received);
  assert.deepEqual(
    received,
    [["bidi", 2], ["uni", 2], ["datagram", datagrams], ["websocket", 2]],
  );
});

for (const mode of ["bidi", "uni"] as const) {
  testWith(files, `a stream per ping over ${mode} runs past every stream limit`, async () => {
    await using server = await startTestServer();
    const run = await server.ping({
      mode,
      streamPerPing: true,
      pingCount: 1_000,
      concurrency: 20,
      quiet: true,
    });
    assert.equal(run.exitCode, 0, run.lines.join("\n"));
  });
}

testWith(
  files,
  "size and concurrency are what was asked for, and large pings go through",
  async () => {
    await using server = await startTestServer();
    for (const mode of ["bidi", "uni", "websocket"] as const) {
      const run = await server.ping({ mode, size: 200_000, concurrency: 8, pingCount: 40 });
      assert.equal(run.exitCode, 0, run.lines.join("\n"));
      assert.match(run.lines[0]!, /200000 bytes of data/);
    }
  },
);

testWith(
  files,
  "--interval keeps pings apart, --deadline ends the run and what is unanswered is lost",
  async () => {
    await using server = await startTestServer();
    const { runs, exitCode } = await pingToDeadline(server, { intervalMs: 20, pingCount: 0 });
    const { statistics, elapsedMs } = runs[0]!.run;
    const { sent } = statistics.summary();
    assert.ok(sent >= 1 && sent <= elapsedMs / 20 + 1, `${sent} pings in ${elapsedMs} ms`);
    assert.ok(exitCode < 2);
  },
);

testWith(
  files,
  "a datagram that is too large is an error that says how large it may be",
  async () => {
    await using server = await startTestServer();
    const tooLong = await server.ping({ mode: "datagram", size: 5_000, pingCount: 5 });
    assert.equal(tooLong.exitCode, 2);
    const [, most] = /message too long: .* at most (\d+) bytes/.exec(tooLong.lines.join("\n"))!;
    const fits = await server.ping({
      ...{ mode: "datagram", size: Number(most), pingCount: 3 },
      ...patient,
    });
    assert.match(fits.lines.join("\n"), /3 sent, [1-3] received/);
  },
);

testWith(
  files,
  "pongs have the size that --size gives pings, and without it the usual one",
  async () => {
    await using server = await startTestServer();
    for (const mode of ["bidi", "uni", "datagram", "websocket"] as const) {
      // A pong is 96 bytes longer than its text, and on streams has a head of 8.
      const head = mode === "bidi" || mode === "uni" ? 8 : 0;
      for (const [size, bytes] of [[1_000, 1_096], [0, 96], [undefined, 101]] as const) {
        const { lines } = await server.ping({
          ...{ mode, pingCount: 2, json: true, ...patient },
          ...(size !== undefined && { size }),
        });
        const pongs = lines.map((line) => JSON.parse(line)).filter(({ kind }) => kind === "pong");
        const count = mode === "datagram" ? Math.max(1, pongs.length) : 2;
        assert.deepEqual(pongs.map((pong) => pong.bytes), Array(count).fill(bytes + head), mode);
      }
    }
  },
);

testWith(files, "exit codes are ones that monitoring can use", async () => {
  await using server = await startTestServer();
  const nobody = { port: 9, connectTimeoutMs: 5_000, pin: "00".repeat(32) };
  const began = Date.now();
  const alone = await testPing({ ...nobody, deadlineMs: 300 });
  assert.ok(Date.now() - began < 4_000, "an attempt under way is not waited for");
  assert.equal(alone.exitCode, 2);
  assert.match(alone.lines.join("\n"), /no connection: none within 300 ms/);

  const interrupted = await testPing(nobody, AbortSignal.timeout(50));
  assert.equal(interrupted.exitCode, 2);

  const tooSlow = await pingToDeadline(server, { pingCount: 100_000, intervalMs: 100 });
  assert.equal(tooSlow.exitCode, 1, "fewer than asked for by the deadline");
  const endless = await pingToDeadline(server, { pingCount: 0, intervalMs: 50 });
  // What is unanswered at the deadline is lost.
  const { lost } = endless.runs[0]!.run.statistics.summary();
  assert.equal(endless.exitCode, lost === 0 ? 0 : 1, endless.lines.join("\n"));

  const all = await pingToDeadline(server, { mode: "all", pingCount: 0, intervalMs: 20 });
  assert.equal(all.runs.length, 1, "the deadline is of the whole run");
  assert.equal(all.exitCode, 1);
});

/** Pings with a deadline that is long enough for a connection, however busy the machine is. */
async function pingToDeadline(
  server: TestServer,
  options: PingpongClientOptions,
): Promise<TestPing> {
  for (let deadlineMs = 400;; deadlineMs *= 4) {
    const ping = await server.ping({ ...options, deadlineMs });
    if (ping.runs[0]?.run.connections || deadlineMs > 60_000) return ping;
  }
}

testWith(
  files,
  "a server that is gone for good is a failure, though all before was answered",
  async () => {
    const server = await startTestServer();
    let answered = 0;
    const running = testPing(
      {
        port: server.port,
        pin: server.server.certificateHash().toHex(),
        ...{ pingCount: 0, intervalMs: 20, outageBudgetMs: 300, connectTimeoutMs: 200 },
        ...{ heartbeatMs: 50, heartbeatTimeoutMs: 200, retryBaseDelayMs: 20, stableAfterMs: 10 },
      },
      undefined,
      (line) => {
        if (/^Received/.test(line) && ++answered === 3) void server[Symbol.asyncDispose]();
      },
    );
    const { exitCode, lines } = await running;
    assert.equal(exitCode, 2);
    assert.match(lines.join("\n"), /gave up: /);
    assert.match(lines.join("\n"), /1 outage of \d+ ms/);
  },
);

testWith(files, "--json prints an object a line, the figures in the last", async () => {
  await using server = await startTestServer();
  const { lines } = await server.ping({ json: true, pingCount: 2 });
  const objects = lines.map((line) => JSON.parse(line));
  assert.deepEqual(objects.map(({ kind }) => kind), ["begin", "connected", "pong", "pong", "end"]);
  assert.equal(objects[4].received, 2);
  for (const { time } of objects) assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000);
  assert.ok(objects[4].rttMs.p99 >= objects[4].rttMs.p50);
});

testWith(files, "host names and URLs do as well as addresses", async () => {
  await using server = await startTestServer();
  const { port: _, ...trusting } = { pin: server.server.certificateHash().toHex(), port: 0 };
  for (
    const host of [
      `localhost:${server.port}`,
      `127.0.0.1:${server.port}`,
      `127.0.0.1:${server.port}/some/path`,
      `https://127.0.0.1:${server.port}/some/path?x=1`,
    ]
  ) {
    const { exitCode, lines } = await testPing({ ...trusting, host, mode: "bidi" });
    assert.equal(exitCode, 0, lines.join("\n"));
  }
  const named = await server.ping({ host: "localhost", family: 4 });
  assert.match(named.lines[0]!, /^PING localhost:\d+\/udp\/ \(127\.0\.0\.1\) over bidi/);
  for (
    const [host, says] of [
      ["fe80::1%eth0", /with a zone/],
      ["127.0.0.1:4433:1", /give a host name or address/],
      ["ping.example:99999", /give a host name or address/],
      [`127.0.0.1:${server.port + 1}`, /--port \d+ is another one/],
      ["nowhere.invalid", /Cannot find the address of nowhere\.invalid/],
    ] as const
  ) {
    const { exitCode, lines } = await server.ping({ host });
    assert.equal(exitCode, 2, host);
    assert.match(lines.join("\n"), says, host);
  }
  const plain = await testPing({
    host: server.server.pageUrl.replace("http", "ws"),
    mode: "websocket",
  });
  assert.equal(plain.exitCode, 0, plain.lines.join("\n"));
  const far = await testPing({ host: "ws://ping.example/", mode: "websocket" });
  assert.equal(far.exitCode, 2);
  assert.match(far.lines.join("\n"), /without TLS only on this machine/);
});

testWith(
  files,
  "without pin or authority, or with a wrong pin, the client refuses at once",
  async () => {
    await using server = await startTestServer();
    for (const mode of ["bidi", "websocket"] as const) {
      for (const pin of ["00".repeat(32), undefined]) {
        const { port, httpsPort } = server;
        const { exitCode, lines, runs } = await testPing({
          port,
          websocketPort: httpsPort,
          mode,
          ...(pin && { pin }),
        });
        assert.equal(exitCode, 2);
        assert.match(lines.join("\n"), /gave up: .*certificate.*--pin/s, mode);
        assert.ok(!lines.some((line) => line.includes("retrying")), "trying again changes nothing");
        assert.equal(runs[0]?.run.statistics.summary().sent, 0);
      }
      const trusting = await testPing({
        port: server.port,
        websocketPort: server.httpsPort,
        mode,
        ca: join(server.folder, "cert.pem"),
      });
      assert.equal(trusting.exitCode, 0, trusting.lines.join("\n"));
    }
  },
);

testWith(
  files,
  "a token opens the server to those who know it, and shows them the server",
  async () => {
    const folder = await Deno.makeTempDir();
    const [right, wrong] = [join(folder, "right"), join(folder, "wrong")];
    await Deno.writeTextFile(right, "0123456789abcdef0123\n");
    await Deno.writeTextFile(wrong, "fedcba9876543210fedc\n");
    {
      await using guarded = await startTestServer({ tokenFile: right });
      await using open = await startTestServer();
      for (const mode of ["bidi", "websocket"] as const) {
        assert.equal((await guarded.ping({ mode, tokenFile: right })).exitCode, 0, mode);
        for (const given of [{}, { tokenFile: wrong }]) {
          const refused = await guarded.ping({ mode, ...given });
          assert.equal(refused.exitCode, 2);
          assert.match(refused.lines.join("\n"), /status 401.*--token-file/s);
        }
        const impostor = await open.ping({ mode, tokenFile: right });
        assert.equal(impostor.exitCode, 2);
        assert.match(impostor.lines.join("\n"), /did not prove that it knows the token/);
      }
      const careless = await guarded.ping({ tokenFile: right, insecure: true });
      assert.equal(careless.exitCode, 2);
      assert.match(careless.lines.join("\n"), /Refuses to show the token/);
    }
    await Deno.remove(folder, { recursive: true });
  },
);

testWith(files, "paths that the server does not have are refused with 404", async () => {
  await using server = await startTestServer({ path: ["/ping"] });
  const at = (path: string) => server.ping({ host: `https://127.0.0.1:${server.port}${path}` });
  assert.equal((await at("/ping")).exitCode, 0);
  const refused = await at("/elsewhere");
  assert.equal(refused.exitCode, 2);
  assert.match(refused.lines.join("\n"), /status 404/);
});

Deno.test("without a server the client says so, tries as often as told, and ends with 2", async () => {
  const silent = Deno.listenDatagram({ hostname: "127.0.0.1", port: 0, transport: "udp" });
  const { port } = silent.addr as Deno.NetAddr;
  const { exitCode, lines } = await testPing({
    port,
    pin: "00".repeat(32),
    retries: 2,
    ...impatient,
  });
  silent.close();
  assert.equal(exitCode, 2);
  const retries = lines.filter((line) =>
    line.startsWith("connection failed, retrying... (No answer")
  );
  assert.equal(retries.length, 2);
  assert.match(
    lines.at(-1)!,
    /gave up: No answer from 127.0.0.1 port \d+\/udp.*Is a server running/,
  );
});

testWith(
  files,
  "--mode auto takes WebTransport, or WebSocket where no UDP gets through",
  async () => {
    await using server = await startTestServer();
    const open = await server.ping({ mode: "auto" });
    assert.ok(open.lines.includes("using bidi"), open.lines.join("\n"));
    const silent = Deno.listenDatagram({ hostname: "127.0.0.1", port: 0, transport: "udp" });
    const { port } = silent.addr as Deno.NetAddr;
    const blocked = await server.ping({ mode: "auto", port, ...impatient });
    silent.close();
    assert.equal(blocked.exitCode, 0, blocked.lines.join("\n"));
    assert.match(blocked.lines.join("\n"), /using websocket, as No answer from 127.0.0.1/);
  },
);

Deno.test("linkOpener() fails over to the next server, and gives up only when none will have it", async () => {
  const servers: Target[] = ["a", "b", "c"].map((host) => ({ host, port: 1 }));
  const link = {} as Link;
  const tried: string[] = [];
  const open = linkOpener(servers, "bidi", ({ host }) => {
    tried.push(host);
    if (host === "c") return Promise.resolve(link);
    throw new WebTransportError("refused", "no", { status: 403 });
  });
  await assert.rejects(open(ROOT_CONTEXT), { kind: "closed" });
  await assert.rejects(open(ROOT_CONTEXT), { kind: "closed" });
  assert.equal(await open(ROOT_CONTEXT), link);
  assert.equal(await open(ROOT_CONTEXT), link, "a server that works is kept");
  assert.deepEqual(tried, ["a", "b", "c", "c"]);

  const none = linkOpener(servers.slice(0, 2), "bidi", () => {
    throw new WebTransportError("refused", "no", { status: 403 });
  });
  await assert.rejects(none(ROOT_CONTEXT), { kind: "closed" });
  await assert.rejects(none(ROOT_CONTEXT), { kind: "refused" });
});

for (const mode of ["bidi", "websocket"] as const) {
  testWith(files, `--insecure believes any certificate over ${mode}`, async () => {
    await using server = await startTestServer();
    const { port, httpsPort: websocketPort } = server;
    const careless = await testPing({ port, websocketPort, mode, insecure: true });
    assert.equal(careless.exitCode, 0, careless.lines.join("\n"));
  });
}
