/**
 * The console's page in a real browser, against the real console, with real OTLP: what it shows and
 * how it is used.
 *
 * @module
 */
import assert from "node:assert/strict";
import { axeFindings, type Tab, testPage } from "../service/testing/browser.ts";
import { eventually } from "../service/testing/eventually.ts";
import { type Fixture, open, row, rows, startConsole } from "./console_fixture.ts";
import { reachCases } from "./console_reach_cases.ts";
import { quoted } from "../console/queries/search_language.ts";
import { childId, post, resource, sendLog, sendMetric, sendTrace, span } from "./otlp_json.ts";

const cases: Record<string, (test: Tab & Fixture) => Promise<void>> = {
  async "a trace opens as a waterfall, its address brings the chosen span back, its logs are there"(
    { console, page },
  ) {
    const traceId = await sendTrace(console, { name: "PUT /orders", failed: "card declined" });
    await sendLog(console, { body: "charging the card", traceId, spanId: childId });
    await page.goto(console.fields.page!);
    await row(page, "PUT /orders").click();
    await page.waitForURL(`**/traces/${traceId}`);
    await page.getByRole("treeitem", { name: "charging the card" }).waitFor();
    await page.getByRole("treeitem", { name: /^charge card/ }).click();
    await page.waitForURL(`**/traces/${traceId}?span=${childId}`);

    await page.reload();
    const detail = page.getByRole("complementary", { name: "Span" });
    await detail.getByText("card declined").waitFor();
    await detail.getByText("payment.provider").waitFor();
    await detail.getByText("acme").waitFor();
    await detail.getByText("retrying").waitFor();
    await detail.getByText("charging the card").waitFor();
    await page.keyboard.press("Escape");
    await detail.waitFor({ state: "detached" });
    await page.waitForURL((url) => url.search === "");
  },

  async "a link to a span of a long trace shows that span"({ console, page }) {
    const traceId = await sendTrace(console, { name: "PUT /orders" });
    await post(console, "/v1/traces", {
      resourceSpans: [resource("checkout", "scopeSpans", {
        spans: Array.from({ length: 300 }, (_, i) => ({
          ...span({ traceId, spanId: `${i}`.padStart(16, "c"), name: `step ${i}` }),
          parentSpanId: childId,
        })),
      })],
    });
    for (const width of [1280, 360]) {
      await page.setViewportSize({ width, height: 740 });
      await page.goto(`${console.fields.page}/traces/${traceId}?span=${"250".padStart(16, "c")}`);
      const line = page.getByRole("treeitem", { name: /^step 250/ });
      await line.waitFor();
      const detail = page.getByRole("complementary", { name: "Span" });
      await detail.waitFor();
      // It is brought into view once more when the detail has taken its room.
      await eventually(`the line is in sight, ${width} wide`, async () => {
        const [lineBox, detailBox] = [await line.boundingBox(), await detail.boundingBox()];
        const below = width === 360 ? detailBox!.y : 740;
        return (lineBox!.y > 0 && lineBox!.y + lineBox!.height <= below) || undefined;
      });
    }
  },

  async "a trace is copied as JSON, and its link"({ console, page, context }) {
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const traceId = await sendTrace(console, { name: "PUT /orders" });
    await page.goto(`${console.fields.page}/traces/${traceId}?errors=1`);
    const copied = () => page.evaluate(() => navigator.clipboard.readText());
    await page.getByRole("button", { name: "JSON" }).click();
    await page.getByText("Copied the trace as JSON").waitFor();
    const { traceID, spans } = JSON.parse(await copied());
    assert.deepEqual([traceID, spans.length], [traceId, 2]);
    await page.getByRole("button", { name: "Link" }).click();
    await page.getByText("Copied the link").waitFor();
    assert.equal(await copied(), `${console.fields.page}/traces/${traceId}`);
  },

  async "a trace is shared as one file that opens without a server"({ console, page, context }) {
    const traceId = await sendTrace(console, {
      name: "PUT </script><b>x",
      failed: "card declined",
    });
    await sendLog(console, { body: "charging the card", traceId, spanId: childId });
    await page.goto(`${console.fields.page}/traces/${traceId}`);
    const downloading = page.waitForEvent("download");
    await page.getByRole("link", { name: "HTML" }).click();
    const folder = await Deno.makeTempDir();
    try {
      const path = `${folder}/trace.html`;
      await (await downloading).saveAs(path);
      await console.stop({ force: true });
      const alone = await context.newPage();
      const requests: string[] = [];
      alone.on("request", (request) => requests.push(request.url()));
      const errors: string[] = [];
      alone.on("pageerror", (error) => errors.push(error.message));
      alone.on("console", (message) => message.type() === "error" && errors.push(message.text()));
      await alone.goto(`file://${path}`);
      await alone.getByRole("heading", { name: "PUT </script><b>x" }).waitFor();
      await alone.getByRole("treeitem", { name: /^charge card/ }).click();
      const detail = alone.getByRole("complementary", { name: "Span" });
      await detail.getByText("card declined").waitFor();
      await detail.getByText("charging the card").waitFor();
      await alone.goBack();
      await detail.waitFor({ state: "detached" });
      assert.deepEqual(requests, [`file://${path}`]);
      assert.deepEqual(errors, []);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },

  async "charts begin with what matters; a stretch of time leads to its traces"(
    { console, page },
  ) {
    await sendTrace(console, { name: "PUT /orders", failed: "card declined" });
    await sendMetric(console, { name: "shop.order.duration" });
    await page.goto(`${console.fields.page}/charts`);
    const services = page.getByRole("region", { name: "Services", exact: true });
    assert.match(await services.innerText(), /checkout[\s\S]*%/);
    await page.locator(".metric-link", { hasText: "shop.order.duration" }).click();
    await page.getByRole("figure", { name: /how many in each bucket/ }).waitFor();
    const plot = page.locator(".u-over").first();
    const box = (await plot.boundingBox())!;
    await page.mouse.move(box.x + box.width * 0.2, box.y + 50);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.8, box.y + 50, { steps: 5 });
    await page.mouse.up();
    await page.waitForURL((url) => url.searchParams.has("from") && url.searchParams.has("to"));
    await page.getByRole("link", { name: "Traces of this time" }).waitFor();
    await page.getByRole("button", { name: "Show all of it" }).click();
    await page.waitForURL((url) => !url.searchParams.has("from"));
    await page.getByRole("link", { name: /Traces at the peak/ }).click();
    await page.getByText(/Traces that began between/).waitFor();
    await page.getByRole("button", { name: "All times" }).click();
    await rows(page, 1);
  },

  async "metrics are grouped, several stand on one chart, and one time is that of all charts"(
    { console, page },
  ) {
    for (const route of ["/cart", "/order"]) {
      await sendMetric(console, {
        name: "shop.order.duration",
        attributes: { route },
        agoMs: 20_000,
      });
    }
    await sendMetric(console, { name: "shop.order.size", unit: "By", agoMs: 20_000 });
    await sendMetric(console, { name: "shop.order.wait", unit: "{order}", agoMs: 20_000 });
    await page.goto(`${console.fields.page}/charts?metric=shop.order.duration`);
    await page.getByLabel("Group by").selectOption("route");
    const groups = page.getByRole("region", { name: "Groups" });
    await groups.getByRole("link", { name: "/order" }).waitFor();
    await page.getByText("2 series in 2 groups").waitFor();
    await page.getByLabel("Group by").selectOption({ label: "all together" });
    await groups.waitFor({ state: "detached" });
    await page.getByRole("figure", { name: "shop.order.duration, p50, p95, p99" }).waitFor();

    const add = page.getByLabel("Add a metric to this chart");
    await add.selectOption({ label: "shop.order.size, By" });
    await page.getByText("Two axes: left s, right (dashed lines) By.").waitFor();
    await page.getByRole("figure", { name: "shop.order.duration, shop.order.size" }).waitFor();
    await add.selectOption({ label: "shop.order.wait, {order}" });
    await page.getByText("Each line is drawn as a share of its own highest value").waitFor();
    await page.getByRole("button", { name: "Take shop.order.wait off this chart" }).click();
    await page.getByText("Two axes").waitFor();
    await page.reload();
    await page.getByText("Two axes").waitFor();
    await page.goBack();
    await page.getByText("Each line is drawn as a share").waitFor();

    // What is drawn over in one chart is the time of all, and goes on to the next view.
    await page.goto(`${console.fields.page}/charts?metric=shop.order.duration&by=*`);
    await page.getByRole("figure", { name: /how many in each bucket/ }).waitFor();
    const heat = (await page.locator(".heat-plot").boundingBox())!;
    await page.mouse.move(heat.x + heat.width * 0.5, heat.y + 20);
    await page.mouse.down();
    await page.mouse.move(heat.x + heat.width * 0.99, heat.y + 20, { steps: 3 });
    await page.mouse.up();
    await page.waitForURL((url) => url.searchParams.has("from"));
    await page.getByRole("button", { name: "Show all of it" }).click();
    await page.waitForURL((url) => !url.searchParams.has("from"));
    await page.getByRole("button", { name: "Zoom to the peak" }).click();
    await page.waitForURL((url) => url.searchParams.has("from"));
    await page.getByRole("link", { name: "Traces of this time" }).click();
    await page.getByText(/Traces that began between/).waitFor();
  },

  async "links lead both ways, with what they say"({ console, page }) {
    const traceId = await sendTrace(console, { name: "PUT /orders" });
    const batchId = "cd".repeat(16);
    await post(console, "/v1/traces", {
      resourceSpans: [resource("shipping", "scopeSpans", {
        scope: { name: "shipper", version: "2" },
        spans: [{
          ...span({ traceId: batchId, spanId: "00000000000000d1", name: "ship" }),
          links: [{
            traceId,
            spanId: childId,
            attributes: [{ key: "batch.index", value: { intValue: "7" } }],
          }],
        }],
      })],
    });
    const detail = page.getByRole("complementary", { name: "Span" });
    await page.goto(`${console.fields.page}/traces/${batchId}?span=00000000000000d1`);
    await detail.getByText("batch.index").waitFor();
    await detail.getByText("shipper 2").waitFor();
    await detail.getByRole("link", { name: "charge card" }).click();
    await page.waitForURL(`**/traces/${traceId}?span=${childId}`);
    await detail.getByRole("heading", { name: "Linked from" }).waitFor();
    await detail.getByRole("link", { name: "ship", exact: true }).click();
    await page.waitForURL(`**/traces/${batchId}?span=00000000000000d1`);
  },

  async "a flame graph of a trace and of an operation; two traces side by side"({ console, page }) {
    const first = await sendTrace(console, { name: "PUT /orders" });
    await sendTrace(console, { name: "PUT /orders" });
    const second = await sendTrace(console, { name: "PUT /orders" });
    await post(console, "/v1/traces", {
      resourceSpans: [resource("bank", "scopeSpans", {
        spans: [{
          ...span({ traceId: second, spanId: "00000000000000d1", name: "authorize" }),
          parentSpanId: childId,
        }],
      })],
    });
    await page.goto(`${console.fields.page}/traces/${first}`);
    await page.getByRole("link", { name: "Flame graph" }).click();
    await page.getByRole("button", { name: /^checkout: PUT \/orders, .* in 1 span/ }).waitFor();
    await page.getByRole("region", { name: "Where the time goes" })
      .getByRole("link", { name: "PUT /orders" }).click();
    await page.getByRole("button", { name: /^checkout: PUT \/orders, .* in 3 spans/ }).focus();
    await page.keyboard.press("ArrowDown");
    await page.locator('.flame[data-path="0.0"]:focus').waitFor();
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Show all" }).click();

    await page.goto(`${console.fields.page}/traces/${first}`);
    await page.getByRole("link", { name: "Compare" }).click();
    await page.getByText("Choose the trace to compare").waitFor();
    await rows(page, 3);
    await page.locator(`a[href$="b=${second}"]`).click();
    await page.getByText("From A to B: 1 new.").waitFor();
    await page.getByLabel("Only what changed").check();
    const changed = page.locator(".compare-row");
    await changed.getByText("authorize").waitFor();
    assert.equal(await changed.count(), 1);
    await page.getByRole("link", { name: "Swap" }).click();
    await page.getByText("From A to B: 1 gone.").waitFor();
  },

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

  async "in a trace: find, next error, one service, depth, critical path, clocks"(
    { console, page },
  ) {
    const traceId = await sendTrace(console, { name: "PUT /orders", failed: "card declined" });
    await post(console, "/v1/traces", {
      resourceSpans: [resource("bank", "scopeSpans", {
        spans: [{
          ...span({ traceId, spanId: "00000000000000d1", name: "authorize" }),
          parentSpanId: childId,
          startTimeUnixNano: String((BigInt(Date.now()) - 3_600_000n) * 1_000_000n),
          endTimeUnixNano: String((BigInt(Date.now()) - 3_600_000n) * 1_000_000n + 1_500_000n),
        }],
      })],
    });
    await page.goto(`${console.fields.page}/traces/${traceId}`);
    await page.getByText("3 spans").waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("authorize");
    await page.locator(".line.found").waitFor();
    await page.keyboard.press("Enter");
    await page.waitForURL(/span=00000000000000d1/);
    await page.getByText("1 of 1", { exact: true }).waitFor();
    // Its clock has whole milliseconds, its duration a half: its bar is hatched, alone.
    await page.getByText("(to the millisecond: its program's clock gives no more)").waitFor();
    assert.equal(await page.locator(".bar.coarse").count(), 1);
    await page.keyboard.press("Escape");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Next error" }).click();
    await page.waitForURL((url) => url.searchParams.get("span") === childId);

    await page.getByLabel("Adjust clocks").check();
    await page.locator(".trace-facts").getByText(/^\d+(\.\d+)?\sms$/).waitFor();
    await page.getByLabel("Critical path").check();
    await page.locator(".on-path").first().waitFor({ state: "attached" });
    await page.getByLabel("Depth").selectOption("1");
    await page.getByRole("treeitem", { name: /^authorize/ }).waitFor({ state: "detached" });
    await page.getByLabel("Depth").selectOption("");
    await page.getByLabel("Only").selectOption("bank");
    await page.getByRole("treeitem", { name: /^authorize/ }).waitFor();
    assert.equal(await page.locator(".waterfall .line").count(), 1);
    await page.reload();
    await page.getByRole("treeitem", { name: /^authorize/ }).waitFor();
    assert.equal(await page.locator(".waterfall .line").count(), 1);
  },

  async "the map shows who calls whom; an edge leads to its traces, and the tables say the same"(
    { console, page },
  ) {
    const traceId = await sendTrace(console, { name: "PUT /orders" });
    await sendTrace(console, { name: "GET /cart" });
    await post(console, "/v1/traces", {
      resourceSpans: [resource("bank", "scopeSpans", {
        spans: [{
          ...span({ traceId, spanId: "00000000000000d1", name: "authorize", kind: 2 }),
          parentSpanId: childId,
          status: { code: 2, message: "declined" },
        }],
      })],
    });
    await page.goto(`${console.fields.page}/map`);
    await page.getByText("2 services speak").waitFor();
    // The worst edge is chosen before anybody chooses.
    const panel = page.getByRole("complementary", { name: "Edge" });
    await panel.getByText("checkout → bank").waitFor();
    await panel.getByText(/^100\s%$/).waitFor();
    await panel.getByRole("link", { name: "Its traces" }).click();
    await rows(page, 1);
    await row(page, "PUT /orders").waitFor();
    await page.goBack();
    await panel.getByText("checkout → bank").waitFor();
    await page.keyboard.press("t");
    const edges = page.getByRole("region", { name: "Edges" });
    assert.match(await edges.innerText(), /checkout → bank[\s\S]*100\s%/);
    await page.getByRole("region", { name: "Services" }).getByRole("link", { name: "bank" })
      .click();
    await page.getByRole("complementary", { name: "Service" }).getByText("Called by").waitFor();
  },

  async "the programs of a demo: on the map with their state and page, and behind the brand"(
    { page },
  ) {
    const folder = await Deno.makeTempDir();
    try {
      const path = `${folder}/programs.json`;
      const orb = { name: "orb-server", what: "device signup", page: "http://127.0.0.1:4242" };
      const list = (...programs: object[]) => Deno.writeTextFile(path, JSON.stringify(programs));
      const sinceMs = Date.now() - 12_000;
      await list({ ...orb, state: "up", sinceMs }, {
        name: "image-service",
        what: "a simulated store",
        state: "down",
        sinceMs,
        ended: "by SIGKILL",
      });
      await using viewer = await startConsole(undefined, ["--programs", path]);
      await page.goto(`${viewer.fields.page}/map`);
      await page.getByText("1 program runs").waitFor();
      await page.getByText(/image-service died .* ago \(by SIGKILL\)/).waitFor();
      await page.keyboard.press("t");
      await page.getByRole("region", { name: "Services" }).getByRole("link", { name: "orb-server" })
        .click();
      const its = page.getByRole("complementary", { name: "Service" }).getByRole("link", {
        name: "Its page",
      });
      assert.equal(await its.getAttribute("href"), "http://127.0.0.1:4242");
      await page.getByText("1 down").click();
      const menu = page.locator(".switch-list");
      await menu.getByText("down (by SIGKILL)").waitFor();
      assert.equal(
        await menu.getByRole("link", { name: "orb-server" }).getAttribute("href"),
        "http://127.0.0.1:4242",
      );
      await list({ ...orb, state: "down", sinceMs: Date.now(), ended: "with code 1" });
      await menu.getByText("down (with code 1)").waitFor();
      const many = Array.from({ length: 5 }, (_, i) => ({ ...orb, name: `p${i}`, state: "down" }));
      await list(...many.map((one, i) => ({ ...one, sinceMs: sinceMs + i })));
      await page.getByText("2 more are silent").waitFor();
      assert.deepEqual(await axeFindings(page, ["serious", "critical"]), []);
      await page.keyboard.press("Escape");
      await menu.waitFor({ state: "hidden" });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
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

testPage("console page", { page: "console", open, cases: { ...cases, ...reachCases } });
