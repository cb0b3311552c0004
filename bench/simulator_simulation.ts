#!/usr/bin/env -S deno run --v8-flags=--max-semi-space-size=16,--single-threaded-gc,--no-memory-pool,--no-incremental-marking,--heap-growing-percent=30,--no-maglev-destroy-on-background --allow-read --allow-sys
/**
 * How fast orders go through two backends in virtual time: events a second on one core beside a toy
 * that has only the heap, the log and its hash; seeds of 200 orders; virtual time to real. Seconds are
 * of processor time, those of the collector's and compiler's threads included, as others may use the machine.
 *
 * @module
 */
import process from "node:process";
import TinyQueue from "tinyqueue";
import { explore } from "../simulator/simulation/explore.ts";
import { newLogHash } from "../simulator/simulation/log_hash.ts";
import { runSimulation } from "../simulator/simulation/run.ts";
import { runJob } from "../simulator/simulation/sweep_job.ts";
import { median, report } from "./report.ts";

/** Processor time of this process until now, in milliseconds. */
function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

/** What a loop costs that does nothing: a heap, a line and its hash for each event. */
function toyEventsPerSecond(events: number): number {
  const began = processorMs();
  const queue = new TinyQueue<{ at: number }>([], (a, b) => a.at - b.at);
  const hash = newLogHash();
  let text = "";
  for (let at = 0; at < 64; at++) queue.push({ at });
  for (let count = 0; count < events; count++) {
    const event = queue.pop()!;
    text += `${String(event.at).padStart(11)} event          part         subject  detail\n`;
    if (text.length > 65_536) {
      hash.update(text);
      text = "";
    }
    queue.push({ at: event.at + 1 + (count * 7) % 61 });
  }
  hash.digest();
  return events / (processorMs() - began) * 1_000;
}

/** Events a second, log and hash included, and virtual milliseconds a real one. */
function simulatedRates(): { events: number; faster: number } {
  const began = processorMs();
  let [events, virtualMs] = [0, 0];
  for (let seed = 1; seed <= 60; seed++) {
    const run = runSimulation({ seed });
    events += run.events;
    virtualMs += run.virtualMs;
  }
  const elapsedMs = processorMs() - began;
  return { events: events / elapsedMs * 1_000, faster: virtualMs / elapsedMs };
}

function main(): void {
  const rounds = Array.from({ length: 5 }, () => ({
    toy: toyEventsPerSecond(300_000),
    simulated: simulatedRates(),
  }));
  const events = median(rounds.map(({ simulated }) => simulated.events));
  const toy = median(rounds.map(({ toy }) => toy));
  const faster = median(rounds.map(({ simulated }) => simulated.faster));
  report({
    name: "simulated events/s on one core, log and hash included",
    measured: events,
    target: { atLeast: 250_000 },
  });
  report({
    name: "the same, as a share of a toy's that has heap, log and hash",
    measured: events / toy,
  });
  report({ name: "virtual time to real", measured: faster });
  const began = processorMs();
  const seeds = Array.from({ length: 100 }, (_, index) => index + 1);
  const { failures } = runJob({ seeds, plant: 0, given: { orders: 200 } });
  report({
    name: "a seed of 200 orders on one core, ms (10,000 in 3 minutes on two cores)",
    measured: (processorMs() - began) / seeds.length,
    target: { atMost: 36 },
  });
  report({ name: "alarms among them", measured: failures.length, target: { atMost: 0 } });
  const exploring = processorMs();
  const { runs, failures: found } = explore({ orders: 2, faults: 2 });
  report({
    name: `explore, s, of ${runs[1]} single faults and ${runs[2]} pairs`,
    measured: (processorMs() - exploring) / 1_000,
    target: { atMost: 120 },
  });
  report({ name: "failures that it finds", measured: found.length, target: { atMost: 0 } });
}

if (import.meta.main) main();
