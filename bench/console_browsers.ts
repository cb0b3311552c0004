#!/usr/bin/env -S deno run --allow-run --allow-read --allow-write --allow-env --allow-net=127.0.0.1 --allow-sys
/**
 * Fifty browsers at one console, then twenty tabs of one: whether all are live, how soon a trace that
 * is exported stands on every page, and what the console pays for them while traces come in.
 *
 * A browser is a Chromium context: cookies, storage, shared worker and connections of its own, but
 * one program for all of them. They share the machine with the console: on a busy one the times say
 * how busy it is, the processor time says what a page costs.
 *
 * @module
 */
import type { Browser, Page } from "playwright-core";
import { sendTrace } from "../e2e/otlp_json.ts";
import { findChromium, openBrowser } from "../service/testing/browser.ts";
import { readStats, startConsole } from "./console_load.ts";
import { cpuSeconds, statusBytes } from "./process_memory.ts";
import { median, report } from "./report.ts";

const browsers = 50;
const tabs = 20;
const flowSeconds = 10;
const tracesPerSecond = 20;
const waitMs = 120_000;

type Viewer = Awaited<ReturnType<typeof startConsole>>;

const chromium = findChromium();
if (chromium === undefined) throw new Error("No Chromium was found: install one");
const viewer = await startConsole();
const browser = await openBrowser(chromium);
try {
  const otlp = { fields: { otlp: viewer.otlpUrl } };
  await sendTrace(otlp, { name: "first" });
  await flow("no page", viewer);
  await measure(`${browsers} browsers`, await openBrowsers(browser));
  await measure(`${tabs} tabs of one browser`, await openTabs(browser));
} finally {
  await browser.close();
  await viewer.stop();
}

async function openBrowsers(browser: Browser): Promise<Page[]> {
  const pages: Page[] = [];
  // One after the other: how many load at once is not the question.
  while (pages.length < browsers) {
    const context = await browser.newContext({ reducedMotion: "reduce" });
    pages.push(await context.newPage());
    await pages.at(-1)!.goto(viewer.pageUrl, { timeout: waitMs });
  }
  return pages;
}

async function openTabs(browser: Browser): Promise<Page[]> {
  const context = await browser.newContext({ reducedMotion: "reduce" });
  const pages: Page[] = [];
  while (pages.length < tabs) {
    pages.push(await context.newPage());
    await pages.at(-1)!.goto(viewer.pageUrl, { timeout: waitMs });
  }
  return pages;
}

async function measure(what: string, pages: Page[]): Promise<void> {
  const live = pages.map((page) => page.locator(".pill-live").waitFor({ timeout: waitMs }));
  await Promise.all(live);
  const { streams } = await readStats(viewer.pageUrl);
  report({ name: `${what}: live`, measured: streams, target: { atLeast: pages.length } });
  const slowest: number[] = [];
  for (let round = 0; round < 5; round++) {
    const name = `${what} ${round}`;
    const shown = pages.map((page) => page.getByText(name).waitFor({ timeout: waitMs }));
    const before = performance.now();
    await sendTrace({ fields: { otlp: viewer.otlpUrl } }, { name });
    await Promise.all(shown);
    slowest.push(performance.now() - before);
  }
  report({
    name: `${what}: a trace stands on every page, ms after its export, median of 5`,
    measured: median(slowest),
  });
  await flow(what, viewer);
  for (const context of new Set(pages.map((page) => page.context()))) await context.close();
}

/** What the console pays while traces come in. */
async function flow(what: string, { pid, otlpUrl }: Viewer): Promise<void> {
  const before = await cpuSeconds(pid);
  const startMs = performance.now();
  for (let sent = 0; sent < flowSeconds * tracesPerSecond; sent++) {
    await sendTrace({ fields: { otlp: otlpUrl } }, { name: `flow ${sent}` });
    const dueMs = startMs + (sent + 1) * 1_000 / tracesPerSecond;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueMs - performance.now())));
  }
  const seconds = (performance.now() - startMs) / 1_000;
  report({
    name: `${what}: share of a core that the console takes at ${tracesPerSecond} traces/s`,
    measured: (await cpuSeconds(pid) - before) / seconds,
  });
  report({
    name: `${what}: console's memory, MB`,
    measured: await statusBytes(pid, "VmRSS") / 1e6,
  });
}
