#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-env --allow-run --allow-sys
/**
 * How soon is a dead peer found, on both ends, whatever the pace of the pings? And what do others
 * notice of a stranger who sends garbage, opens and breaks connections, and stays silent?
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { runPingpongClient } from "../pingpong/client.ts";
import { startTestServer, testPing } from "../pingpong/test_server.ts";
import { testContext } from "../service/testing/context.ts";
import { startUdpRelay } from "../pingpong/test_udp_relay.ts";
import { vandalize } from "../pingpong/test_vandal.ts";
import { endProcess, makeCertificate, startPingpong } from "./pingpong_server.ts";
import { median, report } from "./report.ts";

/** Milliseconds between pings: many between two probes, about one, and none. */
const paces = [20, 450, 10_000];
const turns = 5;

/** Milliseconds from the network's end to the moment each side knew. */
async function findDeadPeer(intervalMs: number): Promise<{ server: number; client: number }> {
  await using server = await startTestServer();
  const relay = startUdpRelay(server.port);
  const stop = new AbortController();
  let clientMs: number | undefined;
  const running = runPingpongClient(
    {
      port: relay.port,
      pin: server.server.certificateHash().toHex(),
      pingCount: 0,
      intervalMs,
      connectTimeoutMs: 500,
      json: true,
    },
    testContext(),
    {
      data: (line) => {
        if (line.startsWith('{"kind":"disconnected"')) clientMs ??= performance.now();
      },
      talk: () => {},
    },
    stop.signal,
  );
  const until = async (isSo: () => boolean) => {
    while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2));
  };
  await until(() => server.logged.some((line) => line.includes("has begun")));
  // At any moment between two probes.
  await new Promise((resolve) => setTimeout(resolve, 600 + Math.random() * 600));
  relay.faults.blackhole = true;
  const darkMs = performance.now();
  await until(() => server.logged.some((line) => line.includes("has ended")));
  const serverMs = performance.now();
  await until(() => clientMs !== undefined);
  stop.abort();
  await running;
  relay.close();
  return { server: serverMs - darkMs, client: clientMs! - darkMs };
}

/** The p50 of pings to a server, in milliseconds, in peace and beside a stranger; each a process. */
async function besideVandal(): Promise<{ alone: number; beside: number }> {
  await using made = await makeCertificate();
  const { folder, pinPath, hash } = made;
  const server = await startPingpong(folder);
  const p50 = async () => {
    const { runs } = await testPing({
      ...{ port: server.port, pin: pinPath, pingCount: 1_000, intervalMs: 2, quiet: true },
    });
    return runs[0]!.run.statistics.summary().rttMs!.p50;
  };
  await p50();
  const alone = await p50();
  const vandal = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--unstable-net", "--allow-net", "--allow-read", "--allow-env", "--allow-sys"],
      ...[fileURLToPath(import.meta.url), "--vandal", String(server.port), hash.toHex()],
    ],
  }).spawn();
  // Until it is at work.
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const beside = await p50();
  await endProcess(vandal);
  await endProcess(server.child);
  return { alone, beside };
}

async function main(): Promise<void> {
  const found: { server: number; client: number }[] = [];
  for (const intervalMs of paces) {
    for (let turn = 0; turn < turns; turn++) found.push(await findDeadPeer(intervalMs));
  }
  for (const side of ["server", "client"] as const) {
    report({
      name: `dead peer found by the ${side}, ms, the longest of ${found.length}`,
      measured: Math.max(...found.map((one) => one[side])),
      target: { atMost: 2_000 },
    });
  }
  const pairs = [await besideVandal(), await besideVandal(), await besideVandal()];
  report({
    name: "ping-pong: RTT p50 beside a stranger who breaks connections / alone",
    measured: median(pairs.map(({ alone, beside }) => beside / alone)),
  });
}

if (import.meta.main) {
  const [what, port, hash] = Deno.args;
  if (what === "--vandal") {
    await vandalize(Number(port), Uint8Array.fromHex(hash!), AbortSignal.timeout(30_000));
  } else {
    await main();
  }
}
