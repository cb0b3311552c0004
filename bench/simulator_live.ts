#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-env --allow-run --allow-sys
/**
 * How many orders a second go through both backends and come back, live, with SQLite and without
 * faults; beside it, in the same run, how many bare transactions SQLite commits a second. And whether the
 * live page stays smooth meanwhile: frames a second, in headless Chromium with software rendering.
 *
 * @module
 */
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { memoryBus } from "../service/bus/memory_bus.ts";
import { buildPage } from "../service/page/build.ts";
import { findChromium, openBrowser } from "../service/testing/browser.ts";
import { testContext } from "../service/testing/context.ts";
import type { LiveCounters, LiveState } from "../simulator/live/live_state.ts";
import { startLiveWorld } from "../simulator/live/live_world.ts";
import { framesPerSecond } from "./frames.ts";
import { report } from "./report.ts";
import { startSimulator } from "./simulator_programs.ts";

const wanted = 500;
/** More than can be had, so that it is seen how much can. */
const tooMany = 2_000;
/** Before it counts, and while it does. */
const seconds = { before: 2, counted: 10, page: 5 };
/** After so long what has not come back counts as lost. */
const limitMs = 60_000;

for (const durability of ["process-end", "power-loss"] as const) {
  const what = `simulator live, commits survive ${durability}`;
  const bare = await bareCommits(durability);
  const asked = await liveOrders(durability, wanted);
  report({
    name: `${what}: orders a second end to end, ${wanted} asked for`,
    measured: asked.perSecond,
    // Orders are counted when the stores are, each second, and placed each 50 ms.
    target: { atLeast: wanted * 0.99 },
  });
  report({ name: `${what}: milliseconds of processor time an order`, measured: asked.cpuMs });
  report({ name: `${what}: orders lost or left`, measured: asked.missing, target: { atMost: 0 } });
  const most = await liveOrders(durability, tooMany);
  report({
    name: `${what}: orders a second end to end, the most`,
    measured: most.perSecond,
    target: { atLeast: wanted },
  });
  report({ name: `${what}: bare SQLite commits a second`, measured: bare });
}
await page();

/** One row a transaction, one after the other: what the disk gives without grouping. */
async function bareCommits(durability: "power-loss" | "process-end"): Promise<number> {
  const folder = await Deno.makeTempDir();
  const database = new DatabaseSync(join(folder, "bare.sqlite"));
  try {
    database.exec("PRAGMA journal_mode = WAL");
    database.exec(`PRAGMA synchronous = ${durability === "power-loss" ? "FULL" : "NORMAL"}`);
    database.exec("CREATE TABLE orders (id INTEGER PRIMARY KEY, text TEXT)");
    const insert = database.prepare("INSERT INTO orders (text) VALUES (?)");
    let count = 0;
    const startMs = performance.now();
    while (performance.now() - startMs < 2_000) {
      database.exec("BEGIN IMMEDIATE");
      insert.run(`order ${count++}`);
      database.exec("COMMIT");
    }
    return count / ((performance.now() - startMs) / 1_000);
  } finally {
    database.close();
    await Deno.remove(folder, { recursive: true });
  }
}

/** What comes back while orders come in at a rate, and what has not once they have ended. */
async function liveOrders(durability: "power-loss" | "process-end", orderRate: number) {
  const live = await startLiveWorld({
    seed: 1,
    pattern: "outbox",
    instances: { apis: 3, relays: 3, lambdas: 3, processors: 3 },
    keys: 64,
    durability,
    orderRate,
    faults: [],
    openBus: () => Promise.resolve(memoryBus()),
  }, testContext());
  try {
    const counters = () => Promise.resolve(live.state().counters);
    const { perSecond, orders, cpuMs } = await rateOf(counters, seconds.counted);
    live.orderRate = 0;
    const endMs = performance.now() + limitMs;
    let missing = Infinity;
    while (missing > 0 && performance.now() < endMs) {
      await sleep(50);
      const { placed, confirmed } = live.state().counters;
      missing = placed - confirmed;
    }
    return { perSecond, cpuMs: cpuMs / orders, missing };
  } finally {
    await live.stop();
  }
}

/** How many orders come back a second, once it runs. */
async function rateOf(counters: () => Promise<LiveCounters>, countedSeconds: number) {
  await sleep(seconds.before * 1_000);
  const { confirmed: before } = await counters();
  const [startMs, cpu] = [performance.now(), process.cpuUsage()];
  await sleep(countedSeconds * 1_000);
  const { confirmed } = await counters();
  const elapsedMs = performance.now() - startMs;
  const { user, system } = process.cpuUsage(cpu);
  const orders = confirmed - before;
  return { perSecond: orders / (elapsedMs / 1_000), orders, cpuMs: (user + system) / 1_000 };
}

/** The page that shows and drives all of it, in a browser on the same machine. */
async function page(): Promise<void> {
  const chromium = findChromium();
  if (chromium === undefined) {
    report({ name: "simulator live: no Chromium was found, frames not measured", measured: 0 });
    return;
  }
  await buildPage("simulator-simulation");
  const flags = ["--live", "--order-rate", String(wanted), "--instances", "3", "--keys", "64"];
  for (const [what, given] of [["at rest", ["--live"]], ["under load", flags]] as const) {
    await using simulator = await startSimulator(given);
    const browser = await openBrowser(chromium);
    try {
      const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
      await page.goto(`${simulator.url}/simulation?view=live`);
      await page.locator(".run-figures").waitFor();
      const counters = async () =>
        (await (await fetch(`${simulator.url}/api/live`)).json() as LiveState).counters;
      const [{ perSecond }, frames] = await Promise.all([
        rateOf(counters, seconds.page),
        sleep(seconds.before * 1_000).then(() => framesPerSecond(page, seconds.page)),
      ]);
      report({ name: `simulator live, page ${what}: orders a second`, measured: perSecond });
      report({
        name: `simulator live, page ${what}: frames a second`,
        measured: frames,
        target: { atLeast: 55 },
      });
    } finally {
      await browser.close();
    }
  }
}

function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
