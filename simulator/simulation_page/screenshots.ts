#!/usr/bin/env -S deno run --allow-net=127.0.0.1 --allow-read --allow-write --allow-run --allow-env --allow-sys
/**
 * Takes the pictures of the simulation's page in `docs/screenshots/`.
 *
 * ```sh
 * deno task screenshots              # those that the documents show
 * simulator/simulation_page/screenshots.ts /tmp/all     # all views, into a folder, to be reviewed
 * ```
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { findChromium, openBrowser } from "../../service/testing/browser.ts";
import { startReadyProgram } from "../../service/testing/program.ts";

/** A picture: its name, what of the page it shows. */
interface Shot {
  readonly name: string;
  /** Parameters of the page's address. @default "" */
  readonly view?: string;
  readonly theme?: "dark";
  readonly narrow?: true;
  readonly prepare?: (page: Page) => Promise<void>;
  /** Of a server with a topology that runs. */
  readonly live?: true;
  /** Goes into the documents. */
  readonly kept?: true;
}

const compare = async (page: Page) => {
  await page.locator(".tour-question").waitFor();
  await page.getByRole("link", { name: "Compare" }).click();
  await page.getByRole("button", { name: "The same decisions by outbox" }).click();
  await page.getByText("equal up to here").waitFor();
  // The position is remembered in the address by then.
  await page.waitForURL(/at=\d+/);
  await page.getByRole("button", { name: "To the end" }).click();
  await page.getByRole("button", { name: "Confirmed: 1 of 1 orders" }).waitFor();
};

/** Some orders are there, some wait for a bus that refuses. */
const liveOrders = async (page: Page) => {
  await page.locator(".run-figures").waitFor();
  await page.getByRole("button", { name: "Place 20" }).click();
  await page.waitForFunction(() =>
    /confirmed\s*[1-9]/i.test(document.querySelector(".run-figures")!.textContent!)
  );
};

const delayAtPoint = async (page: Page) => {
  await page.getByLabel("Kind of fault at point 2").selectOption("delay");
  await page.getByText("1 fault on").waitFor();
  await page.getByLabel("Point 2, delay: which way").selectOption("back");
  await page.getByRole("button", { name: /one way: back.*settings of point 2/ }).waitFor();
};

const shots: readonly Shot[] = [
  { name: "simulation-light", kept: true },
  { name: "simulation-dark", theme: "dark" },
  { name: "simulation-narrow", narrow: true },
  {
    name: "simulation-compare-dark",
    view: "view=tour&scene=6",
    theme: "dark",
    prepare: compare,
    kept: true,
  },
  { name: "simulation-events-light", view: "view=events" },
  { name: "simulation-card-light", view: "message=o3" },
  { name: "simulation-point-light", view: "point=2", prepare: delayAtPoint },
  { name: "simulation-point-narrow", view: "point=2&tab=faults", narrow: true, theme: "dark" },
  { name: "simulation-tour-light", view: "view=tour" },
  { name: "simulation-faults-narrow", view: "tab=faults", narrow: true, theme: "dark" },
  { name: "simulation-time-narrow", view: "tab=time", narrow: true },
  { name: "simulation-live-light", view: "view=live", live: true, prepare: liveOrders },
  {
    name: "simulation-live-dark",
    view: "view=live",
    theme: "dark",
    live: true,
    prepare: liveOrders,
  },
  {
    name: "simulation-live-point-dark",
    view: "view=live&point=8",
    theme: "dark",
    live: true,
    prepare: liveOrders,
  },
  {
    name: "simulation-live-narrow",
    view: "view=live",
    narrow: true,
    live: true,
    prepare: liveOrders,
  },
];

async function takeAll(folder: string, all: boolean): Promise<void> {
  const chromium = findChromium();
  if (chromium === undefined) throw new Error("No Chromium was found. Install it first.");
  await Deno.mkdir(folder, { recursive: true });
  await using server = await startReadyProgram("simulator/server.ts", [
    ...["--port", "0", "--web-port", "0"],
  ]);
  let running: Awaited<ReturnType<typeof startLive>> | undefined;
  const browser = await openBrowser(chromium);
  try {
    for (const { name, view = "", theme, narrow, prepare, live, kept } of shots) {
      if (!all && !kept) continue;
      const { fields } = live ? (running ??= await startLive()) : server;
      const context = await browser.newContext({
        viewport: narrow ? { width: 360, height: 740 } : { width: 1280, height: 800 },
        deviceScaleFactor: narrow ? 2 : 1,
        colorScheme: theme ?? "light",
        reducedMotion: "reduce",
      });
      const page = await context.newPage();
      await page.goto(`${fields.page}/simulation?${view}`);
      await prepare?.(page);
      await page.waitForFunction(() =>
        document.querySelector(".topology, .event-row, .fault-list, .timeline") !== null &&
        document.querySelector(".skeleton") === null
      );
      await page.screenshot({ path: join(folder, `${name}.png`) });
      await context.close();
    }
  } finally {
    await browser.close();
    await running?.[Symbol.asyncDispose]();
  }
}

async function startLive() {
  const program = await startReadyProgram("simulator/server.ts", [
    ...["--port", "0", "--web-port", "0", "--live", "--seed", "7"],
    ...["--fault", "point=2,kind=refuse,probability=0.3"],
    ...["--fault", "point=8,kind=delay,probability=0.5"],
  ]);
  // What it says first is that the topology runs.
  const { input } = await program.line(/^\{.*"page":/, 60_000);
  return Object.assign(program, { fields: JSON.parse(input!).fields as { page: string } });
}

if (import.meta.main) {
  const [folder] = Deno.args;
  const kept = fileURLToPath(new URL("../../docs/screenshots/", import.meta.url));
  await takeAll(folder ?? kept, folder !== undefined);
}
