#!/usr/bin/env -S deno run --allow-run --allow-read --allow-net=127.0.0.1
/**
 * How many spans a second the console takes in on one core while a page is connected, whether its
 * memory stays flat once its buffers are full, and whether the page is still served.
 *
 * The console runs in a process of its own, on one core where `taskset` can pin it; this process
 * makes the load: protobuf, batches of 512 spans, six attributes a span, eight spans a trace, every
 * trace new.
 *
 * @module
 */
import type { StatsEvent, TracesEvent } from "../console/page_api/stream_events.ts";
import { readStats, startConsole, startLoad } from "./console_load.ts";
import { cpuSeconds } from "./process_memory.ts";
import { median, report } from "./report.ts";

const warmUpMs = 8_000;
const measureMs = 20_000;
const targetSpansPerSecond = 90_000;
const targetGrowth = 1.1;

const console_ = await startConsole();
try {
  const page = followStream(console_.pageUrl);
  const load = startLoad(console_.otlpUrl);
  await sleep(warmUpMs);

  const samples: StatsEvent[] = [];
  const before = await readStats(console_.pageUrl);
  page.reset();
  const cpuBefore = await cpuSeconds(console_.pid);
  const startMs = performance.now();
  while (performance.now() - startMs < measureMs) {
    await sleep(1_000);
    samples.push(await readStats(console_.pageUrl));
  }
  const seconds = (performance.now() - startMs) / 1_000;
  const cpu = await cpuSeconds(console_.pid) - cpuBefore;
  const after = samples.at(-1)!;
  const seen = page.seen();
  await load.stop();
  await page.stop();

  const rss = samples.map(({ memory }) => memory.rssBytes / 1e6);
  const quarter = Math.ceil(rss.length / 4);
  const pinned = console_.pinned ? "pinned to one core" : "not pinned: no taskset here";
  report({
    name: `console: spans taken in a second, a page connected (${pinned})`,
    measured: (after.traces.received - before.traces.received) / seconds,
    target: { atLeast: targetSpansPerSecond },
  });
  report({ name: "console: share of its core that it used", measured: cpu / seconds });
  report({
    name: "console: spans taken in a second of its CPU time",
    measured: (after.traces.received - before.traces.received) / cpu,
  });
  report({
    name: "console: RSS with full buffers, last quarter of the run over the first",
    measured: median(rss.slice(-quarter)) / median(rss.slice(0, quarter)),
    target: { atMost: targetGrowth },
  });
  print(`console: RSS by second, MB: ${rss.map((value) => value.toFixed(0)).join(" ")}`);
  report({ name: "console: spans held", measured: after.traces.held });
  report({ name: "console: estimated bytes held, MB", measured: after.memory.heldBytes / 1e6 });
  report({ name: "console: spans evicted", measured: after.traces.evicted });
  report({ name: "console: spans refused", measured: refusedCount(after) });
  report({
    name: "page: longest silence of the stream, ms",
    measured: seen.longestSilenceMs,
    target: { atMost: 1_500 },
  });
  report({ name: "page: rows a second", measured: seen.rows / seconds });
  report({ name: "page: traces behind these rows, a second", measured: seen.seen / seconds });
  report({
    name: "load: answers other than 200",
    measured: load.failures(),
    target: { atMost: 0 },
  });
} finally {
  await console_.stop();
}

function followStream(pageUrl: string) {
  const cut = new AbortController();
  let rows = 0;
  let seen = 0;
  let longestSilenceMs = 0;
  let lastMs = performance.now();

  async function follow(): Promise<void> {
    const response = await fetch(`${pageUrl}/api/stream?signals=traces`, { signal: cut.signal });
    let rest = "";
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      const nowMs = performance.now();
      longestSilenceMs = Math.max(longestSilenceMs, nowMs - lastMs);
      lastMs = nowMs;
      const events = (rest + chunk).split("\n\n");
      rest = events.pop()!;
      for (const event of events) {
        if (!event.startsWith("event: traces\n")) continue;
        const data = event.slice(event.indexOf("\ndata: ") + 7);
        const { sampled } = JSON.parse(data) as TracesEvent;
        rows += sampled.shown;
        seen += sampled.seen;
      }
    }
  }

  const done = follow().catch((error) => {
    if (!cut.signal.aborted) throw error;
  });
  return {
    reset() {
      [rows, seen, longestSilenceMs] = [0, 0, 0];
    },
    seen: () => ({ rows, seen, longestSilenceMs }),
    async stop() {
      cut.abort();
      await done;
    },
  };
}

function refusedCount({ traces }: StatsEvent): number {
  return Object.values(traces.refused).reduce((sum, count) => sum + count, 0);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
