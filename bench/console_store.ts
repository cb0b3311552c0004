#!/usr/bin/env -S deno run --allow-run --allow-read --allow-write --allow-net=127.0.0.1
/**
 * What `--store` costs: the console's processor time a span with it and without, the thread that
 * writes included, in pairs. The machine may be busy: rates are not compared.
 *
 * @module
 */
import { readStats, startConsole, startLoad } from "./console_load.ts";
import { cpuSeconds } from "./process_memory.ts";
import { median, report } from "./report.ts";

const pairs = 5;
const warmUpSpans = 60_000;
const spans = 150_000;

const folder = await Deno.makeTempDir();
try {
  const ratios: number[] = [];
  const rates: number[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    const flags = ["--store", `${folder}/${pair}.sqlite`];
    const first = pair % 2 === 0 ? [] : flags;
    const one = await spansPerCpuSecond(first);
    const other = await spansPerCpuSecond(first.length === 0 ? flags : []);
    const [without, withStore] = first.length === 0 ? [one, other] : [other, one];
    ratios.push(withStore / without);
    rates.push(withStore);
  }
  report({
    name:
      `console: intake with --store over without, by processor time (median of ${pairs} pairs, ${
        Math.min(...ratios).toFixed(2)
      } to ${Math.max(...ratios).toFixed(2)})`,
    measured: median(ratios),
    target: { atLeast: 0.7 },
  });
  report({
    name: "console: spans taken in a second of processor time, with --store",
    measured: median(rates),
    target: { atLeast: 60_000 },
  });
} finally {
  await Deno.remove(folder, { recursive: true });
}

async function spansPerCpuSecond(flags: readonly string[]): Promise<number> {
  const viewer = await startConsole(flags);
  try {
    await startLoad(viewer.otlpUrl, { spans: warmUpSpans }).done;
    const before = await readStats(viewer.pageUrl);
    const cpuBefore = await cpuSeconds(viewer.pid);
    await startLoad(viewer.otlpUrl, { spans }).done;
    const after = await readStats(viewer.pageUrl);
    const cpu = await cpuSeconds(viewer.pid) - cpuBefore;
    if (after.store !== null && after.store.dropped > 0) {
      throw new Error(`${after.store.dropped} requests were not written`);
    }
    return (after.traces.received - before.traces.received) / cpu;
  } finally {
    await viewer.stop();
  }
}
