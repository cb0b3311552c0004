#!/usr/bin/env -S deno run --allow-run --allow-net=127.0.0.1
/**
 * How long `deno task demo` takes from the command to the first trace that can be read, and what
 * all its processes hold together after a minute.
 *
 * @module
 */
import { choosePorts } from "../service/ports.ts";
import { treeMemory } from "./process_memory.ts";
import { median, report } from "./report.ts";

const runs = 5;
const settleMs = 60_000;

const startsMs: number[] = [];
for (let run = 0; run < runs - 1; run++) startsMs.push((await measure([], 0)).startMs);
const whole = await measure([], settleMs);
startsMs.push(whole.startMs);
report({
  name: `demo: command to first trace at /api/traces, median of ${runs}, s`,
  measured: median(startsMs) / 1_000,
  target: { atMost: 2 },
});
const orbOnly = await measure(["--only", "orb"], settleMs);
report({
  name: "demo: PSS of console and orb (--only orb) with demo and task, after a minute, MB",
  measured: orbOnly.memory!.pssBytes / 1e6,
  target: { atMost: 300 },
});
report({
  name: `demo: PSS of all ${whole.memory!.processes.length} processes after a minute, MB`,
  measured: whole.memory!.pssBytes / 1e6,
  target: { atMost: 440 },
});
report({ name: "demo: sum of their RSS, MB", measured: whole.memory!.rssBytes / 1e6 });
for (const { name, pssBytes } of whole.memory!.processes) {
  report({ name: `demo: PSS of ${name}, MB`, measured: pssBytes / 1e6 });
}

async function measure(flags: string[], stayMs: number) {
  const [consolePort] = choosePorts(0);
  const beginMs = performance.now();
  const child = new Deno.Command("deno", {
    args: ["task", "demo", "--free-ports", "--console-port", String(consolePort), ...flags],
    stdout: "null",
    stderr: "null",
  }).spawn();
  try {
    await firstTrace(`http://127.0.0.1:${consolePort}/api/traces?service=orb-server`);
    const startMs = performance.now() - beginMs;
    if (stayMs === 0) return { startMs, memory: undefined };
    await new Promise((resolve) => setTimeout(resolve, stayMs));
    return { startMs, memory: await treeMemory(child.pid) };
  } finally {
    child.kill("SIGTERM");
    await child.status;
  }
}

async function firstTrace(url: string): Promise<void> {
  const deadline = AbortSignal.timeout(60_000);
  while (true) {
    deadline.throwIfAborted();
    try {
      const response = await fetch(url, { signal: deadline });
      const answer = await response.json();
      if (answer.data?.length > 0) return;
    } catch (error) {
      // Nobody listens yet.
      if (!(error instanceof TypeError)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
