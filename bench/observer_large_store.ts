#!/usr/bin/env -S deno run --allow-net --allow-read --allow-env --allow-run
/**
 * How long a look at a store of 20,000 images takes when all come in one answer, and how much
 * memory the observer has then.
 *
 * @module
 */
import type { ObserveAnswer } from "../observer/api.ts";
import { quantile, startObserverBench } from "./observer_programs.ts";
import { statusBytes } from "./process_memory.ts";
import { report } from "./report.ts";

const images = 20_000;
const looks = 15;

for (const kind of ["rkt", "cri"] as const) {
  await using bench = await startObserverBench({ kinds: [kind], images, oneAnswer: true });
  const times: number[] = [];
  for (let look = 0; look < looks; look++) {
    const response = await fetch(`${bench.url}/observe`, { method: "POST" });
    const { observations: [observation] }: ObserveAnswer = await response.json();
    if (observation!.imageCount !== images) throw new Error(`Saw ${observation!.imageCount}`);
    times.push(observation!.durationMs);
  }
  const megabytes = async (field: string) => await statusBytes(bench.observer.pid, field) / 1e6;
  report({
    name: `observer: ${images} images in one answer, ${kind}, first look, ms`,
    measured: times[0]!,
  });
  report({
    name: `observer: ${images} images in one answer, ${kind}, p50, ms`,
    measured: quantile(times, 0.5),
    target: { atMost: 300 },
  });
  report({
    name: `observer: RSS after ${looks} such looks, ${kind}, MB`,
    measured: await megabytes("VmRSS"),
    target: { atMost: 150 },
  });
  report({ name: `observer: most RSS it had, ${kind}, MB`, measured: await megabytes("VmHWM") });
}
