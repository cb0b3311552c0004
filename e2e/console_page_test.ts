/**
 * The console's page in a real browser, against the real console, with real OTLP.
 *
 * @module
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContext, Page } from "playwright-core";
import {
  type ChildProgram,
  findChromium,
  openBrowser,
  startProgram,
} from "../service/page/browser.ts";
import { buildPage } from "../service/page/build.ts";
import { missingPermissions } from "../service/testing/permissions.ts";

/** Counts towards nothing: a condition that does not come to pass fails here and does not hang. */
const patienceMs = 15_000;

const needs = ["read", "write", "run", "env", "net", "sys"] as const;
const missing = missingPermissions(needs.map((name) => ({ name })));
const chromium = missing.length === 0 ? findChromium() : undefined;
const reason = missing.length > 0
  ? ` (ignored: needs ${missing.map((one) => `--allow-${one}`).join(" ")})`
  : chromium === undefined
  ? " (ignored: no Chromium was found)"
  : "";

/** A page that watches a console of its own. */
interface World {
  console: ChildProgram;
  page: Page;
  context: BrowserContext;
  /** What the browser complained about: script errors, blocked content. */
  complaints: string[];
}

Deno.test({
  name: `console page${reason}`,
  ignore: reason !== "",
  async fn(t) {
    await buildPage("console");
    const browser = await openBrowser(chromium!);
    try {
      for (const [name, run] of Object.entries(cases)) {
        await t.step(name, () => inWorld(browser, run));
      }
    } finally {
      await browser.close();
    }
  },
});

async function inWorld(browser: Browser, run: (world: World) => Promise<void>): Promise<void> {
  await using console = await startConsole();
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  context.setDefaultTimeout(patienceMs);
  try {
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (message) => {
      if (/content security policy/i.test(message.text())) complaints.push(message.text());
    });
    await run({ console, page, context, complaints });
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

function startConsole(ports = { otlp: "0", page: "0" }): Promise<ChildProgram> {
  return startProgram("console/server.ts", [
    ...["--otlp-port", ports.otlp, "--page-port", ports.page],
  ]);
}

const cases: Record<string, (world: World) => Promise<void>> = {
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

  async "a trace opens as a waterfall, its address brings the chosen span back, its logs are there"(
    { console, page },
  ) {
    const traceId = await sendTrace(console, { name: "PUT /orders", failed: "card declined" });
    await sendLog(console, { body: "charging the card", traceId, spanId: childId });
    await page.goto(console.fields.page!);
    await row(page, "PUT /orders").click();
    await page.waitForURL(`**/traces/${traceId}`);
    await page.getByRole("button", { name: "charging the card" }).waitFor();
    await page.getByRole("button", { name: /^charge card/ }).click();
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
    assert.equal(new URL(page.url()).search, "");
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
      const line = page.getByRole("button", { name: /^step 250/ });
      await line.waitFor();
      const detail = page.getByRole("complementary", { name: "Span" });
      await detail.waitFor();
      const [lineBox, detailBox] = [await line.boundingBox(), await detail.boundingBox()];
      const below = width === 360 ? detailBox!.y : 740;
      assert.ok(lineBox!.y > 0 && lineBox!.y + lineBox!.height <= below, `${width} wide`);
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
    await page.getByRole("button", { name: /^late span/ }).waitFor();
    await sendLog(console, { body: "a late word", traceId, spanId: childId });
    await page.getByRole("button", { name: "a late word" }).waitFor();
  },

  async "a trace that is not held says so, and appears when it comes"({ console, page }) {
    await page.goto(`${console.fields.page}/traces/${"ab".repeat(16)}`);
    await page.getByText("This trace is not here").waitFor();
    await sendSpan(console, { traceId: "ab".repeat(16), spanId: childId, name: "here now" });
    await page.getByRole("button", { name: /^here now/ }).waitFor();
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

    await page.getByRole("searchbox").fill("cart");
    await rows(page, 1);
    await sendTrace(console, { name: "GET /cart/2" });
    await sendTrace(console, { name: "GET /other" });
    await rows(page, 2);
    await page.reload();
    await rows(page, 2);
    assert.equal(await page.getByRole("searchbox").inputValue(), "cart");
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
    await page.getByRole("button", { name: /^charge card/ }).waitFor();
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
    await page.getByRole("button", { name: /^charge card/ }).waitFor();
    await sendTrace(console, { name: "meanwhile" });
    await page.goBack();
    await page.getByRole("button", { name: "2 new" }).waitFor();
    assert.deepEqual(await read.boundingBox(), place);
    await page.getByRole("button", { name: "2 new" }).click();
    await row(page, "after").waitFor();
    await row(page, "meanwhile").waitFor();
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
    await page.getByRole("button", { name: /^charge card/ }).click();
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
    await page.goto(`${console.fields.page}/?q=${encodeURIComponent(image)}`);
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
    await until(() => complaints.length >= 2);
    assert.equal(await page.evaluate(() => (globalThis as { ran?: string }).ran), undefined);
    complaints.length = 0;
  },

  async "a console that goes away is told, and the page lives again with the next one"(
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
    await using next = await startConsole(ports);
    await sendTrace(next, { name: "after" });
    await row(page, "after").waitFor();
    assert.equal(await page.locator(".pill").textContent(), "Live");
    await rows(page, 1);
    await page.getByText("The console was started anew.").waitFor();
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
    await row(page, "missed").waitFor();
    await page.getByText("caught up: 1 missed").waitFor();
    await rows(page, 3);
  },

  async "everything can be reached by keys"({ console, page }) {
    await sendTrace(console, { name: "PUT /orders" });
    await sendTrace(console, { name: "GET /cart" });
    await page.goto(console.fields.page!);
    await rows(page, 2);

    await page.keyboard.press("/");
    await page.keyboard.type("orders?");
    assert.equal(await page.getByRole("searchbox").inputValue(), "orders?");
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
    assert.match(await page.locator(":focus").innerText(), /PUT \/orders/);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: /PUT \/orders/ }).waitFor();
    // Its neighbours are asked for once it is there.
    await page.getByRole("link", { name: "Newer trace" }).waitFor();
    await page.keyboard.press("[");
    await page.getByRole("heading", { name: /GET \/cart/ }).waitFor();
    for (const [key, path] of [["2", "/charts"], ["3", "/logs"], ["4", "/status"], ["1", "/"]]) {
      await page.keyboard.press(key!);
      await page.waitForURL((url) => url.pathname === path);
    }
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

  async "no view has a serious finding of axe, in light and in dark"({ console, page }) {
    const traceId = await sendTrace(console, { name: "PUT /orders", failed: "card declined" });
    await sendLog(console, { body: "disk is full", severityNumber: 17, traceId });
    await sendMetric(console, { name: "shop.order.duration" });
    const axe = await Deno.readTextFile(
      fileURLToPath(new URL("../node_modules/axe-core/axe.min.js", import.meta.url)),
    );
    const views: [path: string, ready: string][] = [
      ["/", ".trace-row"],
      ["/?q=nothing", ".state"],
      [`/traces/${traceId}?span=${childId}`, ".detail"],
      ["/charts?metric=shop.order.duration", ".u-over"],
      ["/logs", ".log-row"],
      ["/status", ".service-link"],
    ];
    const all: unknown[] = [];
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      for (const [path, ready] of views) {
        await page.goto(console.fields.page + path);
        await page.locator(ready).first().waitFor();
        await page.evaluate(axe);
        const findings = await page.evaluate(async () => {
          // deno-lint-ignore no-explicit-any -- axe is a global of the page here
          const { violations } = await (globalThis as any).axe.run(document);
          // deno-lint-ignore no-explicit-any -- as above
          return violations.map((one: any) => ({
            impact: one.impact,
            id: one.id,
            // deno-lint-ignore no-explicit-any -- as above
            nodes: one.nodes.map((node: any) => node.html).slice(0, 5),
          }));
        });
        for (const finding of findings) {
          if (finding.impact !== "serious" && finding.impact !== "critical") continue;
          all.push({ colorScheme, path, ...finding });
        }
      }
    }
    assert.deepEqual(all, []);
  },

  async "the page fits a screen of 360 pixels"({ console, page }) {
    const traceId = await sendTrace(console, { name: "PUT /a/very/long/name/".repeat(8) });
    await sendLog(console, { body: "a long line ".repeat(50), traceId });
    await sendMetric(console, { name: "shop.order.duration" });
    await page.setViewportSize({ width: 360, height: 740 });
    const paths = ["/", `/traces/${traceId}`, `/traces/${traceId}?span=${childId}`, "/charts"];
    for (const path of [...paths, "/charts?metric=shop.order.duration", "/logs", "/status"]) {
      await page.goto(console.fields.page + path);
      await page.locator(".pill-live").waitFor();
      await page.waitForFunction(() => document.querySelector(".skeleton") === null);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.equal(width, 360, path);
    }
  },

  async "the page is at most 300 kB, compressed, and asks nobody else for anything"(
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
    await until(() => requests.length >= 4);
    for (const { url } of requests) assert.equal(new URL(url).origin, console.fields.page);
    const sizes = await Promise.all(requests.map((request) => request.bytes));
    const total = sizes.reduce((sum, bytes) => sum + bytes, 0);
    assert.ok(total > 10_000 && total <= 300_000, `${total} bytes`);
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

// What is on the page

/** The row of a trace, by its root's whole name. */
function row(page: Page, name: string) {
  return page.locator(".trace-row").filter({
    has: page.locator(".trace-name").getByText(name, { exact: true }),
  });
}

/** Waits until so many rows are shown. */
async function rows(page: Page, count: number): Promise<void> {
  await page.waitForFunction(
    (count) => document.querySelectorAll(".trace-row").length === count,
    count,
  );
}

async function names(page: Page): Promise<string[]> {
  return await page.locator(".trace-name").allInnerTexts();
}

/** Waits for something outside of the page. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = AbortSignal.timeout(patienceMs);
  while (!condition()) {
    deadline.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A network between page and console that can be cut and mended: bytes are passed on as they are. */
function cuttableLine(target: string) {
  const { hostname, port } = new URL(target);
  const open = new Set<Deno.TcpConn>();
  let listener = Deno.listen({ hostname, port: 0 });
  const ownPort = (listener.addr as Deno.NetAddr).port;

  async function accept(from: Deno.TcpListener) {
    for await (const near of from) {
      const far = await Deno.connect({ hostname, port: Number(port) });
      open.add(near).add(far);
      // Either side's end, also one by force, is the end of the pair.
      const over = () => [near, far].forEach(close);
      near.readable.pipeTo(far.writable).then(over, over);
      far.readable.pipeTo(near.writable).then(over, over);
    }
  }
  function close(connection: Deno.TcpConn) {
    if (!open.delete(connection)) return;
    try {
      connection.close();
    } catch {
      // Closed by its stream already.
    }
  }
  function cut() {
    listener.close();
    for (const connection of [...open]) close(connection);
  }

  let accepting = accept(listener);
  return {
    url: `http://${hostname}:${ownPort}`,
    cut,
    mend() {
      listener = Deno.listen({ hostname, port: ownPort });
      accepting = accept(listener);
    },
    async [Symbol.asyncDispose]() {
      cut();
      await accepting;
    },
  };
}

// What is sent: OTLP/JSON as any exporter sends it

const childId = "00000000000000bb";

interface SentTrace {
  name: string;
  service?: string;
  durationMs?: number;
  /** The child span fails with this description. */
  failed?: string;
  attributes?: Record<string, string>;
}

/** Sends a root and a child span; answers the trace's id. */
async function sendTrace(console: ChildProgram, sent: SentTrace): Promise<string> {
  const { name, service = "checkout", durationMs = 40, failed, attributes = {} } = sent;
  const traceId = randomHex(16);
  const rootId = "00000000000000aa";
  const endMs = Date.now();
  await post(console, "/v1/traces", {
    resourceSpans: [resource(service, "scopeSpans", {
      spans: [
        span({ traceId, spanId: rootId, name, durationMs, endMs, kind: 2 }),
        {
          ...span({
            traceId,
            spanId: childId,
            name: "charge card",
            durationMs: durationMs / 2,
            endMs,
          }),
          parentSpanId: rootId,
          attributes: keyValues({ "payment.provider": "acme", ...attributes }),
          events: [{ timeUnixNano: nanos(Date.now()), name: "retrying", attributes: [] }],
          status: failed === undefined ? {} : { code: 2, message: failed },
        },
      ],
    })],
  });
  return traceId;
}

async function sendSpan(
  console: ChildProgram,
  one: { traceId: string; spanId: string; name: string },
): Promise<void> {
  await post(console, "/v1/traces", {
    resourceSpans: [resource("checkout", "scopeSpans", { spans: [span(one)] })],
  });
}

interface SentLog {
  body: string;
  service?: string;
  severityNumber?: number;
  traceId?: string;
  spanId?: string;
}

async function sendLog(console: ChildProgram, sent: SentLog): Promise<void> {
  const { body, service = "checkout", severityNumber = 9, ...ids } = sent;
  await post(console, "/v1/logs", {
    resourceLogs: [resource(service, "scopeLogs", {
      logRecords: [{
        timeUnixNano: nanos(Date.now()),
        severityNumber,
        body: { stringValue: body },
        ...ids,
      }],
    })],
  });
}

/** Two points of a cumulative histogram of one series: one interval with a thousand values in it. */
async function sendMetric(
  console: ChildProgram,
  { name, attributes = {} }: { name: string; attributes?: Record<string, string> },
): Promise<void> {
  const startMs = Date.now() - 60_000;
  const point = (timeMs: number, counts: number[]) => ({
    attributes: keyValues(attributes),
    startTimeUnixNano: nanos(startMs),
    timeUnixNano: nanos(timeMs),
    count: String(counts.reduce((sum, count) => sum + count, 0)),
    sum: 12.5,
    explicitBounds: [0.005, 0.01, 0.05, 0.1],
    bucketCounts: counts.map(String),
  });
  for (
    const [timeMs, counts] of [[-2_000, [0, 0, 0, 0, 0]], [-1_000, [600, 300, 90, 10, 0]]] as const
  ) {
    await post(console, "/v1/metrics", {
      resourceMetrics: [resource("checkout", "scopeMetrics", {
        metrics: [{
          name,
          unit: "s",
          histogram: {
            aggregationTemporality: 2,
            dataPoints: [point(Date.now() + timeMs, [...counts])],
          },
        }],
      })],
    });
  }
}

function span(
  { traceId, spanId, name, durationMs = 40, endMs = Date.now(), kind = 1 }: {
    traceId: string;
    spanId: string;
    name: string;
    durationMs?: number;
    endMs?: number;
    kind?: number;
  },
) {
  return {
    traceId,
    spanId,
    name,
    kind,
    startTimeUnixNano: nanos(endMs - durationMs),
    endTimeUnixNano: nanos(endMs),
  };
}

function resource(service: string, scopes: string, scope: object) {
  return {
    resource: { attributes: keyValues({ "service.name": service }) },
    [scopes]: [{ scope: { name: "test" }, ...scope }],
  };
}

function keyValues(values: Record<string, string>) {
  return Object.entries(values).map(([key, value]) => ({ key, value: { stringValue: value } }));
}

function nanos(ms: number): string {
  return `${BigInt(Math.round(ms * 1e3)) * 1_000n}`;
}

function randomHex(bytes: number): string {
  return crypto.getRandomValues(new Uint8Array(bytes)).toHex();
}

async function post(console: ChildProgram, path: string, body: unknown): Promise<void> {
  const response = await fetch(console.fields.otlp + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 200, await response.text());
}
