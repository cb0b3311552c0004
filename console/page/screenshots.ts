#!/usr/bin/env -S deno run --allow-net=127.0.0.1 --allow-read --allow-write --allow-run --allow-env --allow-sys
/**
 * Takes the pictures in `docs/screenshots/`: the real console with real programs sending to it, in
 * light and dark, wide and narrow, empty, busy and broken.
 *
 * ```sh
 * deno task screenshots              # those that the documents show
 * deno task screenshots /tmp/all     # all states, into a folder, to be reviewed
 * ```
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { findChromium, openBrowser } from "../../service/testing/browser.ts";
import { type ReadyProgram, startReadyProgram } from "../../service/testing/program.ts";

/** A picture: its name, where it is taken, what is done before. */
interface Shot {
  name: string;
  path: string;
  /** Brings the page into the state to be shown. */
  prepare?: (page: Page) => Promise<void>;
  theme?: "light" | "dark";
  narrow?: true;
  /** Goes into the documents. */
  kept?: true;
}

const wide = { width: 1280, height: 800 };
const phone = { width: 390, height: 780 };

const openTrace = (errors: boolean) => async (page: Page) => {
  const rows = page.locator(".trace-row", { hasText: "sign up" });
  await rows.filter(errors ? { hasText: "error" } : { hasNotText: "error" }).first().click();
  await page.locator(".line").first().waitFor();
};

const openSpan = (errors: boolean) => async (page: Page) => {
  await openTrace(errors)(page);
  await page.getByRole("treeitem", { name: /^POST \/api\/signup/ }).click();
  await page.locator(".detail").waitFor();
};

const chartDrawn = async (page: Page) => {
  await page.locator(".u-over").first().waitFor();
};

const busyShots: Shot[] = [
  { name: "traces-light", path: "/", theme: "light", kept: true },
  { name: "traces-dark", path: "/", theme: "dark" },
  { name: "traces-narrow", path: "/", narrow: true },
  { name: "traces-paused", path: "/?paused=1", prepare: (page) => newRows(page) },
  { name: "traces-no-match", path: "/?q=nothing-is-called-this" },
  { name: "trace-light", path: "/", theme: "light", prepare: openTrace(false) },
  { name: "trace-dark", path: "/", theme: "dark", prepare: openSpan(true), kept: true },
  { name: "trace-narrow", path: "/", narrow: true, prepare: openTrace(true), kept: true },
  { name: "span-narrow", path: "/", narrow: true, prepare: openSpan(true) },
  { name: "trace-gone", path: "/traces/00000000000000000000000000000001" },
  {
    name: "chart-light",
    path: "/charts?metric=http.server.request.duration",
    theme: "light",
    prepare: chartDrawn,
    kept: true,
  },
  {
    name: "chart-dark",
    path: "/charts?metric=orb.store.commit.duration",
    theme: "dark",
    prepare: chartDrawn,
  },
  { name: "charts-narrow", path: "/charts", narrow: true },
  {
    name: "chart-narrow",
    path: "/charts?metric=orb.signups",
    narrow: true,
    prepare: chartDrawn,
  },
  { name: "logs-light", path: "/logs", theme: "light" },
  {
    name: "logs-dark",
    path: "/logs",
    theme: "dark",
    prepare: (page) => page.locator(".log-row").nth(3).click(),
  },
  { name: "logs-narrow", path: "/logs", narrow: true },
  { name: "status-light", path: "/status", theme: "light" },
  { name: "status-narrow", path: "/status", narrow: true },
  { name: "keys-dark", path: "/", theme: "dark", prepare: (page) => page.keyboard.press("?") },
];

const emptyShots: Shot[] = [
  { name: "empty-light", path: "/", theme: "light", kept: true },
  { name: "empty-narrow", path: "/logs", narrow: true },
];

const brokenShots: Shot[] = [{ name: "broken-dark", path: "/", theme: "dark" }];

async function newRows(page: Page): Promise<void> {
  await page.locator(".new-pill").waitFor();
}

/** A real orb server and a fleet of orbs that sign up with it. */
async function startOrbs(console: ReadyProgram, dataFolder: string): Promise<ReadyProgram[]> {
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: console.fields.otlp!,
    OTEL_BSP_SCHEDULE_DELAY: "200",
    OTEL_METRIC_EXPORT_INTERVAL: "2000",
    OTEL_METRIC_EXPORT_TIMEOUT: "1000",
  };
  const server = await startReadyProgram(
    "orb/server.ts",
    ["--orb-api-port", "0", "--data-dir", dataFolder],
    { env },
  );
  const fleet = await startReadyProgram("orb/client.ts", [
    ...["--orb-server", server.fields.url!, "--orb-signup-interval", "1", "--orbs", "12"],
    ...["--telemetry-url", `${server.fields.url}/api/telemetry`, "--telemetry-interval", "0"],
    ...["--images", "fresh", "--repeat-ratio", "0.15"],
  ], { env, anyLine: true });
  return [fleet, server];
}

async function take(browser: Browser, shot: Shot, origin: string, folder: string): Promise<void> {
  const context = await browser.newContext({
    viewport: shot.narrow ? phone : wide,
    deviceScaleFactor: shot.narrow ? 2 : 1,
    colorScheme: shot.theme ?? "light",
    reducedMotion: "reduce",
  });
  try {
    const page = await context.newPage();
    page.on("pageerror", (error) => say(`${shot.name}: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error") say(`${shot.name}: ${message.text()}`);
    });
    await page.goto(origin + shot.path);
    await page.locator(".pill-live, .pill-paused").waitFor();
    await shot.prepare?.(page);
    await page.waitForFunction(() => document.querySelector(".skeleton") === null);
    await page.mouse.move(0, 0);
    await page.screenshot({ path: join(folder, `${shot.name}.png`) });
  } finally {
    await context.close();
  }
}

/** The page was there, and then its program was not. */
async function takeBroken(
  browser: Browser,
  console: ReadyProgram,
  folder: string,
): Promise<void> {
  for (const shot of brokenShots) {
    const context = await browser.newContext({
      viewport: wide,
      colorScheme: shot.theme ?? "light",
    });
    const page = await context.newPage();
    await page.goto(console.fields.page + shot.path);
    await page.locator(".trace-row").first().waitFor();
    await console.stop({ force: true });
    await page.getByText("attempt 2").waitFor();
    await page.screenshot({ path: join(folder, `${shot.name}.png`) });
    await context.close();
  }
}

/**
 * What a desktop calls its system font is not set on a bare machine, which would show the page in
 * its last resort. Where Inter is installed it stands in for it.
 */
const fontSettings = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  ${
  ["system-ui", "sans-serif"].map((family) =>
    `<match target="pattern"><test name="family"><string>${family}</string></test><edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match>`
  ).join("\n  ")
}
</fontconfig>
`;

function say(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${text}\n`));
}

async function takeAll(folder: string, all: boolean): Promise<void> {
  const chromium = findChromium();
  if (chromium === undefined) throw new Error("No Chromium was found. Install it first.");
  await Deno.mkdir(folder, { recursive: true });
  const wanted = (shots: Shot[]) => shots.filter((shot) => all || shot.kept);
  const dataFolder = await Deno.makeTempDir();
  const console = await startReadyProgram("console/server.ts", [
    "--otlp-port",
    "0",
    "--page-port",
    "0",
  ]);
  const others: ReadyProgram[] = [];
  const fonts = join(dataFolder, "fonts.conf");
  await Deno.writeTextFile(fonts, fontSettings);
  const browser = await openBrowser(chromium, { env: { FONTCONFIG_FILE: fonts } });
  try {
    for (const shot of wanted(emptyShots)) await take(browser, shot, console.fields.page!, folder);
    others.push(...await startOrbs(console, dataFolder));
    await enough(console.fields.page!);
    for (const shot of wanted(busyShots)) await take(browser, shot, console.fields.page!, folder);
    if (all) await takeBroken(browser, console, folder);
  } finally {
    await browser.close();
    for (const program of others) await program.stop();
    await console.stop();
    await Deno.remove(dataFolder, { recursive: true });
  }
}

/** Waits until there is something worth a picture. */
async function enough(origin: string): Promise<void> {
  for (;;) {
    const stats = await (await fetch(`${origin}/api/stats`)).json();
    if (stats.traces.tracesHeld >= 500 && stats.metrics.received >= 1_500) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

if (import.meta.main) {
  const folder = Deno.args[0];
  await takeAll(
    folder ?? fileURLToPath(new URL("../../docs/screenshots", import.meta.url)),
    folder !== undefined,
  );
}
