/**
 * The console's page in a real browser while things happen: what arrives, what goes away, and what
 * must stand still.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type Tab, testPage } from "../service/testing/browser.ts";
import { eventually } from "../service/testing/eventually.ts";
import { focusCases } from "./console_focus_cases.ts";
import { type Fixture, names, open, row, rows, startConsole } from "./console_fixture.ts";
import { cuttableLine } from "./cuttable_line.ts";
import {
  childId,
  post,
  randomHex,
  resource,
  sendLog,
  sendMetric,
  sendSpan,
  sendTrace,
  span,
} from "./otlp_json.ts";

const rootId = "00000000000000aa";

const cases: Record<string, (test: Tab & Fixture) => Promise<void>> = {
  async "an empty page says what to do and shows the first trace as it arrives"({ console, page }) {
    await page.goto(console.fields.page!);
    await page.getByText("Waiting for the first trace").waitFor();
    await page.getByText("deno task demo").waitFor();
    await page.getByText(`OTEL_EXPORTER_OTLP_ENDPOINT=${console.fields.otlp}`).waitFor();
    assert.equal(await page.locator(".pill").textContent(), "Live");

    await sendTrace(console, { name: "PUT /orders" });
    await row(page, "PUT /orders").waitFor();
    assert.match(await row(page, "PUT /orders").innerText(), /checkout[\s\S]*2 spans[\s\S]*40\sms/);
  },

  async "everything can be forgotten, after a question"({ console, page }) {
    await sendTrace(console, { name: "PUT /orders" });
    await page.goto(`${console.fields.page}/status`);
    await page.getByRole("link", { name: "checkout" }).waitFor();
    await page.getByRole("button", { name: "Clear" }).click();
    await page.getByRole("button", { name: "Keep" }).click();
    await page.getByRole("link", { name: "checkout" }).waitFor();
    await page.getByRole("button", { name: "Clear" }).click();
    await page.getByRole("button", { name: "Forget everything" }).click();
    await page.getByText("No service has sent anything yet").waitFor();
    await page.getByRole("link", { name: "Traces" }).click();
    await page.getByText("Waiting for the first trace").waitFor();
  },

  async "spans and logs that arrive later join the waterfall that is open"({ console, page }) {
    const traceId = await sendTrace(console, { name: "PUT /orders" });
    await page.goto(`${console.fields.page}/traces/${traceId}`);
    await page.getByText("2 spans").waitFor();
    await sendSpan(console, { traceId, spanId: "00000000000000cc", name: "late span" });
    await page.getByRole("treeitem", { name: /^late span/ }).waitFor();
    await sendLog(console, { body: "a late word", traceId, spanId: childId });
    await page.getByRole("treeitem", { name: "a late word" }).waitFor();
  },

  async "a trace that is not held says so, and appears when it comes"({ console, page }) {
    await page.goto(`${console.fields.page}/traces/${"ab".repeat(16)}`);
    await page.getByText("This trace is not here").waitFor();
    await sendSpan(console, { traceId: "ab".repeat(16), spanId: childId, name: "here now" });
    await page.getByRole("treeitem", { name: /^here now/ }).waitFor();
  },

  async "a trace that came between the page's question and its stream is shown all the same"(
    { console, page },
  ) {
    const traceId = await sendTrace(console, { name: "PUT /orders" });
    let asked = 0;
    await page.route(`**/api/traces/${traceId}`, async (route) => {
      if (++asked > 1) return await route.continue();
      await route.fulfill({ status: 404, json: { title: "Not found", detail: "Not yet." } });
    });
    await page.goto(`${console.fields.page}/traces/${traceId}`);
    await page.locator(".line-text", { hasText: "charge card" }).waitFor();
    assert.equal(asked, 2);
  },

  async "paused, nothing moves: what is new is counted and waits"({ console, page }) {
    for (let i = 0; i < 5; i++) await sendTrace(console, { name: `before ${i}` });
    await page.goto(console.fields.page!);
    await rows(page, 5);
    await page.keyboard.press("p");
    await page.getByText("Paused").waitFor();
    const before = await names(page);
    for (let i = 0; i < 3; i++) await sendTrace(console, { name: `after ${i}` });
    await page.getByRole("button", { name: "3 new" }).waitFor();
    assert.deepEqual(await names(page), before);

    // The pause is in the address, and looking at a trace and coming back keeps the place.
    await row(page, "before 2").click();
    await page.getByRole("treeitem", { name: /^charge card/ }).waitFor();
    await page.goBack();
    await page.getByRole("button", { name: "3 new" }).waitFor();
    assert.deepEqual(await names(page), before);

    await page.getByRole("button", { name: "3 new" }).click();
    await rows(page, 8);
    assert.equal((await names(page))[0], "after 2");
  },

  async "scrolled, the row that is read stays where it is"({ console, page }) {
    for (let i = 0; i < 60; i++) await sendTrace(console, { name: `before ${i}` });
    await page.goto(console.fields.page!);
    await row(page, "before 59").waitFor();
    await page.locator(".virtual-list").evaluate((list) => list.scrollTop = 800);
    const read = row(page, "before 35");
    const place = await read.boundingBox();
    await sendTrace(console, { name: "after" });
    await page.getByRole("button", { name: "1 new" }).waitFor();
    assert.deepEqual(await read.boundingBox(), place);

    // Looking at it and coming back, too.
    await read.click();
    await page.getByRole("treeitem", { name: /^charge card/ }).waitFor();
    await sendTrace(console, { name: "meanwhile" });
    await page.goBack();
    await page.getByRole("button", { name: "2 new" }).waitFor();
    assert.deepEqual(await read.boundingBox(), place);
    await page.getByRole("button", { name: "2 new" }).click();
    await row(page, "after").waitFor();
    await row(page, "meanwhile").waitFor();
  },

  async "under a resting pointer nothing moves and nothing renames itself"({ console, page }) {
    for (let i = 0; i < 5; i++) await sendTrace(console, { name: `before ${i}` });
    await page.goto(console.fields.page!);
    await rows(page, 5);
    // Incomplete: its name is that of a span whose parent is to come.
    const traceId = "ab".repeat(16);
    await sendSpan(console, {
      traceId,
      spanId: childId,
      name: "child first",
      parentSpanId: rootId,
    });
    await rows(page, 6);
    await page.locator(".trace-row.incomplete").waitFor();
    await row(page, "before 3").hover();
    const before = await names(page);
    for (let i = 0; i < 3; i++) await sendTrace(console, { name: `after ${i}` });
    await sendSpan(console, { traceId, spanId: rootId, name: "the root" });
    await page.getByRole("button", { name: "3 new" }).waitFor();
    assert.deepEqual(await names(page), before);
    await page.mouse.move(5, 5);
    await rows(page, 9);
    await row(page, "the root").waitFor();
  },

  async "a console that stands still is no live one"({ console, page }) {
    await sendTrace(console, { name: "before" });
    await page.goto(console.fields.page!);
    await row(page, "before").waitFor();
    await page.locator(".pill-live").waitFor();
    console.kill("SIGSTOP");
    try {
      await page.getByText(/^No data for \d+ s$/).waitFor();
    } finally {
      console.kill("SIGCONT");
    }
    await page.locator(".pill-live").waitFor();
  },

  async "what is opened has the focus, and gives it back"({ console, page }) {
    const traceId = await sendTrace(console, { name: "PUT /orders" });
    await page.goto(`${console.fields.page}/traces/${traceId}`);
    const line = page.getByRole("treeitem", { name: /^charge card/ });
    await line.focus();
    await page.keyboard.press("Enter");
    await page.locator(".detail-title:focus").waitFor();
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => document.activeElement?.textContent?.includes("charge card"));
  },

  async "a console that goes away is reported, and the page lives again with the next one"(
    { console, page },
  ) {
    await sendTrace(console, { name: "before" });
    await page.goto(console.fields.page!);
    await row(page, "before").waitFor();
    await console.stop({ force: true });
    await page.getByText("Reconnecting (attempt 1)").waitFor();
    await page.getByText("Reconnecting (attempt 2)").waitFor();
    await page.getByText("The console does not answer.").waitFor();
    await row(page, "before").waitFor();

    const ports = {
      otlp: new URL(console.fields.otlp!).port,
      page: new URL(console.fields.page!).port,
    };
    // It is said for some seconds only, in which a busy machine may not come to ask for it.
    const said = page.getByText("The console was started anew.").waitFor();
    await using next = (await Promise.all([startConsole(ports), said]))[0];
    await sendTrace(next, { name: "after" });
    await row(page, "after").waitFor();
    assert.equal(await page.locator(".pill").textContent(), "Live");
    await rows(page, 1);
  },

  async "a connection that was lost is caught up, and the page says so"({ console, page }) {
    await using line = cuttableLine(console.fields.page!);
    await sendTrace(console, { name: "before" });
    await page.goto(line.url);
    await row(page, "before").waitFor();
    // An event with an id, to go on from.
    await sendTrace(console, { name: "live" });
    await row(page, "live").waitFor();
    line.cut();
    await page.getByText(/Reconnecting/).waitFor();
    await sendTrace(console, { name: "missed" });
    line.mend();
    // It is said for some seconds only.
    await Promise.all([
      page.getByText("caught up: 1 missed").waitFor(),
      row(page, "missed").waitFor(),
    ]);
    await rows(page, 3);
  },

  async "a tab that nobody sees gives its connection up, and catches up when it is seen"(
    { console, page },
  ) {
    // As a hidden tab sees itself; the wait before it sleeps is made short by the page's own clock.
    await page.clock.install();
    await page.goto(console.fields.page!);
    await page.clock.runFor(1_000);
    await sendTrace(console, { name: "before" });
    await eventually("the first row", async () => {
      await page.clock.runFor(100);
      return await row(page, "before").count() === 1 || undefined;
    });
    const streams = async () =>
      (await (await fetch(`${console.fields.page}/api/stats`)).json()).streams as number;
    const see = (state: "hidden" | "visible") =>
      page.evaluate((state) => {
        Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      }, state);
    await see("hidden");
    await page.clock.runFor(10_500);
    await eventually("no stream", async () => await streams() === 0 || undefined);
    await sendTrace(console, { name: "meanwhile" });
    await see("visible");
    await eventually("the row that was missed", async () => {
      await page.clock.runFor(100);
      return await row(page, "meanwhile").count() === 1 || undefined;
    });
    assert.equal(await streams(), 1);
  },

  async "20 tabs of one browser are all live, over one connection, and what they ask is answered"(
    { console, page, context },
  ) {
    const tabs = [page];
    while (tabs.length < 20) tabs.push(await context.newPage());
    await Promise.all(
      tabs.map((tab, i) => tab.goto(`${console.fields.page}/?q=${i % 2 ? "name~a" : ""}`)),
    );
    for (const tab of tabs) await tab.locator(".pill-live").waitFor();
    const stats = async () => await (await fetch(`${console.fields.page}/api/stats`)).json();
    assert.equal((await stats()).streams, 20);
    await sendTrace(console, { name: "a" });
    for (const tab of tabs) await row(tab, "a").waitFor();
    await tabs.pop()!.close();
    await tabs.pop()!.goto("about:blank");
    await eventually("18 streams", async () => (await stats()).streams === 18 || undefined);
    await row(page, "a").click();
    await page.getByRole("treeitem", { name: /^charge card/ }).waitFor();
  },

  async "logs and metrics arrive live and can be filtered"({ console, page }) {
    await page.goto(`${console.fields.page}/logs`);
    await page.getByText("Waiting for the first log record").waitFor();
    await sendLog(console, { body: "all is well" });
    await sendLog(console, { body: "disk is full", severityNumber: 17 });
    await page.getByText("all is well").waitFor();
    await page.getByText("disk is full").waitFor();
    await page.getByLabel("Level").selectOption("error");
    await page.getByText("all is well").waitFor({ state: "detached" });
    await page.getByText("disk is full").waitFor();

    await sendMetric(console, { name: "shop.order.duration" });
    await page.goto(`${console.fields.page}/charts?metric=shop.order.duration`);
    const chart = page.getByRole("figure", { name: /p50, p95, p99/ });
    await chart.waitFor();
    for (const name of ["p50", "p95", "p99"]) {
      assert.match(await chart.getByRole("listitem").filter({ hasText: name }).innerText(), /ms/);
    }
  },

  async "a flood is shown as a sample, says so, and keeps the document small"({ console, page }) {
    await page.goto(console.fields.page!);
    await page.getByText("Waiting for the first trace").waitFor();
    for (let i = 0; i < 4; i++) {
      await post(console, "/v1/traces", {
        resourceSpans: [resource("flood", "scopeSpans", {
          spans: Array.from(
            { length: 2_000 },
            (_, n) =>
              span({ traceId: randomHex(16), spanId: randomHex(8), name: `request ${i} ${n}` }),
          ),
        })],
      });
    }
    await page.getByText(/^A sample: showing [\d,]+ of [\d,]+ traces\/s$/).waitFor();
    await page.locator(".trace-row").first().waitFor();
    const inDocument = await page.locator(".trace-row").count();
    assert.ok(inDocument > 10 && inDocument < 60, `${inDocument} rows in the document`);
  },
};

testPage("console page, live", { page: "console", open, cases: { ...cases, ...focusCases } });
