#!/usr/bin/env -S deno run --allow-net --allow-read --allow-env --allow-run
/**
 * How long `/metrics` takes under 100 requests a second, while the stores are looked at ten times a
 * second.
 *
 * @module
 */
import { quantile, startObserverBench } from "./observer_programs.ts";
import { report } from "./report.ts";

const perSecond = 100;
const warmUpSeconds = 2;
const seconds = 10;

await using bench = await startObserverBench({ kinds: ["rkt", "cri"] });
const times: number[] = [];
const waiting: Promise<void>[] = [];
const looks = setInterval(() => bench.observer.kill("SIGQUIT"), 100);
const startMs = performance.now();
for (let request = 0; request < (warmUpSeconds + seconds) * perSecond; request++) {
  // Sent when it is due, whether the one before has been answered or not.
  const dueMs = startMs + request * 1_000 / perSecond;
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueMs - performance.now())));
  waiting.push(scrape(request >= warmUpSeconds * perSecond));
}
await Promise.all(waiting);
clearInterval(looks);

async function scrape(counts: boolean): Promise<void> {
  const sentMs = performance.now();
  await (await fetch(`${bench.url}/metrics`)).text();
  if (counts) times.push(performance.now() - sentMs);
}

report({
  name: `observer: /metrics at ${perSecond} requests a second, p50, ms`,
  measured: quantile(times, 0.5),
});
report({
  name: `observer: /metrics at ${perSecond} requests a second, p99, ms`,
  measured: quantile(times, 0.99),
  target: { atMost: 5 },
});
