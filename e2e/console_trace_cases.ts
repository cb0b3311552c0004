/**
 * Cases of `console_page_test.ts`: one trace, and two side by side.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Tab } from "../service/testing/browser.ts";
import { eventually } from "../service/testing/eventually.ts";
import { type Fixture, row, rows } from "./console_fixture.ts";
import { childId, post, resource, sendLog, sendTrace, span } from "./otlp_json.ts";

/** By their names. */
export const traceCases: Record<string, (test: Tab & Fixture) => Promise<void>> = {
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

  async "what is found is gone through in both directions, by keys, buttons and Enter"(
    { console, page },
  ) {
    const traceId = await sendTrace(console, { name: "PUT /orders" });
    await post(console, "/v1/traces", {
      resourceSpans: [resource("checkout", "scopeSpans", {
        spans: [1, 2, 3].map((i) => ({
          ...span({ traceId, spanId: `${i}`.padStart(16, "d"), name: `step ${i}` }),
          parentSpanId: childId,
        })),
      })],
    });
    await page.goto(`${console.fields.page}/traces/${traceId}?find=step`);
    const chosen = (i: number) => page.waitForURL((url) => url.search.includes(`dd${i}`));
    await page.locator(".line.found").nth(2).waitFor();
    // From nothing chosen, backwards is the last.
    await page.keyboard.press("Shift+N");
    await chosen(3);
    await page.getByText("3 of 3", { exact: true }).waitFor();
    await page.keyboard.press("Shift+N");
    await chosen(2);
    await page.keyboard.press("n");
    await chosen(3);
    await page.keyboard.press("n");
    await chosen(1);
    await page.keyboard.press("Shift+N");
    await chosen(3);
    await page.getByRole("button", { name: "Previous match" }).click();
    await chosen(2);
    await page.getByRole("searchbox", { name: "Find in this trace" }).press("Shift+Enter");
    await chosen(1);
    await page.getByText("1 of 3", { exact: true }).waitFor();
  },

  async "spans at the edges: start 0, no duration, no end, one too many; and an answer that does not come"(
    { console, page },
  ) {
    const { page: url } = console.fields;
    const send = (...spans: object[]) =>
      post(console, "/v1/traces", { resourceSpans: [resource("edge", "scopeSpans", { spans })] });
    const [none, running, long] = ["a", "b", "c"].map((digit) => digit.repeat(32)) as [
      string,
      string,
      string,
    ];
    const now = `${BigInt(Date.now()) * 1_000_000n}`;
    const one = (traceId: string, name: string) => span({ traceId, spanId: childId, name });
    await send(
      { ...one(none, "in no time"), startTimeUnixNano: "0", endTimeUnixNano: "0" },
      { ...one(running, "runs still"), startTimeUnixNano: now, endTimeUnixNano: "0" },
    );
    await page.goto(`${url}/traces/${none}`);
    await page.getByRole("treeitem", { name: /^in no time/ }).waitFor();
    await page.goto(`${url}/traces/${running}`);
    await page.getByRole("treeitem", { name: /^runs still/ }).getByText("no end").waitFor();

    for (let from = 0; from < 10_001; from += 2_000) {
      const spans = Array.from({ length: Math.min(2_000, 10_001 - from) }, (_, i) =>
        span({
          traceId: long,
          spanId: `${from + i + 1}`.padStart(16, "0"),
          name: `step ${from + i}`,
        }));
      await post(console, "/v1/traces", {
        resourceSpans: [resource("edge", "scopeSpans", { spans })],
      });
    }
    await page.goto(`${url}/traces/${long}`);
    await page.getByText("This trace is cut at 10,000 spans: 1 more were refused").waitFor();

    await page.route(`**/api/traces/${none}`, () => {});
    await page.goto(`${url}/traces/${none}`);
    await page.getByRole("alert").getByText("Nothing came in 10 s.").waitFor();
    await page.unrouteAll();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("treeitem", { name: /^in no time/ }).waitFor();
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
};
