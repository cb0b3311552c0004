/**
 * Ping-pong with WebTransport's other implementations, each on both sides where it has two, in
 * every mode, on one stream for all pings and on a stream for each. Prints the table that README.md
 * keeps.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { encodeFrame, FrameDecoder } from "./protocol/frames.ts";
import type { Message } from "./protocol/message.ts";
import { aioquicPeer } from "../stack/aioquic.ts";
import { testWithStack } from "../stack/test_with_stack.ts";
import { pywebtransportPeer } from "../stack/pywebtransport.ts";
import { webtransportGoPeer } from "../stack/webtransport_go.ts";
import { type PeerCommand, wtransportPeer } from "../stack/wtransport.ts";
import { buildPage } from "../service/page/build.ts";
import { findChromium, openBrowser } from "../service/testing/browser.ts";
import { eventually } from "../service/testing/eventually.ts";
import { findFirefox, openFirefox } from "../service/testing/firefox.ts";
import { generateCertificates } from "./certificates/generate.ts";
import { startTestServer, testPing, type TestServer } from "./test_server.ts";
import { connect } from "./http3/mod.ts";

const modes = ["bidi", "uni", "datagram"] as const;
const pings = 300;
const patience = 60_000;

/** What a peer's client tells: pongs, streams that ended properly, and times. */
interface Told {
  received: number;
  ends: number;
  p50Us: number;
}

const table: string[] = [];

/** One cell: a mode with its streams. */
function told(pair: string, mode: string, each: boolean, p50Us: number): void {
  const streams = mode === "datagram" ? "–" : each ? String(pings) : "1";
  table.push(
    `| ${pair} | ${mode} | ${streams} | ${pings}/${pings} | ${(p50Us / 1_000).toFixed(2)} |`,
  );
}

const cases = modes
  .flatMap((mode) => [{ mode, each: false }, { mode, each: true }])
  .filter(({ mode, each }) => mode !== "datagram" || !each);

const clients: Record<string, () => Promise<PeerCommand>> = {
  "aioquic 1.7": aioquicPeer,
  "wtransport 0.7": wtransportPeer,
  "pywebtransport 0.21": pywebtransportPeer,
};

const servers = { ...clients, "webtransport-go 0.13": webtransportGoPeer };

for (const [name, peer] of Object.entries(clients)) {
  testWithStack(`${name} as client pings our server in every mode`, async () => {
    await using server = await startTestServer();
    for (const { mode, each } of cases) {
      const result = await runPeer(await peer(), [
        ...["client", server.server.url, server.server.certificateHash().toHex()],
        ...[mode, String(pings), each ? "each" : "one"],
      ]);
      const { received, ends, p50Us }: Told = JSON.parse(result);
      assert.equal(received, pings, `${mode} ${each}`);
      // Our end of a two-way stream follows the peer's: on every one of them.
      if (mode === "bidi") assert.equal(ends, each ? pings : 1);
      told(`${name} → ours`, mode, each, p50Us);
    }
  });
}

for (const [name, peer] of Object.entries(servers)) {
  testWithStack(`our client pings ${name} as server in every mode`, async () => {
    await using server = await startPeerServer(await peer());
    for (const { mode, each } of cases) {
      const ping = await testPing({
        port: server.port,
        pin: server.pin,
        mode,
        pingCount: pings,
        quiet: true,
        ...(each && { streamPerPing: true }),
      });
      const { received, duplicated, recovered, rttMs } = ping.runs[0]!.run.statistics.summary();
      assert.deepEqual({ received, duplicated, recovered }, {
        received: pings,
        duplicated: 0,
        recovered: 0,
      }, ping.lines.join("\n"));
      told(`ours → ${name}`, mode, each, rttMs!.p50 * 1_000);
    }
  });
}

testWithStack(
  "webtransport-go's client still refuses our server: when this fails, Deno's QUIC has RESET_STREAM_AT",
  async () => {
    await using server = await startTestServer();
    const { command, args } = await webtransportGoPeer();
    const { code, stderr } = await new Deno.Command(command, {
      args: [...args, "client", server.server.url, server.server.certificateHash().toHex()],
      stdin: "null",
      signal: AbortSignal.timeout(patience),
    }).output();
    const said = new TextDecoder().decode(stderr);
    assert.match(said, /server didn't enable QUIC stream reset partial delivery/);
    assert.equal(code, 1);
  },
);

testWithStack(
  "streams that aioquic resets or stops end alone and give their credit back; a stop is answered by a reset",
  async () => {
    await using server = await startTestServer();
    // Twice as many as may be open at once: a stream that did not end would block those behind it.
    const streams = 512;
    const result = await runPeer(await aioquicPeer(), [
      ...["client", server.server.url, server.server.certificateHash().toHex()],
      ...["reset", String(streams), "each"],
    ]);
    const { received, resets } = JSON.parse(result) as Told & { resets: number };
    assert.equal(received, streams);
    assert.equal(resets, streams / 2);
  },
);

testWithStack(
  "bincode 1.3 leaves our extension unread: a peer that knows none answers",
  async () => {
    await using server = await startPeerServer(await wtransportPeer());
    const session = await connect(`https://127.0.0.1:${server.port}/`, {
      certificateHashes: [server.hash],
    });
    const stream = await session.createBidirectionalStream();
    const writer = stream.writable.getWriter();
    const trace = { traceId: "ab".repeat(16), spanId: "cd".repeat(8), traceFlags: 1 };
    const id = Uint8Array.of(1, 2, 3);
    const extension = { seq: 1, ackBelow: 0, trace };
    await writer.write(encodeFrame({ kind: "ping", id, data: "Ping!", extension }));
    await writer.close();
    const decoder = new FrameDecoder();
    const answers: Message[] = [];
    for await (const chunk of stream.readable) {
      decoder.push(chunk, (message) => answers.push(message));
    }
    await session.close();
    assert.equal(answers.length, 1);
    assert.deepEqual(answers[0]?.kind === "pong" && answers[0].requestId, id);
  },
);

testWithStack("Chromium pings our server in every mode, and its close is seen", async () => {
  const chromium = findChromium();
  assert.ok(chromium, "There is no Chromium on this machine: apt-get install chromium");
  await using server = await startTestServer();
  const browser = await openBrowser(chromium);
  try {
    const page = await browser.newPage();
    // Any page of a loopback origin may use WebTransport; this one has no policy of its own.
    await page.goto(`${server.server.pageUrl}/.well-known/pingpong.json`);
    const version = browser.version().split(".")[0];
    for (const { mode, each } of cases) {
      const { received, ends, p50Us } = await page.evaluate(pingFromPage, {
        url: server.server.url,
        hash: [...server.server.certificateHash()],
        mode,
        each,
        pings,
      });
      assert.equal(received, pings, `${mode} ${each}`);
      if (mode === "bidi") assert.equal(ends, each ? pings : 1);
      told(`Chromium ${version} → ours`, mode, each, p50Us);
    }
    await closeIsSeen(server);
  } finally {
    await browser.close();
  }
});

testWithStack("Firefox pings our server in every mode, and our page pings in it", async () => {
  const firefox = findFirefox();
  assert.ok(firefox, "There is no Firefox on this machine: apt-get install firefox-esr");
  await using server = await startTestServer();
  await using browser = await openFirefox(firefox);
  const plain = await browser.open(`${server.server.pageUrl}/.well-known/pingpong.json`);
  const version = browser.version.split(".")[0];
  for (const { mode, each } of cases) {
    const { received, ends, p50Us } = await plain.evaluate<Told>(
      `(${pingFromPage})(${
        JSON.stringify({
          ...{ url: server.server.url, hash: [...server.server.certificateHash()] },
          ...{ mode, each, pings },
        })
      })`,
    );
    assert.equal(received, pings, `${mode} ${each}`);
    if (mode === "bidi") assert.equal(ends, each ? pings : 1);
    told(`Firefox ${version} → ours`, mode, each, p50Us);
  }
  await buildPage("pingpong");
  const page = await browser.open(server.server.pageUrl);
  // Behind the mode's name: sent, answered. Each mode has had some answers.
  await page.waitFor(`[...document.querySelectorAll(".figures-table tbody tr")]
    .filter((row) => Number(row.cells[2].textContent) > 5).length === 3`);
});

/** The page ends each session with a code and a reason; the server's log has them. */
async function closeIsSeen(server: TestServer): Promise<void> {
  const ends = await eventually("the end of each session", () => {
    const seen = server.logged.filter((line) => line.includes("has ended"));
    return seen.length < cases.length ? undefined : seen;
  });
  assert.equal(ends.length, cases.length, server.logged.join("\n"));
  for (const end of ends) assert.match(end, /by=peer closeCode=200 reason=done/);
}

interface PageRun {
  url: string;
  hash: number[];
  mode: string;
  each: boolean;
  pings: number;
}

/** Runs in the browser: nothing from outside may be named here. */
async function pingFromPage({ url, hash, mode, each, pings }: PageRun): Promise<Told> {
  const session = new WebTransport(url, {
    serverCertificateHashes: [{ algorithm: "sha-256", value: Uint8Array.from(hash) }],
  });
  await session.ready;
  const idBytes = 32;
  const message = (number: number, prefix: number) => {
    const bytes = new Uint8Array(prefix + 61);
    const view = new DataView(bytes.buffer);
    if (prefix) view.setUint32(4, 61);
    view.setUint32(prefix + 4, idBytes, true);
    view.setUint32(prefix + 12, number);
    view.setUint32(prefix + 48, 5, true);
    bytes.set(new TextEncoder().encode("Ping!"), prefix + 56);
    return bytes;
  };
  /** The number in a pong: its request id begins behind tag, id and two lengths. */
  const numberIn = (bytes: Uint8Array, at: number) =>
    new DataView(bytes.buffer, bytes.byteOffset).getUint32(at + 4 + 8 + 32 + 8);
  type Reader = ReadableStreamDefaultReader<Uint8Array>;
  let rest = new Uint8Array();
  const pong = async (reader: Reader): Promise<number | undefined> => {
    while (true) {
      if (rest.length >= 8) {
        const length = 8 + new DataView(rest.buffer, rest.byteOffset).getUint32(4);
        if (rest.length >= length) {
          const number = numberIn(rest, 8);
          rest = rest.slice(length);
          return number;
        }
      }
      const { value, done } = await reader.read();
      if (done) return undefined;
      const joined = new Uint8Array(rest.length + value.length);
      joined.set(rest);
      joined.set(value, rest.length);
      rest = joined;
    }
  };
  const times: number[] = [];
  let ends = 0;
  let writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  let reader: Reader | undefined;
  const datagramWriter = mode === "datagram" ? session.datagrams.writable.getWriter() : undefined;
  const datagramReader = mode === "datagram" ? session.datagrams.readable.getReader() : undefined;
  for (let number = 0; number < pings; number++) {
    const began = performance.now();
    let got: number | undefined;
    // Until the pong: Chromium's close() then waits for the acknowledgement of its end, some 25 ms.
    let tookMs = NaN;
    if (mode === "datagram") {
      await datagramWriter!.write(message(number, 0));
      got = numberIn((await datagramReader!.read()).value, 0);
      tookMs = performance.now() - began;
    } else if (mode === "bidi") {
      if (each || !writer) {
        const stream = await session.createBidirectionalStream();
        writer = stream.writable.getWriter();
        reader = stream.readable.getReader();
      }
      await writer.write(message(number, 8));
      got = await pong(reader!);
      tookMs = performance.now() - began;
      if (each || number === pings - 1) {
        await writer.close();
        if (await pong(reader!) === undefined) ends++;
      }
    } else {
      if (each || !writer) writer = (await session.createUnidirectionalStream()).getWriter();
      await writer!.write(message(number, 8));
      if (each) await writer!.close();
      reader ??= (await session.incomingUnidirectionalStreams.getReader().read()).value.getReader();
      got = await pong(reader as Reader);
      tookMs = performance.now() - began;
    }
    if (got === number) times.push(tookMs);
  }
  session.close({ closeCode: 200, reason: "done" });
  await session.closed;
  times.sort((a, b) => a - b);
  return {
    received: times.length,
    ends,
    p50Us: times[Math.floor(times.length / 2)]! * 1_000,
  };
}

testWithStack("the table for README.md", () => {
  const head = ["| pair | mode | streams | answered | p50 ms |", "|---|---|---|---|---|"];
  Deno.stdout.writeSync(new TextEncoder().encode(`\n${[...head, ...table].join("\n")}\n`));
  assert.ok(table.length >= 20, "every pair has its rows");
  return Promise.resolve();
});

async function runPeer({ command, args, env }: PeerCommand, more: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args: [...args, ...more],
    env: { ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(patience),
  }).output();
  const decoder = new TextDecoder();
  assert.ok(success, decoder.decode(stderr));
  return decoder.decode(stdout);
}

interface PeerServer extends AsyncDisposable {
  port: number;
  pin: string;
  hash: Uint8Array;
}

async function startPeerServer({ command, args, env }: PeerCommand): Promise<PeerServer> {
  const folder = await Deno.makeTempDir({ prefix: "pingpong-peer-" });
  const paths = {
    certificatePath: join(folder, "cert.pem"),
    keyPath: join(folder, "key.pem"),
    pinPath: join(folder, "cert.sha256"),
  };
  const { hash } = await generateCertificates(paths);
  const child = new Deno.Command(command, {
    args: [...args, "server", paths.certificatePath, paths.keyPath],
    env: { ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  while (!/listening \d+\n/.test(said)) {
    const { value, done } = await reader.read();
    assert.ok(!done, `the peer ended: ${said}`);
    said += value;
  }
  const port = Number(/listening (\d+)/.exec(said)![1]);
  return {
    port,
    pin: paths.pinPath,
    hash,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel();
      await Deno.remove(folder, { recursive: true });
    },
  };
}
