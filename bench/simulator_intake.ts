#!/usr/bin/env -S deno run --allow-net --allow-read --allow-env --allow-run
/**
 * How many events a second the simulator takes from 100 connections on one core, beside a program
 * that only parses lines; and what a thousand clients and a long run cost in memory.
 *
 * @module
 */
import { cpuSeconds, statusBytes } from "./process_memory.ts";
import { median, report } from "./report.ts";
import {
  type BenchProgram,
  connect,
  line,
  startReference,
  startSimulator,
  writeAll,
} from "./simulator_programs.ts";

const connections = 100;
const linesPerConnection = 4_000;
const linesPerWrite = 200;
const rounds = 3;

/** Events a second of processor time: what one core could do if it did nothing else. */
async function eventsPerCpuSecond(program: BenchProgram): Promise<number> {
  const sockets = await Promise.all(
    Array.from({ length: connections }, () => connect(program.port)),
  );
  const wanted = await program.events() + connections * linesPerConnection;
  const beganCpu = await cpuSeconds(program.pid);
  await Promise.all(sockets.map(async (socket, i) => {
    const block = new TextEncoder().encode(
      Array.from({ length: linesPerWrite }, (_, n) => line(`part-${i % 5}`, i, `order ${n}`)).join(
        "",
      ),
    );
    for (let sent = 0; sent < linesPerConnection; sent += linesPerWrite) {
      await writeAll(socket, block);
    }
  }));
  while (await program.events() < wanted) await new Promise((resolve) => setTimeout(resolve, 20));
  const seconds = await cpuSeconds(program.pid) - beganCpu;
  for (const socket of sockets) socket.close();
  return connections * linesPerConnection / seconds;
}

const ours: number[] = [];
const bare: number[] = [];
{
  await using simulator = await startSimulator();
  await using reference = await startReference();
  // In turns, so that both meet the same moments of the machine.
  for (let round = 0; round <= rounds; round++) {
    const [one, other] = [await eventsPerCpuSecond(simulator), await eventsPerCpuSecond(reference)];
    // The first warms up.
    if (round === 0) continue;
    ours.push(one);
    bare.push(other);
  }
  report({
    name: "simulator: events taken a second of processor time, 100 connections",
    measured: median(ours),
    target: { atLeast: 100_000 },
  });
  report({
    name: "simulator: the same, as a share of a bare server that parses lines",
    measured: median(ours.map((value, i) => value / bare[i]!)),
  });
  report({
    name: "simulator: RSS after 1,600,000 events, MB",
    measured: await statusBytes(simulator.pid, "VmRSS") / 1e6,
    target: { atMost: 150 },
  });
}

{
  await using simulator = await startSimulator();
  const sockets = await Promise.all(Array.from({ length: 1_000 }, () => connect(simulator.port)));
  const lines = sockets.map((_, i) =>
    new TextEncoder().encode(line(`part-${i % 5}`, i, "order 17"))
  );
  const round = () => Promise.all(sockets.map((socket, i) => writeAll(socket, lines[i]!)));
  // Until the events that are kept are as many as can be.
  for (let i = 0; i < 12; i++) await round();
  const sizes: number[] = [];
  for (let second = 0; second < 20; second++) {
    await round();
    await new Promise((resolve) => setTimeout(resolve, 500));
    sizes.push(await statusBytes(simulator.pid, "VmRSS"));
  }
  for (const socket of sockets) socket.close();
  report({
    name: "simulator: RSS with 1,000 clients open, MB",
    measured: Math.max(...sizes) / 1e6,
    target: { atMost: 150 },
  });
  report({
    name: "simulator: the same, last quarter of the run over the second",
    measured: median(sizes.slice(15)) / median(sizes.slice(5, 10)),
    target: { atMost: 1.1 },
  });
}
