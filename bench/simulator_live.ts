#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-env
/**
 * How many orders a second go through both backends and come back, live, with SQLite and without
 * faults; beside it, in the same run, how many bare transactions SQLite commits a second.
 *
 * @module
 */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { memoryBus } from "../service/bus/memory_bus.ts";
import { testContext } from "../service/testing/context.ts";
import { startLiveWorld } from "../simulator/live/live_world.ts";
import { report } from "./report.ts";

const ordersPerSecond = 500;
const seconds = 10;
const orders = ordersPerSecond * seconds;
/** After so long what has not come back does not count. */
const limitMs = 120_000;

for (const durability of ["process-end", "power-loss"] as const) {
  const bare = await bareCommits(durability);
  const live = await liveOrders(durability);
  const what = `simulator live, commits survive ${durability}`;
  report({
    name: `${what}: orders a second end to end, of ${ordersPerSecond} asked for`,
    measured: live.perSecond,
    // By the whole run: the last orders come back after the last was placed.
    ...(durability === "process-end" && { target: { atLeast: ordersPerSecond * 0.9 } }),
  });
  report({ name: `${what}: bare SQLite commits a second`, measured: bare });
  report({ name: `${what}: orders for each bare commit`, measured: live.perSecond / bare });
  report({ name: `${what}: orders lost or left`, measured: live.missing, target: { atMost: 0 } });
}

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

async function liveOrders(
  durability: "power-loss" | "process-end",
): Promise<{ perSecond: number; missing: number }> {
  const live = await startLiveWorld({
    seed: 1,
    pattern: "outbox",
    instances: { apis: 3, relays: 3, lambdas: 3, processors: 3 },
    keys: 64,
    durability,
    orderRate: 0,
    faults: [],
    openBus: () => Promise.resolve(memoryBus()),
  }, testContext());
  try {
    const startMs = performance.now();
    live.orderRate = ordersPerSecond;
    const { placed: before } = live.state().counters;
    let confirmed = before;
    let endMs = startMs;
    while (confirmed < orders && performance.now() - startMs < limitMs) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      const counters = live.state().counters;
      if (counters.placed >= orders) live.orderRate = 0;
      if (counters.confirmed > confirmed) {
        [confirmed, endMs] = [counters.confirmed, performance.now()];
      }
    }
    return {
      perSecond: confirmed / ((endMs - startMs) / 1_000),
      missing: Math.max(0, orders - confirmed),
    };
  } finally {
    await live.stop();
  }
}
