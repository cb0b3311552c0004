#!/usr/bin/env -S deno run --allow-net --allow-read --allow-env --allow-run
/**
 * How long it takes from SIGQUIT until `/metrics` shows the new look, for rkt (a new connection
 * each time) and for CRI (one that is kept); and whether 200 signals in a second are all counted.
 *
 * The time is taken by asking `/metrics` again and again from another process, so that a part of
 * it is the last of these requests.
 *
 * @module
 */
import { quantile, startObserverBench } from "./observer_programs.ts";
import { report } from "./report.ts";

const warmUps = 50;
const signals = 300;
const burst = 200;

for (const kind of ["rkt", "cri"] as const) {
  await using bench = await startObserverBench({ kinds: [kind] });
  const times: number[] = [];
  for (let signal = 1; signal <= warmUps + signals; signal++) {
    const startMs = performance.now();
    bench.observer.kill("SIGQUIT");
    while (await bench.counted(kind, "sigquit", "success") < signal);
    if (signal > warmUps) times.push(performance.now() - startMs);
  }
  report({
    name: `observer: signal to updated metric, ${kind}, p50, ms`,
    measured: quantile(times, 0.5),
    target: { atMost: 5 },
  });
  report({
    name: `observer: signal to updated metric, ${kind}, p99, ms`,
    measured: quantile(times, 0.99),
  });
}

await using bench = await startObserverBench({ kinds: ["rkt", "cri"] });
const startMs = performance.now();
for (let signal = 0; signal < burst; signal++) {
  bench.observer.kill("SIGQUIT");
  // The system merges two that come in the same instant, so a late one is not followed at once.
  const sentMs = performance.now();
  const nextMs = Math.max(startMs + (signal + 1) * 1_000 / burst, sentMs + 2);
  await new Promise((resolve) => setTimeout(resolve, nextMs - sentMs));
}
const seconds = (performance.now() - startMs) / 1_000;
let settled = 0;
/** Triggers of a store that are over, each either looked or shared another's look. */
async function over(kind: "rkt" | "cri"): Promise<number> {
  return await bench.counted(kind, "sigquit", "success") +
    await bench.counted(kind, "sigquit", "coalesced");
}
const counted = () => bench.sample("exp_sigquit_total");
// At rest when two looks a moment apart are the same.
for (let before = -1; before !== settled;) {
  before = settled;
  await new Promise((resolve) => setTimeout(resolve, 250));
  settled = await over("rkt") + await over("cri");
}
report({
  name: `observer: of ${burst} signals in ${seconds.toFixed(2)} s, counted`,
  measured: await counted(),
  target: { atLeast: burst },
});
for (const kind of ["rkt", "cri"] as const) {
  report({
    name: `observer: of them, looks at ${kind}`,
    measured: await bench.counted(kind, "sigquit", "success"),
  });
  report({
    name: `observer: of them, shared another's look at ${kind}`,
    measured: await bench.counted(kind, "sigquit", "coalesced"),
  });
}
