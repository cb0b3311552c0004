#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write --allow-env --allow-run --allow-sys
/**
 * Frames a second of the simulator's stage with moving sprites, in headless Chromium with software
 * rendering, beside what a bare canvas of the same size reaches there; and how long the simulation's
 * page takes to go anywhere in a run of 10,000 events, its drawing not counted.
 *
 * @module
 */
import type { Page } from "playwright-core";
import { realWorld } from "../service/world/world.ts";
import { buildPage } from "../service/page/build.ts";
import { findChromium, openBrowser } from "../service/testing/browser.ts";
import { runFleet } from "../simulator/fleet.ts";
import { encodeRun } from "../simulator/simulation_page/link.ts";
import { framesPerSecond } from "./frames.ts";
import { median, report } from "./report.ts";
import { startSimulator } from "./simulator_programs.ts";

const seconds = 5;

/** A canvas as large as the stage on which as many squares move, and nothing else. */
async function bareCanvas(page: Page, sprites: number): Promise<number> {
  await page.setContent("<canvas width=960 height=597></canvas>");
  await page.evaluate((count) => {
    const context = document.querySelector("canvas")!.getContext("2d", { alpha: false })!;
    const draw = () => {
      context.fillStyle = "#fff";
      context.fillRect(0, 0, 960, 597);
      context.fillStyle = "#0072b2";
      for (let i = 0; i < count; i++) {
        const sway = Math.sin(performance.now() / 900 + i) * 3;
        context.fillRect(i * 37 % 950 + sway, i * 17 % 590 + sway, 8, 8);
      }
      requestAnimationFrame(draw);
    };
    draw();
  }, sprites);
  return await framesPerSecond(page, seconds);
}

/** Goes to places all over a long run; gives how long each took, in milliseconds. */
async function seekTimes(page: Page, url: string): Promise<number[]> {
  // 260 orders are some 12,000 events.
  const code = encodeRun({ seed: 7, given: { orders: 260 } });
  await page.goto(`${url}/simulation?run=${code}&at=0`);
  await page.locator(".run-figures").waitFor();
  const text = await page.locator(".transport-event").innerText();
  const events = Number(/of ([\d,]+)/.exec(text)![1]!.replaceAll(",", ""));
  if (events < 10_000) throw new Error(`The run has ${events} events, fewer than 10,000`);
  return await page.evaluate(async ([name, seeks]) => {
    const slider = document.querySelector<HTMLInputElement>(".transport-seek input")!;
    const times: number[] = [];
    for (let i = 0; i < seeks; i++) {
      // As often as a person looks somewhere else.
      await new Promise((resolve) => setTimeout(resolve, 500));
      performance.clearMeasures(name);
      // Far apart, and every other time backwards.
      slider.value = String(Number(slider.max) * ((i * 0.618) % 1));
      slider.dispatchEvent(new Event("input", { bubbles: true }));
      while (performance.getEntriesByName(name).length === 0) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      times.push(performance.getEntriesByName(name)[0]!.duration);
    }
    return times;
  }, ["simulation seek", 50] as const);
}

const chromium = findChromium();
if (chromium === undefined) {
  report({ name: "simulator page: no Chromium was found, frames not measured", measured: 0 });
} else {
  await buildPage("simulator");
  for (const [sprites, target] of [[200, 60], [2_000, 30], [10_000, undefined]] as const) {
    await using simulator = await startSimulator();
    const stop = new AbortController();
    const fleet = runFleet({
      host: "127.0.0.1",
      port: simulator.port,
      processes: sprites,
      rate: sprites / 2,
      connections: Math.min(sprites, 200),
      signal: stop.signal,
      world: realWorld,
    });
    const browser = await openBrowser(chromium);
    try {
      const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
      const bare = await bareCanvas(page, sprites);
      await page.goto(simulator.url);
      await page.getByText("Live", { exact: true }).waitFor();
      await page.waitForTimeout(3_000);
      const measured = await framesPerSecond(page, seconds);
      report({
        name: `simulator page: frames a second with ${sprites} sprites`,
        measured,
        // A display of 60 Hz is counted as 59.9 now and then.
        ...(target !== undefined && { target: { atLeast: target === 60 ? 59 : target } }),
      });
      report({ name: `simulator page: a bare canvas with ${sprites} squares`, measured: bare });
    } finally {
      await browser.close();
      stop.abort();
      await fleet;
    }
  }
  await buildPage("simulator-simulation");
  await using simulator = await startSimulator();
  const browser = await openBrowser(chromium);
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    const times = await seekTimes(page, simulator.url);
    report({
      name: "simulation page: milliseconds to go anywhere in 10,000 events, the slowest of 50",
      measured: Math.max(...times),
      target: { atMost: 100 },
    });
    report({
      name: "simulation page: milliseconds of a seek, the median",
      measured: median(times),
    });
  } finally {
    await browser.close();
  }
}
