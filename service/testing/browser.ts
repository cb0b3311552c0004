/**
 * For tests and screenshots of pages: a browser that is on this machine, and the one way to test a
 * page in it.
 *
 * @module
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import type { AxeResults, RunOptions } from "axe-core";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { buildPage } from "../page/build.ts";
import { missingPermissions } from "./permissions.ts";

const places = [
  // The same Blink without a browser's window around it, which has pages of its own that are drawn,
  // too: a page test takes half of the processor time (e2e/README.md).
  "/usr/bin/chromium-headless-shell",
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/usr/bin/google-chrome-stable",
  "/opt/google/chrome/chrome",
  "/snap/bin/chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
  "C:\\Program Files (x86)\\Google\\Chrome\\Application\\chrome.exe",
  "C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe",
] as const;

/** Chromium or a browser made of it, where one is usually installed; undefined if there is none. */
export function findChromium(): string | undefined {
  return places.find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      // Not there, or not to be seen: either way it cannot be started.
      return false;
    }
  });
}

/**
 * A name that points to this machine in the browsers of {@linkcode openBrowser}, which no server
 * knows as its own: what a page has whose name was rebound (a name reserved by RFC 2606).
 */
export const reboundName = "rebound.example";

/** Options of {@linkcode openBrowser}. */
export interface BrowserOptions {
  /** Added to the environment. @default nothing */
  env?: Record<string, string>;
  /**
   * Lets WebTransport trust every authority that pages are trusted by, also those of the user (whose home
   * `env` names), and not only the publicly known ones.
   *
   * @default false
   */
  ownAuthorities?: boolean;
}

/** Starts a browser without a window that asks nothing of the network by itself. */
export async function openBrowser(
  executablePath: string,
  { env, ownAuthorities = false }: BrowserOptions = {},
): Promise<Browser> {
  const { chromium } = await loadPlaywright();
  return await chromium.launch({
    executablePath,
    ...(env && { env: { ...Deno.env.toObject(), ...env } }),
    // As root, as in a container, Chromium has no sandbox; it opens nothing but our own pages.
    args: [
      "--no-sandbox",
      `--host-resolver-rules=MAP ${reboundName} 127.0.0.1`,
      "--disable-gpu",
      // Without QUIC of its own Chromium forgets what WebTransport is allowed.
      ownAuthorities ? "--webtransport-developer-mode" : "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/**
 * While it loads, playwright asks `/proc/sys` whether it is in WSL, which Deno allows to nobody but
 * `--allow-all`, and it fails where Node would say no. Here the answer is no.
 */
async function loadPlaywright(): Promise<typeof import("playwright-core")> {
  const { existsSync } = fs;
  fs.existsSync = (path) => {
    try {
      return existsSync(path);
    } catch {
      return false;
    }
  };
  try {
    return await import("playwright-core");
  } finally {
    fs.existsSync = existsSync;
  }
}

/** A page of its own in the browser, as a case of {@linkcode testPage} gets it. */
export interface Tab {
  readonly page: Page;
  /** Its cookies, storage and permissions, shared with nobody. */
  readonly context: BrowserContext;
  readonly browser: Browser;
  /**
   * What the browser complained about: script errors, content that the page's policy blocks. A case
   * that leaves any fails; one that provokes them empties the list.
   */
  readonly complaints: string[];
}

/** Options of {@linkcode testPage}. */
export interface PageTest<Fixture> {
  /** The folder whose page it is, which is built first: `console`. */
  page: string;
  /**
   * Starts what a case needs and loads the page, or leaves that to the case. `undo` gets what has
   * to end with the case; it does so after the tab is closed.
   */
  open(tab: Tab, undo: AsyncDisposableStack): Promise<Fixture>;
  /** The cases by their names; each has a tab and a fixture of its own. */
  cases: Readonly<Record<string, (test: Tab & Fixture) => Promise<void>>>;
  /**
   * The longest wait for anything on the page, in milliseconds.
   *
   * @default 60_000
   */
  timeoutMs?: number;
}

/**
 * Tests a page in a real browser, each case a step; without a browser or a permission that it
 * takes, the test is ignored with the reason in its name.
 *
 * @example
 * ```ts
 * testPage("console page", {
 *   page: "console",
 *   async open({ page }, undo) {
 *     const console = undo.use(await startReadyProgram("console/server.ts", ["--page-port", "0"]));
 *     await page.goto(console.fields.page!);
 *     return { console };
 *   },
 *   cases: {
 *     async "says that nothing has come yet"({ page }) {
 *       await page.getByText("Waiting for the first trace").waitFor();
 *     },
 *   },
 * });
 * ```
 */
export function testPage<Fixture>(name: string, test: PageTest<Fixture>): void {
  testWithBrowser(name, async (browser, t) => {
    await buildPage(test.page);
    for (const [name, run] of Object.entries(test.cases)) {
      await t.step(name, () => runCase(browser, test, run));
    }
  });
}

/**
 * `Deno.test` with a browser that ends with it; ignored, with the reason in its name, where there is
 * none or a permission that it takes is missing.
 *
 * @example
 * ```ts
 * testWithBrowser("a page of another port is refused", async (browser) => {
 *   const page = await browser.newPage();
 * });
 * ```
 */
export function testWithBrowser(
  name: string,
  run: (browser: Browser, t: Deno.TestContext) => Promise<void>,
): void {
  const missing = missingPermissions(
    (["read", "write", "run", "env", "net", "sys"] as const).map((name) => ({ name })),
  );
  const chromium = missing.length === 0 ? findChromium() : undefined;
  const reason = missing.length > 0
    ? ` (ignored: needs ${missing.map((one) => `--allow-${one}`).join(" ")})`
    : chromium === undefined
    ? " (ignored: no Chromium was found)"
    : "";
  Deno.test({
    name: name + reason,
    ignore: reason !== "",
    async fn(t) {
      const browser = await openBrowser(chromium!);
      try {
        await run(browser, t);
      } finally {
        await browser.close();
      }
    },
  });
}

async function runCase<Fixture>(
  browser: Browser,
  { open, timeoutMs = 60_000 }: PageTest<Fixture>,
  run: (test: Tab & Fixture) => Promise<void>,
): Promise<void> {
  await using undo = new AsyncDisposableStack();
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    reducedMotion: "reduce",
  });
  try {
    context.setDefaultTimeout(timeoutMs);
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (message) => {
      if (/content security policy/i.test(message.text())) complaints.push(message.text());
    });
    const tab: Tab = { page, context, browser, complaints };
    await run({ ...tab, ...await open(tab, undo) });
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

/** How much a finding of axe hinders a person. */
export type AxeImpact = "minor" | "moderate" | "serious" | "critical";

/**
 * What axe finds on the page as it is now that hinders people who cannot see or point, each as the
 * rule with the HTML of the first place.
 *
 * @param impacts only findings that are as grave as one of these. @default all
 *
 * @example
 * ```ts
 * assert.deepEqual(await axeFindings(page, ["serious", "critical"]), []);
 * ```
 */
export async function axeFindings(page: Page, impacts?: readonly AxeImpact[]): Promise<string[]> {
  const { default: axe } = await import("axe-core");
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => {
    const { axe } = globalThis as unknown as {
      axe: { run(options: RunOptions): Promise<AxeResults> };
    };
    // Nothing is read of what passes, and describing that is half of the work.
    return axe.run({ resultTypes: ["violations"] });
  });
  return violations
    .filter(({ impact }) => impacts === undefined || impacts.includes(impact!))
    .map(({ id, nodes }) => `${id}: ${nodes[0]!.html}`);
}
