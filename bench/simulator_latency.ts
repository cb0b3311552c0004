#!/usr/bin/env -S deno run --allow-net --allow-read --allow-env --allow-run
/**
 * How long an event takes from TCP to a WebSocket, at 10,000 events a second with 50 web clients.
 *
 * @module
 */
import { quantile } from "./observer_programs.ts";
import { report } from "./report.ts";
import { connect, line, startSimulator, writeAll } from "./simulator_programs.ts";

const perSecond = 10_000;
const webClients = 50;
const warmUpSeconds = 2;
const seconds = 8;
const ticksPerSecond = 200;

await using simulator = await startSimulator();
const socketUrl = `${simulator.url.replace("http", "ws")}/ws`;

/** 49 clients that read and throw away, in a thread of their own; the 50th measures. */
const crowd = new Worker(
  `data:text/javascript,${
    encodeURIComponent(
      `for (let i = 0; i < ${webClients - 1}; i++) new WebSocket(${
        JSON.stringify(socketUrl)
      }).onmessage = () => {};
       setTimeout(() => postMessage("ready"), 1000);`,
    )
  }`,
  { type: "module" },
);
await new Promise((resolve) => crowd.onmessage = resolve);

const times: number[] = [];
let measuring = false;
let received = 0;
const socket = new WebSocket(socketUrl);
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
sender.close();
socket.close();
crowd.terminate();

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
