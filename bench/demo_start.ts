#!/usr/bin/env -S deno run --allow-run --allow-net=127.0.0.1
/**
 * How long `deno task demo` takes from the command to the first trace that can be read, and what
 * all its processes hold together after a minute.
 *
 * @module
 */
import { choosePorts } from "../stack/component.ts";
import { treeMemory } from "./process_memory.ts";
import { median, report } from "./report.ts";

const runs = 5;
const settleMs = 60_000;

const startsMs: number[] = [];
for (let run = 0; run < runs; run++) {
  const last = run === runs - 1;
  const { startMs, pss } = await measure(last ? settleMs : 0);
  startsMs.push(startMs);
  if (!last) continue;
  report({
    name: `demo: command to first trace at /api/traces, median of ${runs}, s`,
    measured: median(startsMs) / 1_000,
    target: { atMost: 5 },
  });
  report({
    name: "demo: PSS of all processes after a minute, MB",
    measured: pss!.pssBytes / 1e6,
    target: { atMost: 300 },
  });
  report({ name: "demo: sum of their RSS, MB", measured: pss!.rssBytes / 1e6 });
  for (const { name, pssBytes } of pss!.processes) {
    report({ name: `demo: PSS of ${name}, MB`, measured: pssBytes / 1e6 });
  }
}

async function measure(stayMs: number) {
  const [consolePort] = choosePorts(0);
  const beginMs = performance.now();
  const child = new Deno.Command("deno", {
    args: ["task", "demo", "--free-ports", "--console-port", String(consolePort)],
    stdout: "null",
    stderr: "null",
  }).spawn();
  try {
    await firstTrace(`http://127.0.0.1:${consolePort}/api/traces?service=orb-server`);
    const startMs = performance.now() - beginMs;
    if (stayMs === 0) return { startMs, pss: undefined };
    await new Promise((resolve) => setTimeout(resolve, stayMs));
    return { startMs, pss: await treeMemory(child.pid) };
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
