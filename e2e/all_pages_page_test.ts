/**
 * What every page of Orrery owes to who sees little, or not as others do: forced colours, 400 % zoom,
 * no motion. One table of pages; the programs are started once.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { decode } from "fast-png";
import type { Browser, Locator, Page } from "playwright-core";
import { generateCertificates } from "../pingpong/gen_certs.ts";
import { buildPage, findPages } from "../service/page/build.ts";
import { testWithBrowser } from "../service/testing/browser.ts";
import { eventually } from "../service/testing/eventually.ts";
import { type ReadyProgram, startProgram, startReadyProgram } from "../service/testing/program.ts";
import { testSimulator } from "../simulator/test_simulator.ts";
import { startConsole } from "./console_fixture.ts";
import { childId, post, resource, sendLog, sendMetric, sendTrace, span } from "./otlp_json.ts";

/** A page, and what of it matters. */
interface PageCase {
  url: string;
  /** There when the page has come. */
  ready: string;
  /**
   * What must be seen in forced colours: selectors of what only a colour draws, and the least share of
   * its box that is not the background.
   */
  drawn?: Readonly<Record<string, number>>;
  /** What must be reachable at 400 %: its box is whole on the screen once it is scrolled to. */
  usable: string;
}

/** 1280 × 1024 at 400 %. */
const zoomed = { width: 320, height: 256 };
/** A part of a page that scrolls is not squeezed to less, in pixels: two lines of text and air. */
const leastScrolled = 64;

testWithBrowser(
  "every page in forced colours, at 400 % zoom, on a phone, without motion, with clear fields, in the theme chosen",
  async (browser, t) => {
    for (const name of await findPages()) await buildPage(name);
    await using undo = new AsyncDisposableStack();
    const folder = await Deno.makeTempDir();
    undo.defer(() => Deno.remove(folder, { recursive: true }));
    const pages = await startAll(undo, folder);
    await t.step(
      "a theme that is chosen on one page is that of all, whatever their ports",
      () => isThemeShared(browser, Object.values(pages).map(({ url }) => url)),
    );
    for (const [name, one] of Object.entries(pages)) {
      await t.step(name, async () => {
        const context = await browser.newContext({ reducedMotion: "reduce" });
        try {
          context.setDefaultTimeout(60_000);
          const page = await context.newPage();
          await page.goto(one.url);
          await page.locator(one.ready).first().waitFor();
          await standsStill(page);
          await hasClearFields(page);
          await isSeenInForcedColors(page, one);
          await isUsableAtFourTimes(page, one);
          await saysWhichProgram(page);
        } finally {
          await context.close();
        }
      });
    }
  },
);

async function isThemeShared(browser: Browser, urls: readonly string[]): Promise<void> {
  const context = await browser.newContext({ colorScheme: "light" });
  try {
    context.setDefaultTimeout(60_000);
    const page = await context.newPage();
    const origins = [...new Set(urls.map((url) => new URL(url).origin))];
    await page.goto(origins[0]!);
    await page.getByRole("button", { name: /^Theme/ }).click();
    await page.getByRole("button", { name: /^Theme: light/ }).click();
    await page.getByRole("button", { name: /^Theme: dark/ }).waitFor();
    for (const url of urls) {
      await page.goto(url, { waitUntil: "commit" });
      await page.locator('html[data-theme="dark"]').waitFor();
    }
    assert.ok(origins.length > 5, origins.join());
  } finally {
    await context.close();
  }
}

/** On a phone there is no room for both names: that of the program stays. */
async function saysWhichProgram(page: Page): Promise<void> {
  await page.setViewportSize({ width: 360, height: 740 });
  const name = page.locator(".brand-program");
  await name.waitFor();
  const { x, width } = await boxOf(name);
  assert.ok(width > 10 && x >= 0 && x + width <= 360, `${await name.textContent()} at ${x}`);
}

async function startAll(
  undo: AsyncDisposableStack,
  folder: string,
): Promise<Record<string, PageCase>> {
  const start = async (entry: string, args: string[]) =>
    undo.use(await startReadyProgram(entry, args));
  const console = undo.use(
    // So few that the meter of what is held has a width.
    await startConsole(undefined, ["--max-spans", "100"]),
  );
  const orb = await start("orb/server.ts", ["--orb-api-port", "0", "--data-dir", `${folder}/orb`]);
  const images = await start("observer/image_service.ts", ["--rkt-port", "0", "--cri-port", "0"]);
  const observer = await start("observer/observer.ts", [
    ...["--metrics-address", "127.0.0.1:0", "--endpoint", `cri=${images.fields.cri}`],
  ]);
  const [signer, pingpong] = [await startSigner(undo, folder), await startPingpong(undo, folder)];
  const simulator = undo.use(await testSimulator());
  await report(orb);
  await (await fetch(`${observer.fields.page}/observe`, { method: "POST" })).body?.cancel();
  return {
    ...await consoleCases(console),
    orb: { url: orb.fields.url!, ready: ".orb-mark", drawn: { ".orb-mark": 0.2 }, usable: "h1" },
    signer: { url: signer, ready: ".pill-live", usable: "button.send" },
    observer: {
      url: observer.fields.page!,
      ready: ".image-row",
      drawn: { ".state-mark": 0.2 },
      usable: ".image-row",
    },
    pingpong: {
      url: pingpong,
      ready: ".histograms rect",
      drawn: { ".mode-mark": 0.6, ".u-over": 0.0005 },
      usable: ".figures-table tbody tr",
    },
    simulator: { url: simulator.url, ready: ".recent", usable: ".search input" },
    simulation: {
      url: `${simulator.url}/simulation`,
      ready: ".event-words",
      usable: ".transport-step",
    },
  };
}

async function consoleCases(console: ReadyProgram): Promise<Record<string, PageCase>> {
  const traceId = await sendTrace(console, { name: "PUT /orders", failed: "card declined" });
  for (let i = 0; i < 20; i++) await sendTrace(console, { name: `GET /cart/${i}` });
  // Another service, so that there are shares, and a call on the map.
  await post(console, "/v1/traces", {
    resourceSpans: [resource("bank", "scopeSpans", {
      spans: [{
        ...span({ traceId, spanId: "00000000000000d1", name: "authorize", kind: 2 }),
        parentSpanId: childId,
      }],
    })],
  });
  await sendLog(console, { body: "disk is full", severityNumber: 17, traceId });
  await sendMetric(console, { name: "shop.order.duration", agoMs: 20_000 });
  const url = console.fields.page!;
  return {
    traces: {
      url,
      ready: ".trace-row",
      drawn: { ".duration-bar span": 0.6, ".trace-row .service-mark": 0.2 },
      usable: ".trace-row",
    },
    trace: {
      url: `${url}/traces/${traceId}`,
      ready: ".line",
      drawn: { ".bar": 0.6, ".share-bar span": 0.6 },
      usable: ".line",
    },
    charts: {
      url: `${url}/charts?metric=shop.order.duration&by=*`,
      ready: ".heat canvas",
      drawn: { ".heat canvas": 0.01, ".line-sample": 0.1 },
      usable: ".legend li",
    },
    logs: { url: `${url}/logs`, ready: ".log-row", usable: ".log-row" },
    status: {
      url: `${url}/status`,
      ready: ".service-link",
      drawn: { ".meter span": 0.3 },
      usable: ".service-link",
    },
    map: {
      url: `${url}/map?tables=0`,
      ready: ".map-node",
      drawn: { ".map-node": 0.1 },
      usable: ".map-node",
    },
    flame: {
      url: `${url}/flame?trace=${traceId}`,
      ready: ".flame",
      drawn: { ".flame": 0.6 },
      usable: ".flame",
    },
    compare: {
      url: `${url}/compare?a=${traceId}&b=${traceId}`,
      ready: ".compare-row",
      drawn: { ".compare-bar span": 0.6 },
      usable: ".compare-row",
    },
  };
}

async function startSigner(undo: AsyncDisposableStack, folder: string): Promise<string> {
  const program = undo.use(
    await startProgram(new URL("../signer/rest_api.ts", import.meta.url), [
      ...["--port", "0", "--data-dir", `${folder}/signer`],
    ]),
  );
  return (await program.line(/Listening url=(\S+)/))[1]!;
}

async function startPingpong(undo: AsyncDisposableStack, folder: string): Promise<string> {
  const [certificatePath, keyPath] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  await generateCertificates({ certificatePath, keyPath, pinPath: join(folder, "cert.sha256") });
  const program = undo.use(
    await startProgram(new URL("../pingpong/server.ts", import.meta.url), [
      ...["--port", "0", "--page-port", "0", "--https-port", "0", "--log-level", "debug"],
      ...["--certificate-path", certificatePath, "--key-path", keyPath],
    ]),
  );
  const [, port] = await program.line(/WebSocket at http:\/\/127\.0\.0\.1:(\d+)/);
  return `http://127.0.0.1:${port}/?interval=20`;
}

/** A device that says that it is there. */
async function report(orb: ReadyProgram): Promise<void> {
  const response = await fetch(`${orb.fields.url}/v2/orbs/orb-1/status`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ timestamp: new Date().toISOString(), status_interval_sec: 600 }),
  });
  assert.equal(response.status, 200, await response.text());
}

/** Nothing moves by itself where a person wants no motion. */
async function standsStill(page: Page): Promise<void> {
  const moving = await page.evaluate(() =>
    document.getAnimations().filter(({ playState }) => playState === "running")
      .map((one) => (one.effect as KeyframeEffect).target?.className ?? "?")
  );
  assert.deepEqual(moving, []);
}

/** Borders of fields and buttons stand out from what is around them by 3:1 (WCAG 1.4.11). */
async function hasClearFields(page: Page): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    const faint = await page.evaluate(() => {
      type Color = [r: number, g: number, b: number, alpha: number];
      const canvas = document.createElement("canvas").getContext("2d", {
        willReadFrequently: true,
      })!;
      /** Whatever way the browser writes it. */
      function parse(color: string): Color {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, alpha] = canvas.getImageData(0, 0, 1, 1).data;
        return [r!, g!, b!, alpha!];
      }
      const luminance = ([r, g, b]: Color) => {
        const [x, y, z] = [r, g, b].map((one) => {
          const share = one / 255;
          return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * x! + 0.7152 * y! + 0.0722 * z!;
      };
      function around(element: Element): Color {
        for (let at = element.parentElement; at !== null; at = at.parentElement) {
          const color = parse(getComputedStyle(at).backgroundColor);
          if (color[3] === 255) return color;
        }
        return [255, 255, 255, 255];
      }
      const fields =
        'input:not([type="checkbox"], [type="radio"], [type="range"], [type="file"]), ' +
        "select, textarea, .search, .button:not(:disabled), .choice";
      return [...document.querySelectorAll<HTMLElement>(fields)].flatMap((field) => {
        const { borderTopWidth, borderTopColor } = getComputedStyle(field);
        if (field.getClientRects().length === 0 || parseFloat(borderTopWidth) === 0) return [];
        if (field.getAttribute("aria-disabled") === "true") return [];
        const [a, b] = [luminance(parse(borderTopColor)), luminance(around(field))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const name = `${field.tagName} ${field.className} ${field.textContent?.slice(0, 20)}`;
        return contrast >= 3 ? [] : [`${name}: ${contrast.toFixed(2)}`];
      });
    });
    assert.deepEqual(faint, [], colorScheme);
  }
  await page.emulateMedia({ colorScheme: "light" });
}

async function isSeenInForcedColors(page: Page, { drawn = {} }: PageCase): Promise<void> {
  await page.emulateMedia({ forcedColors: "active" });
  for (const [selector, share] of Object.entries(drawn)) {
    const seen = await drawnShare(page, selector);
    assert.ok(seen >= share, `${selector}: ${seen} of it is drawn`);
  }
  const tabs = page.locator(".views a");
  for (let i = 0; i < await tabs.count(); i++) {
    const tab = tabs.nth(i);
    const box = await boxOf(tab);
    const line = { x: box.x, y: Math.floor(box.y + box.height) - 2, width: box.width, height: 1 };
    const current = await tab.getAttribute("aria-current") !== null;
    const seen = shareOf(await page.screenshot({ clip: line }));
    assert.ok(current ? seen > 0.9 : seen < 0.1, `${await tab.textContent()}: ${seen} of its line`);
  }
  await page.emulateMedia({ forcedColors: "none" });
}

/** Where it is. It is nowhere for a moment while the page draws it anew. */
function boxOf(element: Locator) {
  return eventually("its box", async () => await element.boundingBox() ?? undefined);
}

/** How much of the first such element's box is not the background's colour. */
async function drawnShare(page: Page, selector: string): Promise<number> {
  const element = page.locator(selector).first();
  await element.waitFor();
  await element.scrollIntoViewIfNeeded();
  const box = await boxOf(element);
  const clip = {
    x: Math.floor(box.x),
    y: Math.floor(box.y),
    width: Math.max(1, Math.round(box.width)),
    height: Math.max(1, Math.round(box.height)),
  };
  return shareOf(await page.screenshot({ clip }));
}

/** Forced colours have a white background here. */
function shareOf(png: Uint8Array): number {
  const { data, channels, width, height } = decode(png);
  let other = 0;
  for (let i = 0; i < data.length; i += channels) {
    if (data[i]! + data[i + 1]! + data[i + 2]! < 3 * 225) other++;
  }
  return other / (width * height);
}

async function isUsableAtFourTimes(page: Page, { usable }: PageCase): Promise<void> {
  await page.setViewportSize(zoomed);
  const element = page.locator(usable).first();
  await element.waitFor({ state: "attached" });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), zoomed.width);
  const squeezed = await page.evaluate(
    (least) =>
      [...document.querySelectorAll("main, main *")].filter((one) => {
        const { overflowY } = getComputedStyle(one);
        return ["auto", "scroll"].includes(overflowY) && one.clientHeight > 0 &&
          one.scrollHeight > one.clientHeight + 1 && one.clientHeight < least;
      }).map((one) => `${one.className}: ${one.clientHeight} px`),
    leastScrolled,
  );
  assert.deepEqual(squeezed, []);
  await element.scrollIntoViewIfNeeded();
  const { y, height } = await boxOf(element);
  assert.ok(y >= -1 && y < zoomed.height && height >= 10, `${usable} at ${y}, ${height} high`);
  const isOnTop = await element.evaluate((one) => {
    const { left, top, width, height } = one.getBoundingClientRect();
    const [x, y] = [left + Math.min(width, 320 - left) / 2, top + Math.min(height, 256 - top) / 2];
    const there = document.elementFromPoint(x, y);
    return there !== null && (one.contains(there) || there.contains(one));
  });
  assert.ok(isOnTop, `${usable} is not covered`);
}
