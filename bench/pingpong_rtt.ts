#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-env --allow-run --allow-sys
/**
 * Round-trip times of ping-pong, two processes on loopback, against the same messages over Deno's
 * raw QUIC and over `wtransport` to `wtransport`, in turns in one run; and how long it takes to
 * connect.
 *
 * @module
 */
import { metrics, trace } from "@opentelemetry/api";
import { fileURLToPath } from "node:url";
import { runPingpongClient } from "../pingpong/client.ts";
import { connect } from "../pingpong/http3/mod.ts";
import { wtransportPeer } from "../stack/wtransport.ts";
import { median, report } from "./report.ts";
import { endProcess, makeCertificate, startListening, startPingpong } from "./pingpong_server.ts";

const rounds = 5;
const pings = 4_000;
const modes = ["bidi", "uni", "datagram"] as const;
type Mode = typeof modes[number];
/** As long as our pings and pongs, with frame and extension. */
const pingBytes = 90;
const pongBytes = 109;

const quietTelemetry = {
  telemetry: {
    enabled: false,
    tracer: trace.getTracer("bench"),
    meter: metrics.getMeter("bench"),
    shutdown: async () => {},
  },
};

/** Microseconds: the median of a round's pings. */
async function ours(port: number, pin: string, mode: Mode): Promise<number> {
  const { runs, exitCode } = await runPingpongClient(
    { port, pin, mode, pingCount: pings, quiet: true },
    quietTelemetry,
    { data: () => {}, talk: () => {} },
  );
  if (exitCode !== 0) throw new Error(`our client ended with ${exitCode} over ${mode}`);
  return runs[0]!.run.statistics.summary().rttMs!.p50 * 1_000;
}

async function raw(port: number, hash: Uint8Array, mode: Mode): Promise<number> {
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  const conn = await Deno.connectQuic({
    hostname: "127.0.0.1",
    port,
    alpnProtocols: ["raw"],
    endpoint,
    serverCertificateHashes: [{ algorithm: "sha-256", value: hash }],
  } as Deno.ConnectQuicOptions<false>);
  const ping = new Uint8Array(pingBytes);
  let exchange: () => Promise<void>;
  if (mode === "datagram") {
    exchange = async () => {
      await conn.sendDatagram(ping);
      await conn.readDatagram();
    };
  } else {
    const { writer, reader } = await rawStreams(conn, mode);
    exchange = async () => {
      await writer.write(ping);
      for (let got = 0; got < pongBytes;) got += (await reader.read()).value!.length;
    };
  }
  const times: number[] = [];
  for (let count = 0; count < pings; count++) {
    const began = performance.now();
    await exchange();
    times.push(performance.now() - began);
  }
  conn.close();
  endpoint.close();
  return median(times) * 1_000;
}

async function rawStreams(conn: Deno.QuicConn, mode: Mode) {
  if (mode === "bidi") {
    const { readable, writable } = await conn.createBidirectionalStream();
    return { writer: writable.getWriter(), reader: readable.getReader() };
  }
  const writer = (await conn.createUnidirectionalStream()).getWriter();
  await writer.write(new Uint8Array(pingBytes));
  const { value } = await conn.incomingUnidirectionalStreams.getReader().read();
  const reader = value!.getReader();
  for (let got = 0; got < pongBytes;) got += (await reader.read()).value!.length;
  return { writer, reader };
}

/** The other process of `raw()`: answers every ping's bytes with a pong's. */
async function serveRaw(cert: string, key: string): Promise<void> {
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  const listener = endpoint.listen({ cert, key, alpnProtocols: ["raw"] });
  Deno.stdout.writeSync(new TextEncoder().encode(`listening ${endpoint.addr.port}\n`));
  const pong = new Uint8Array(pongBytes);

  async function echo(readable: ReadableStream<Uint8Array>, writable: WritableStream<Uint8Array>) {
    const writer = writable.getWriter();
    let rest = 0;
    for await (const chunk of readable) {
      rest += chunk.length;
      for (; rest >= pingBytes; rest -= pingBytes) await writer.write(pong);
    }
  }
  async function serve(conn: Deno.QuicConn) {
    (async () => {
      for await (const { readable, writable } of conn.incomingBidirectionalStreams) {
        echo(readable, writable).catch(() => {});
      }
    })().catch(() => {});
    (async () => {
      for await (const readable of conn.incomingUnidirectionalStreams) {
        echo(readable, await conn.createUnidirectionalStream()).catch(() => {});
      }
    })().catch(() => {});
    while (true) {
      await conn.readDatagram();
      await conn.sendDatagram(pong);
    }
  }
  while (true) {
    const conn = await (await listener.incoming()).accept() as Deno.QuicConn;
    conn.closed.catch(() => {});
    serve(conn).catch(() => {});
  }
}

async function main(): Promise<void> {
  const peer = await wtransportPeer();
  await using made = await makeCertificate();
  const { folder, pinPath, hash } = made;
  const files = [made.certificatePath, made.keyPath] as const;
  const server = await startPingpong(folder);
  const rawServer = await startListening(Deno.execPath(), [
    ...["run", "--unstable-net", "--allow-net", "--allow-read", "--allow-env"],
    ...[fileURLToPath(import.meta.url), "--raw-server", ...files],
  ]);
  const rust = await startListening(peer.command, ["server", ...files]);
  try {
    for (const mode of modes) {
      const times: Record<"ours" | "raw" | "rust", number[]> = { ours: [], raw: [], rust: [] };
      for (let round = 0; round <= rounds; round++) {
        const measured = {
          ours: await ours(server.port, pinPath, mode),
          raw: await raw(rawServer.port, hash, mode),
          rust: await rustPing(peer.command, rust.port, hash, mode),
        };
        // The first round warms up.
        if (round === 0) continue;
        for (const who of ["ours", "raw", "rust"] as const) times[who].push(measured[who]);
      }
      const [own, deno, wtransport] = [times.ours, times.raw, times.rust].map(median);
      report({ name: `ping-pong ${mode}: RTT p50, µs`, measured: own! });
      report({ name: `raw Deno QUIC ${mode}: RTT p50, µs`, measured: deno! });
      report({ name: `wtransport ${mode}: RTT p50, µs`, measured: wtransport! });
      report({
        name: `ping-pong ${mode}: RTT p50 / raw Deno QUIC`,
        measured: own! / deno!,
        target: { atMost: 1.3 },
      });
      report({
        name: `ping-pong ${mode}: RTT p50 / wtransport`,
        measured: own! / wtransport!,
        target: { atMost: mode === "datagram" ? 2 : 2.5 },
      });
    }
    report({
      name: "ping-pong: connect p50, ms",
      measured: await connectTime(server.port, hash),
      target: { atMost: 20 },
    });
  } finally {
    for (const { child } of [server, rawServer, rust]) await endProcess(child);
  }
}

async function connectTime(port: number, hash: Uint8Array): Promise<number> {
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  const times: number[] = [];
  for (let count = 0; count < 200; count++) {
    const began = performance.now();
    const session = await connect(`https://127.0.0.1:${port}/`, {
      certificateHashes: [hash],
      endpoint,
    });
    times.push(performance.now() - began);
    await session.close();
  }
  endpoint.close();
  return median(times);
}

async function rustPing(
  command: string,
  port: number,
  hash: Uint8Array,
  mode: Mode,
): Promise<number> {
  const { stdout, stderr, success } = await new Deno.Command(command, {
    args: ["client", `https://127.0.0.1:${port}/`, hash.toHex(), mode, String(pings), "one"],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout)).p50Us;
}

if (import.meta.main) {
  const [what, cert, key] = Deno.args;
  if (what === "--raw-server") {
    await serveRaw(await Deno.readTextFile(cert!), await Deno.readTextFile(key!));
  } else {
    await main();
  }
}
