#!/usr/bin/env -S deno run --allow-net=127.0.0.1 --allow-read --allow-write --allow-run --allow-env --allow-sys
/**
 * Takes the pictures in `docs/screenshots/`: the console's page over a demo with all its programs, every
 * view in light and dark, on a phone, at 400 % zoom and in forced colours; empty, and broken.
 *
 * ```sh
 * deno task screenshots                          # those that the documents show
 * deno task screenshots /tmp/all                 # all, into a folder, to be reviewed
 * deno task screenshots /tmp/some map,charts     # of some views
 * ```
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { findChromium, openBrowser } from "../../service/testing/browser.ts";
import { eventually } from "../../service/testing/eventually.ts";
import {
  startProgram,
  startReadyProgram,
  type TestProgram,
} from "../../service/testing/program.ts";

/** Under what a view is seen. */
const conditions = {
  light: { viewport: { width: 1280, height: 800 } },
  dark: { viewport: { width: 1280, height: 800 }, colorScheme: "dark" },
  narrow: { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 },
  // What 1280 by 1024 pixels are to a page that is enlarged four times.
  zoomed: { viewport: { width: 320, height: 256 }, deviceScaleFactor: 4 },
  forced: { viewport: { width: 1280, height: 800 }, forcedColors: "active" },
} as const satisfies Record<string, BrowserContextOptions>;

type Condition = keyof typeof conditions;

/** A view, and how it gets there. */
interface Shot {
  view: string;
  path: string;
  /** Brings the page into the state to be shown. */
  prepare?: (page: Page) => Promise<unknown>;
  /** Go into the documents, under these conditions. */
  kept?: readonly Condition[];
}

const row = (page: Page, text: string) => page.locator(".trace-row", { hasText: text }).first();

const openTrace = (text: string) => async (page: Page) => {
  await row(page, text).click();
  await page.locator(".line").first().waitFor();
};

const openSpan = (text: string, span: RegExp) => async (page: Page) => {
  await openTrace(text)(page);
  await page.getByRole("treeitem", { name: span }).first().click();
  await page.locator(".detail").waitFor();
};

const clickLink = (text: string, link: string, shown: string) => async (page: Page) => {
  await openTrace(text)(page);
  await page.getByRole("link", { name: link }).click();
  await page.locator(shown).first().waitFor();
};

const compareTraces = async (page: Page) => {
  await clickLink("sign up", "Compare", ".trace-row")(page);
  await page.locator('a[href*="&b="]').nth(1).click();
  await page.locator(".compare-row").first().waitFor();
};

const isThere = (selector: string) => (page: Page) => page.locator(selector).first().waitFor();
const duration = "/charts?metric=http.server.request.duration";

const busyShots: readonly Shot[] = [
  { view: "map", path: "/map?tables=0", prepare: isThere(".map-node"), kept: ["light"] },
  { view: "map-tables", path: "/map?tables=1", prepare: isThere(".map-tables") },
  { view: "traces", path: "/", prepare: isThere(".trace-row"), kept: ["light"] },
  { view: "traces-paused", path: "/?paused=1", prepare: isThere(".new-pill") },
  { view: "traces-search", path: "/?q=service%3Dorb-server+status%3Derror" },
  { view: "traces-no-match", path: "/?q=nothing-is-called-this" },
  { view: "trace", path: "/?q=sign+and+verify", prepare: openTrace("sign and verify") },
  {
    view: "span",
    path: "/?q=sign+up",
    prepare: openSpan("sign up", /^(PUT|POST) /),
    kept: ["dark"],
  },
  { view: "trace-gone", path: "/traces/00000000000000000000000000000001" },
  {
    view: "flame",
    path: "/?q=sign+up",
    prepare: clickLink("sign up", "Flame graph", ".flame"),
  },
  { view: "compare", path: "/?q=sign+up", prepare: compareTraces },
  { view: "charts", path: "/charts", prepare: isThere(".u-over") },
  { view: "chart", path: duration, prepare: isThere(".u-over") },
  { view: "chart-groups", path: `${duration}&by=http.route`, prepare: isThere(".u-over") },
  {
    view: "chart-two",
    path: `${duration}&by=*&with=http.server.active_requests`,
    prepare: isThere(".u-over"),
  },
  { view: "logs", path: "/logs", prepare: isThere(".log-row") },
  { view: "log", path: "/logs", prepare: (page) => page.locator(".log-row").nth(3).click() },
  { view: "status", path: "/status", prepare: isThere(".service-link") },
  { view: "keys", path: "/", prepare: (page) => page.keyboard.press("?") },
  { view: "switch", path: "/map", prepare: (page) => page.locator(".switch summary").click() },
];

const emptyShots: readonly Shot[] = [
  { view: "empty", path: "/" },
  { view: "empty-map", path: "/map" },
  { view: "empty-charts", path: "/charts" },
  { view: "empty-logs", path: "/logs" },
];

/** What is to be taken. */
interface Taking {
  browser: Browser;
  origin: string;
  folder: string;
  /** Whether a view is wanted under a condition. */
  isWanted(shot: Shot, condition: Condition): boolean;
  /** Pictures that could not be taken: their names. */
  failed: string[];
}

async function takeShots(shots: readonly Shot[], taking: Taking): Promise<void> {
  for (const shot of shots) {
    for (const condition of Object.keys(conditions) as Condition[]) {
      if (taking.isWanted(shot, condition)) await take(shot, condition, taking);
    }
  }
}

async function take(
  shot: Shot,
  condition: Condition,
  { browser, origin, folder, failed }: Taking,
): Promise<void> {
  const name = `${shot.view}-${condition}`;
  const context = await browser.newContext({ reducedMotion: "reduce", ...conditions[condition] });
  try {
    context.setDefaultTimeout(15_000);
    const page = await context.newPage();
    page.on("pageerror", (error) => say(`${name}: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error") say(`${name}: ${message.text()}`);
    });
    await page.goto(origin + shot.path);
    await page.locator(".pill-live, .pill-paused").waitFor();
    await shot.prepare?.(page);
    await page.waitForFunction(() => document.querySelector(".skeleton") === null);
    await page.mouse.move(0, 0);
    await page.screenshot({ path: join(folder, `${name}.png`) });
  } catch (error) {
    // The others are worth having all the same; that one is missing is said at the end.
    say(`${name}: ${(error as Error).message}`);
    failed.push(name);
  } finally {
    await context.close();
  }
}

/** The page was there, and then its program was not. */
async function takeBroken({ browser, folder }: Taking): Promise<void> {
  for (const condition of ["light", "dark", "narrow"] as const) {
    await using viewer = await startConsole();
    await using context = await browser.newContext(conditions[condition]);
    const page = await context.newPage();
    await page.goto(viewer.fields.page!);
    await page.locator(".pill-live").waitFor();
    await viewer.stop({ force: true });
    await page.getByText("attempt 2").waitFor();
    await page.screenshot({ path: join(folder, `broken-${condition}.png`) });
  }
}

function startConsole() {
  return startReadyProgram("console/server.ts", ["--otlp-port", "0", "--page-port", "0"]);
}

/** A demo with all its programs; gives where its console's page is. */
async function startDemo(): Promise<{ demo: TestProgram; origin: string }> {
  const demo = await startProgram(new URL("../../demo.ts", import.meta.url), [
    ...["--free-ports", "--orbs", "12", "--signup-interval", "1"],
  ]);
  const [, origin] = await demo.line(/console +.*(http:\/\/127\.0\.0\.1:\d+)/, 180_000);
  return { demo, origin: origin! };
}

/** Waits until there is something worth a picture. */
async function enough(origin: string): Promise<void> {
  await eventually("telemetry worth a picture", async () => {
    const stats = await (await fetch(`${origin}/api/stats`)).json();
    return stats.traces.tracesHeld >= 600 && stats.metrics.received >= 3_000 || undefined;
  }, 180_000);
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

/** Gives the names of the pictures that could not be taken. */
async function takeAll(folder: string, isWanted: Taking["isWanted"]): Promise<string[]> {
  const chromium = findChromium();
  if (chromium === undefined) throw new Error("No Chromium was found. Install it first.");
  await Deno.mkdir(folder, { recursive: true });
  await using undo = new AsyncDisposableStack();
  const settings = await Deno.makeTempDir();
  undo.defer(() => Deno.remove(settings, { recursive: true }));
  const fonts = join(settings, "fonts.conf");
  await Deno.writeTextFile(fonts, fontSettings);
  const browser = await openBrowser(chromium, { env: { FONTCONFIG_FILE: fonts } });
  undo.defer(() => browser.close());
  const failed: string[] = [];
  {
    await using viewer = await startConsole();
    const origin = viewer.fields.page!;
    await takeShots(emptyShots, { browser, origin, folder, isWanted, failed });
  }
  const { demo, origin } = await startDemo();
  undo.use(demo);
  // As by Ctrl-C: killed, it could not remove its folder.
  undo.defer(async () => {
    demo.kill("SIGTERM");
    await demo.status;
  });
  await enough(origin);
  const taking = { browser, origin, folder, isWanted, failed };
  await takeShots(busyShots, taking);
  if (isWanted({ view: "broken", path: "/" }, "dark")) await takeBroken(taking);
  return failed;
}

if (import.meta.main) {
  const [folder, views] = Deno.args;
  const some = views?.split(",");
  const failed = await takeAll(
    folder ?? fileURLToPath(new URL("../../docs/screenshots", import.meta.url)),
    (shot, condition) =>
      folder === undefined
        ? shot.kept?.includes(condition) ?? false
        : some?.includes(shot.view) ?? true,
  );
  if (failed.length > 0) {
    say(`Not taken, an older picture may be there still: ${failed.join(", ")}`);
    Deno.exitCode = 1;
  }
}
