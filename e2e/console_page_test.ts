/**
 * The console's page in a real browser, against the real console, with real OTLP: what it shows and
 * how it is used.
 *
 * @module
 */
import assert from "node:assert/strict";
import { axeFindings, type Tab, testPage } from "../service/testing/browser.ts";
import { eventually } from "../service/testing/eventually.ts";
import { type Fixture, open, row, rows } from "./console_fixture.ts";
import { chartCases } from "./console_chart_cases.ts";
import { reachCases } from "./console_reach_cases.ts";
import { traceCases } from "./console_trace_cases.ts";
import { quoted } from "../console/queries/search_language.ts";
import { childId, sendLog, sendMetric, sendTrace } from "./otlp_json.ts";

/** Runs in the page: what is to be pressed but lies beyond the edge, where nothing scrolls it in. */
function beyondTheEdge(): string[] {
  const scrolls = (one: Element | null): boolean =>
    one !== null &&
    (["auto", "scroll"].includes(getComputedStyle(one).overflowX) &&
        one.scrollWidth > one.clientWidth || scrolls(one.parentElement));
  return [...document.querySelectorAll<HTMLElement>("a, button, select, input")]
    .filter((one) => one.checkVisibility() && !scrolls(one.parentElement))
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5)
    .map((one) => one.textContent || one.outerHTML.slice(0, 80));
}

const cases: Record<string, (test: Tab & Fixture) => Promise<void>> = {
  async "filters are in the address, and back undoes them"({ console, page }) {
    await sendTrace(console, { name: "GET /cart" });
    await sendTrace(console, { name: "PUT /orders", failed: "card declined" });
    await sendTrace(console, { name: "slow export", durationMs: 2_000 });
    await page.goto(console.fields.page!);
    await rows(page, 3);

    await page.getByLabel("Errors only").check();
    await rows(page, 1);
    await row(page, "PUT /orders").waitFor();
    assert.equal(new URL(page.url()).search, "?errors=1");
    await page.goBack();
    await rows(page, 3);
    assert.equal(await page.getByLabel("Errors only").isChecked(), false);

    await page.getByLabel("At least").fill("1.5s");
    await page.getByLabel("At least").press("Enter");
    await rows(page, 1);
    await row(page, "slow export").waitFor();
    await page.goBack();
    await rows(page, 3);

    await page.locator(".search input").fill("cart");
    await rows(page, 1);
    await sendTrace(console, { name: "GET /cart/2" });
    await sendTrace(console, { name: "GET /other" });
    await rows(page, 2);
    await page.reload();
    await rows(page, 2);
    assert.equal(await page.locator(".search input").inputValue(), "cart");
  },

  async "a search is completed, says what is wrong with it, and is in the address"(
    { console, page },
  ) {
    await sendTrace(console, { name: "GET /cart", attributes: { "http.route": "/cart" } });
    await sendTrace(console, { name: "PUT /orders", failed: "card declined" });
    await page.goto(console.fields.page!);
    await rows(page, 2);
    const field = page.locator(".search input");
    await field.click();
    await page.keyboard.type("http.ro");
    await page.getByRole("option", { name: /^http\.route/ }).waitFor();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.getByRole("option", { name: "/cart" }).click();
    await rows(page, 1);
    await row(page, "GET /cart").waitFor();
    assert.equal(await field.inputValue(), "http.route=/cart ");
    await page.waitForURL((url) => url.searchParams.get("q") === "http.route=/cart");

    await field.fill("status=error duration>0ms");
    await row(page, "PUT /orders").waitFor();
    await rows(page, 1);
    await field.fill("duration>soon");
    await page.getByText("duration is compared with a duration").waitFor();
    // What cannot be read is no filter, and no reason to be cut off.
    await rows(page, 2);
    await page.locator(".pill-live").waitFor();
  },

  async "text of strangers is shown as text and runs nothing"({ console, page, complaints }) {
    const image = `<img src=x onerror="window.ran='img'">`;
    const script = `<script>window.ran='script'</script>`;
    const link = `javascript:window.ran='link'`;
    await page.goto(console.fields.page!);
    const traceId = await sendTrace(console, {
      service: `${image}shop`,
      name: `${script}${image}GET /`,
      failed: `${image}no`,
      attributes: { [`${image}key`]: `${script}value`, "url.full": link },
    });
    await sendLog(console, { service: `${script}shop`, body: `${image}${script}log`, traceId });
    await sendMetric(console, { name: `${image}metric`, attributes: { route: `${script}/` } });

    await row(page, `${script}${image}GET /`).click();
    await page.getByRole("treeitem", { name: /^charge card/ }).click();
    const detail = page.getByRole("complementary", { name: "Span" });
    await detail.getByText(`${image}key`).waitFor();
    await detail.getByText(`${script}value`).waitFor();
    await detail.getByText(`${image}no`).waitFor();
    await page.getByText(`${image}${script}log`).waitFor();

    await page.goto(`${console.fields.page}/logs`);
    await page.getByText(`${image}${script}log`).click();
    await page.getByRole("complementary", { name: "Log record" }).waitFor();
    await page.goto(`${console.fields.page}/charts`);
    await page.locator(".metric-link", { hasText: `${image}metric` }).click();
    await page.getByRole("heading", { name: `${image}metric` }).waitFor();
    await page.goto(`${console.fields.page}/status`);
    await page.getByText(`${image}shop`).first().waitFor();
    await page.goto(`${console.fields.page}/?q=${encodeURIComponent(quoted(image))}`);
    await rows(page, 1);

    assert.equal(await page.evaluate(() => (globalThis as { ran?: string }).ran), undefined);
    assert.equal(await page.locator("img").count(), 0);
    assert.equal(await page.locator("a[href^='javascript']").count(), 0);
    assert.deepEqual(complaints, []);
  },

  async "a browser that finds a script in the page all the same does not run it"(
    { console, page, complaints },
  ) {
    await page.goto(console.fields.page!);
    await page.evaluate(() => {
      document.body.insertAdjacentHTML("beforeend", `<img src=x onerror="window.ran='img'">`);
      document.body.append(
        Object.assign(document.createElement("script"), { textContent: "window.ran='script'" }),
      );
    });
    await eventually("two complaints", () => complaints.length >= 2 || undefined);
    assert.equal(await page.evaluate(() => (globalThis as { ran?: string }).ran), undefined);
    complaints.length = 0;
  },

  async "everything can be reached by keys"({ console, page }) {
    await sendTrace(console, { name: "PUT /orders" });
    await sendTrace(console, { name: "GET /cart" });
    await page.goto(console.fields.page!);
    await rows(page, 2);

    await page.keyboard.press("/");
    await page.locator(".search input:focus").waitFor();
    await page.keyboard.type("orders?");
    assert.equal(await page.locator(".search input").inputValue(), "orders?");
    await page.getByText("No trace fits these filters").waitFor();
    await page.keyboard.press("Escape");
    await rows(page, 2);
    await page.keyboard.press("Escape");

    await page.keyboard.press("?");
    const keys = page.getByRole("dialog", { name: "Keys" });
    await keys.waitFor();
    await page.keyboard.press("Escape");
    await keys.waitFor({ state: "detached" });

    await page.locator('.trace-row[tabindex="0"]').focus();
    await page.keyboard.press("ArrowDown");
    await page.locator(".trace-row:focus", { hasText: "PUT /orders" }).waitFor();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: /PUT \/orders/ }).waitFor();
    // Its neighbours are asked for once it is there.
    await page.getByRole("link", { name: "Newer trace" }).waitFor();
    await page.keyboard.press("[");
    await page.getByRole("heading", { name: /GET \/cart/ }).waitFor();
    for (
      const [key, path] of [["2", "/charts"], ["3", "/logs"], ["4", "/status"], ["5", "/map"], [
        "1",
        "/",
      ]]
    ) {
      await page.keyboard.press(key!);
      await page.waitForURL((url) => url.pathname === path);
    }
  },

  async "no view has a serious finding of axe, in light and in dark"({ console, page }) {
    const traceId = await sendTrace(console, { name: "PUT /orders", failed: "card declined" });
    await sendLog(console, { body: "disk is full", severityNumber: 17, traceId });
    await sendMetric(console, { name: "shop.order.duration" });
    const views: [path: string, ready: string][] = [
      ["/", ".trace-row"],
      ["/?q=nothing", ".state"],
      [`/traces/${traceId}?span=${childId}`, ".detail"],
      ["/charts?metric=shop.order.duration", ".u-over"],
      ["/logs", ".log-row"],
      ["/status", ".service-link"],
      ["/map", ".map-node"],
      ["/map?tables=1", ".map-tables"],
      [`/flame?trace=${traceId}`, ".flame"],
      [`/compare?a=${traceId}&b=${traceId}`, ".compare-row"],
    ];
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      for (const [path, ready] of views) {
        await page.goto(console.fields.page + path);
        await page.locator(ready).first().waitFor();
        const found = await axeFindings(page, ["serious", "critical"]);
        assert.deepEqual(found, [], `${colorScheme} ${path}`);
      }
    }
  },

  async "on a phone the page says which program it is, and the map's tables hide no figure"(
    { console, page },
  ) {
    await sendTrace(console, {
      name: "PUT /orders",
      service: "a-service-of-quite-a-long-name-indeed",
    });
    await page.setViewportSize({ width: 360, height: 740 });
    await page.goto(`${console.fields.page}/map?tables=1`);
    await page.getByRole("banner").getByText("Console", { exact: true }).waitFor();
    const table = page.getByRole("region", { name: "Services" });
    await table.getByRole("link", { name: "a-service-of" }).waitFor();
    assert.ok(await table.evaluate((one) => one.scrollWidth <= one.clientWidth), "all is in sight");
  },

  async "the page fits a screen of 360 pixels"({ console, page }) {
    const traceId = await sendTrace(console, { name: "PUT /a/very/long/name/".repeat(8) });
    await sendLog(console, { body: "a long line ".repeat(50), traceId });
    await sendMetric(console, { name: "shop.order.duration" });
    await page.setViewportSize({ width: 360, height: 740 });
    const paths = ["/", `/traces/${traceId}`, `/traces/${traceId}?span=${childId}`, "/charts"];
    for (
      const path of [
        ...paths,
        ...["/charts?metric=shop.order.duration", "/logs", "/status", "/map"],
        ...[`/flame?trace=${traceId}`, `/compare?a=${traceId}&b=${traceId}`],
      ]
    ) {
      await page.goto(console.fields.page + path);
      await page.locator(".pill-live").waitFor();
      await page.waitForFunction(() => document.querySelector(".skeleton") === null);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.equal(width, 360, path);
      assert.deepEqual(await page.evaluate(beyondTheEdge), [], path);
    }
  },

  async "the page is at most 150 kB, compressed, and asks nobody else for anything"(
    { console, page },
  ) {
    const requests: { url: string; bytes: Promise<number> }[] = [];
    page.on("requestfinished", (request) => {
      if (new URL(request.url()).pathname.startsWith("/api/")) return;
      const bytes = request.sizes().then((sizes) => sizes.responseBodySize);
      requests.push({ url: request.url(), bytes });
    });
    await page.goto(console.fields.page!);
    await page.locator(".pill-live").waitFor();
    await eventually("four requests", () => requests.length >= 4 || undefined);
    for (const { url } of requests) assert.equal(new URL(url).origin, console.fields.page);
    const sizes = await Promise.all(requests.map((request) => request.bytes));
    const total = sizes.reduce((sum, bytes) => sum + bytes, 0);
    assert.ok(total > 10_000 && total <= 150_000, `${total} bytes`);
  },

  async "the theme that was chosen is remembered, and there before the first paint"(
    { console, page },
  ) {
    await page.emulateMedia({ colorScheme: "light" });
    await page.goto(console.fields.page!);
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    await page.getByRole("button", { name: /^Theme/ }).click();
    await page.getByRole("button", { name: /^Theme: light/ }).click();
    await page.getByRole("button", { name: /^Theme: dark/ }).waitFor();
    const dark = await background();
    assert.notEqual(dark, light);
    await page.route("**/assets/main-*.js", (route) => route.abort());
    await page.reload();
    assert.equal(await background(), dark);
  },
};

testPage("console page", {
  page: "console",
  open,
  cases: { ...cases, ...traceCases, ...chartCases, ...reachCases },
});
