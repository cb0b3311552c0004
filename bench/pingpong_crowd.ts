#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-env --allow-run --allow-sys
/**
 * How does one server bear a crowd? A thousand clients, each with a connection and a stream of its
 * own, ten pings a second each, at even times. The clients are `wtransport`'s and name themselves as
 * ours do, so that the server's mailbox works; ours in one process would measure themselves.
 *
 * Beside it what decides the figure: the same crowd on `wtransport`'s own server, the processor time
 * of a ping, and the packets that the kernel dropped at the server's socket while it was busy.
 *
 * @module
 */
import { wtransportPeer } from "../stack/wtransport.ts";
import { endProcess, makeCertificate, startListening, startPingpong } from "./pingpong_server.ts";
import { cpuSeconds, statusBytes, udpDrops } from "./process_memory.ts";
import { report } from "./report.ts";

const clients = Number(Deno.env.get("PINGPONG_BENCH_CLIENTS") ?? 1_000);
const intervalMs = 100;
const seconds = 30;

/** What the crowd tells at its end. */
interface Told {
  received: number;
  broken: number;
  p50Us: number;
  p99Us: number;
}

async function crowd(
  name: string,
  command: string,
  { child, port }: { child: Deno.ChildProcess; port: number },
  hash: Uint8Array,
  targets: { p99Ms?: number; megabytes?: number },
): Promise<void> {
  const peer = new Deno.Command(command, {
    args: [
      ...["crowd", `https://127.0.0.1:${port}/`, hash.toHex()],
      ...[clients, intervalMs, seconds].map(String),
    ],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const lines = peer.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  while (!said.includes("connected\n")) {
    const { value, done } = await lines.read();
    if (done) throw new Error(`The crowd ended: ${said}`);
    said += value;
  }
  // The handshakes of a thousand at once are not what is asked.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  const [cpuBefore, dropsBefore] = [await cpuSeconds(child.pid), await udpDrops(port)];
  const writer = peer.stdin.getWriter();
  await writer.write(new TextEncoder().encode("\n"));
  await new Promise((resolve) => setTimeout(resolve, (seconds - 1) * 1_000));
  const [cpu, drops] = [await cpuSeconds(child.pid), await udpDrops(port)];
  const rss = await statusBytes(child.pid, "VmRSS");
  for (let read = await lines.read(); !read.done; read = await lines.read()) said += read.value;
  await peer.status;
  const { received, broken, p50Us, p99Us }: Told = JSON.parse(said.slice(said.indexOf("{")));
  const asked = clients * seconds * 1_000 / intervalMs;
  report({ name: `${name}: connections broken`, measured: broken, target: { atMost: 0 } });
  report({ name: `${name}: pings answered of those asked for`, measured: received / asked });
  report({ name: `${name}: RTT p50, ms`, measured: p50Us / 1_000 });
  report({
    name: `${name}: RTT p99, ms`,
    measured: p99Us / 1_000,
    ...(targets.p99Ms && { target: { atMost: targets.p99Ms } }),
  });
  report({
    name: `${name}: server memory, MB`,
    measured: rss / 1e6,
    ...(targets.megabytes && { target: { atMost: targets.megabytes } }),
  });
  const share = (seconds - 1) / seconds;
  const perPing = (cpu - cpuBefore) / (received * share) * 1e6;
  report({ name: `${name}: processor time of the server a ping, µs`, measured: perPing });
  report({
    name: `${name}: packets dropped at its socket, a second`,
    measured: (drops - dropsBefore) / (seconds - 1),
  });
}

if (import.meta.main) {
  await using made = await makeCertificate();
  const { command } = await wtransportPeer();
  const rust = await startListening(command, ["server", made.certificatePath, made.keyPath]);
  await crowd(`${clients} clients of wtransport's server`, command, rust, made.hash, {});
  await endProcess(rust.child);
  const server = await startPingpong(made.folder);
  await crowd(`${clients} clients`, command, server, made.hash, { p99Ms: 20, megabytes: 300 });
  await endProcess(server.child);
}
