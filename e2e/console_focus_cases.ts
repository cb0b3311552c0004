/**
 * Cases of the console's page: the keyboard's way through it, where the focus is after each close, and
 * what is said aloud.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import type { Tab } from "../service/testing/browser.ts";
import { type Fixture, row, rows } from "./console_fixture.ts";
import { listen } from "./live_regions.ts";
import { childId, sendLog, sendMetric, sendTrace } from "./otlp_json.ts";

const item = (page: Page, name: RegExp) => page.getByRole("treeitem", { name });

/** Waits until what has the focus fits. */
async function focused(page: Page, selector: string, text = ""): Promise<void> {
  await page.waitForFunction(
    ([selector, text]) => {
      const active = document.activeElement;
      return active?.matches(selector!) && active.textContent?.includes(text!);
    },
    [selector, text],
  );
}

/** Stops of Tab in the view, from its first one on. */
async function tabStops(page: Page): Promise<number> {
  await page.locator("main").focus();
  let stops = 0;
  while (stops < 100) {
    await page.keyboard.press("Tab");
    if (!await page.evaluate(() => document.activeElement?.closest("main") !== null)) return stops;
    stops++;
  }
  return stops;
}

/** The cases. */
export const focusCases: Record<string, (test: Tab & Fixture) => Promise<void>> = {
  async "a trace is a tree: arrows fold and unfold it, and what is open follows them"(
    { console, page },
  ) {
    const traceId = await sendTrace(console, { name: "PUT /orders" });
    await sendLog(console, { body: "charging the card", traceId, spanId: childId });
    await page.goto(`${console.fields.page}/traces/${traceId}`);
    const [root, child, log] = [/^PUT/, /^charge card/, /charging the card/].map((name) =>
      item(page, name)
    );
    await log!.waitFor();
    await root!.focus();
    assert.equal(await root!.getAttribute("aria-expanded"), "true");
    await page.keyboard.press("ArrowLeft");
    await child!.waitFor({ state: "detached" });
    await focused(page, '[role="treeitem"][aria-expanded="false"][aria-level="1"]', "PUT");
    await page.keyboard.press("ArrowRight");
    await child!.waitFor();
    await page.keyboard.press("ArrowRight");
    await focused(page, '[role="treeitem"][aria-level="2"]', "charge card");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowLeft");
    await child!.waitFor({ state: "detached" });
    await page.keyboard.press("ArrowRight");

    // Opening it takes the focus; from the tree it follows, and the focus stays in the tree.
    await page.keyboard.press("Enter");
    await focused(page, ".detail-title", "PUT");
    await root!.focus();
    await page.keyboard.press("ArrowDown");
    await page.waitForURL((url) => url.searchParams.get("span") === childId);
    await focused(page, '[role="treeitem"][aria-selected="true"]', "charge card");
    await page.keyboard.press("ArrowDown");
    await page.getByRole("complementary", { name: "Log record" }).waitFor();
    await focused(page, '[role="treeitem"]', "charging the card");
    await page.keyboard.press("Escape");
    await page.locator(".detail").waitFor({ state: "detached" });
    await focused(page, '[role="treeitem"]', "charging the card");
  },

  async "whatever is closed, the focus is where one was, or near it"({ console, page }) {
    const traceId = await sendTrace(console, { name: "PUT /orders" });
    await sendLog(console, { body: "disk is full" });
    await sendMetric(console, { name: "shop.order.duration" });
    const url = console.fields.page!;
    // A page that begins with something open.
    await page.goto(`${url}/traces/${traceId}?span=${childId}`);
    await page.locator(".detail").waitFor();
    await page.getByRole("button", { name: "Close" }).focus();
    await page.keyboard.press("Enter");
    await page.locator(".detail").waitFor({ state: "detached" });
    await focused(page, "main");

    await page.goto(`${url}/logs`);
    await page.locator(".log-row").focus();
    await page.keyboard.press("Enter");
    await focused(page, ".detail-title");
    await page.keyboard.press("Escape");
    await focused(page, ".log-row", "disk is full");
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    await page.keyboard.press("Escape");
    await focused(page, ".log-row", "disk is full");

    // Buttons that go with what they do.
    await page.goto(`${url}/charts?metric=shop.order.duration&from=1&to=2`);
    await page.getByRole("button", { name: "Show all of it" }).focus();
    await page.keyboard.press("Enter");
    await focused(page, ".metric-detail *");
    await page.goto(`${url}/?compare=${traceId}`);
    await page.getByRole("button", { name: "Cancel" }).focus();
    await page.keyboard.press("Enter");
    await page.waitForURL((url) => url.search === "");
    await page.waitForFunction(() => document.activeElement !== document.body);
  },

  async "Charts has a stop of Tab for each group, whatever the number of metrics"(
    { console, page },
  ) {
    for (let i = 0; i < 12; i++) {
      await sendMetric(console, { name: `shop.metric.${i}`, attributes: { route: `/${i % 2}` } });
      await sendMetric(console, { name: `shop.metric.${i}`, attributes: { route: "/more" } });
    }
    await page.goto(`${console.fields.page}/charts?metric=shop.metric.0`);
    await page.getByRole("region", { name: "Series" }).getByRole("link").first().waitFor();
    // Search, service, range, list; detail: grouping, figure, other metric, links, series, and room to scroll.
    const stops = await tabStops(page);
    assert.ok(stops >= 8 && stops <= 12, `${stops} stops`);
    await page.locator('.metric-list [aria-current="true"]').focus();
    await page.keyboard.press("ArrowDown");
    await focused(page, ".metric-link", "shop.metric.1");
    await page.keyboard.press("End");
    await focused(page, ".metric-link", "shop.metric.9");
  },

  async "a live list says that there is something new once, not with each row"({ console, page }) {
    await sendTrace(console, { name: "before" });
    await page.goto(console.fields.page!);
    await rows(page, 1);
    const said = await listen(page);
    for (let i = 0; i < 5; i++) {
      await sendTrace(console, { name: `live ${i}` });
      await row(page, `live ${i}`).waitFor();
    }
    assert.deepEqual(await said(), []);
    await page.keyboard.press("p");
    await page.getByText("Paused").waitFor();
    for (let i = 0; i < 5; i++) await sendTrace(console, { name: `waits ${i}` });
    await page.getByRole("button", { name: "5 new" }).waitFor();
    assert.deepEqual(await said(), ["Paused", "New rows wait"]);
  },
};
