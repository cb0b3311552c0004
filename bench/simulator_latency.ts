#!/usr/bin/env -S deno run --allow-net --allow-read --allow-env --allow-run
/**
 * How long an event takes from TCP to a WebSocket, at 10,000 events a second with 50 web clients,
 * and what that costs the server. Server and crowd are processes of their own; what sends and what
 * measures are one, as they need one clock.
 *
 * @module
 */
import { quantile } from "./observer_programs.ts";
import { cpuSeconds } from "./process_memory.ts";
import { report } from "./report.ts";
import { connect, line, startSimulator, writeAll } from "./simulator_programs.ts";

const perSecond = 10_000;
const webClients = 50;
const warmUpSeconds = 2;
const seconds = 8;
/** As evenly as a timer of whole milliseconds allows with time for what is measured. */
const ticksPerSecond = 500;

/** 49 clients that read and throw away; the 50th measures. */
async function startCrowd(port: string) {
  const entry = new URL("./simulator_crowd.ts", import.meta.url).pathname;
  const child = new Deno.Command("deno", {
    args: ["run", "--allow-net=127.0.0.1", entry, port, `${webClients - 1}`],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const { done } = await reader.read();
  if (done) throw new Error("The crowd has not come");
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
      await reader.cancel();
    },
  };
}

await using simulator = await startSimulator();
await using _crowd = await startCrowd(new URL(simulator.url).port);

const times: number[] = [];
let measuring = false;
let received = 0;
const socket = new WebSocket(`${simulator.url.replace("http", "ws")}/ws`);
await new Promise((resolve) => socket.onopen = resolve);
socket.onmessage = ({ data }) => {
  const nowMs = performance.now();
  for (const [, sentMs] of (data as string).matchAll(/"stringValue":"sent (\d+\.\d+)"/g)) {
    received++;
    if (measuring) times.push(nowMs - Number(sentMs));
  }
};

const sender = await connect(simulator.port);
const encoder = new TextEncoder();
let sent = 0;
const beganCpu = await cpuSeconds(simulator.pid);
const startMs = performance.now();
for (let tick = 0; tick < (warmUpSeconds + seconds) * ticksPerSecond; tick++) {
  measuring = tick >= warmUpSeconds * ticksPerSecond;
  const dueMs = startMs + tick * 1_000 / ticksPerSecond;
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueMs - performance.now())));
  // By the time that has passed: a tick that is late sends no more than it should have.
  const count = perSecond / ticksPerSecond;
  const stamp = performance.now().toFixed(3).padEnd(10, "0");
  await writeAll(sender, encoder.encode(line("part", 7, `sent ${stamp}`).repeat(count)));
  sent += count;
}
while (received < sent && performance.now() - startMs < 30_000) {
  await new Promise((resolve) => setTimeout(resolve, 50));
}
const usedCpu = await cpuSeconds(simulator.pid) - beganCpu;
sender.close();
socket.close();

report({
  name: "simulator: events that arrived, of those sent",
  measured: received / sent,
  target: { atLeast: 1 },
});
report({
  name: `simulator: TCP to WebSocket at ${perSecond}/s, ${webClients} clients, p50, ms`,
  measured: quantile(times, 0.5),
  target: { atMost: 1 },
});
report({
  name: `simulator: TCP to WebSocket at ${perSecond}/s, ${webClients} clients, p99, ms`,
  measured: quantile(times, 0.99),
  target: { atMost: 10 },
});
report({
  name: "simulator: the same, the server's processor time for an event, µs",
  measured: usedCpu / sent * 1e6,
});
