/**
 * Cases of `console_page_test.ts`: charts, and the map.
 *
 * @module
 */
import assert from "node:assert/strict";
import { axeFindings, type Tab } from "../service/testing/browser.ts";
import { eventually } from "../service/testing/eventually.ts";
import { type Fixture, row, rows, startConsole } from "./console_fixture.ts";
import { childId, post, resource, sendMetric, sendTrace, span } from "./otlp_json.ts";

/** Runs in the page: the middle of what is drawn in the text's own colour, as marks alone are. */
function findMark(): { x: number; y: number } | undefined {
  const canvas = document.querySelector<HTMLCanvasElement>(".u-wrap canvas")!;
  const { width, height } = canvas;
  const probe = new OffscreenCanvas(1, 1).getContext("2d")!;
  probe.fillStyle = getComputedStyle(document.body).color;
  probe.fillRect(0, 0, 1, 1);
  const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
  const { data } = canvas.getContext("2d")!.getImageData(0, 0, width, height);
  const found: number[] = [];
  for (let i = 0; i < data.length; i += 4) {
    if (data[i] === r && data[i + 1] === g && data[i + 2] === b && data[i + 3] === 255) {
      found.push(i / 4);
    }
  }
  const middle = found[Math.floor(found.length / 2)];
  if (middle === undefined) return undefined;
  const box = canvas.getBoundingClientRect();
  return {
    x: box.x + middle % width * box.width / width,
    y: box.y + Math.floor(middle / width) * box.height / height,
  };
}

/** By their names. */
export const chartCases: Record<string, (test: Tab & Fixture) => Promise<void>> = {
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
    assert.equal(await page.getByLabel("Group by").locator("option:checked").count(), 1);
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

  async "exemplars stand on the chart, and lead to their traces"({ console, page }) {
    const traceId = await sendTrace(console, { name: "PUT /orders" });
    const nanosAgo = (ms: number) => `${BigInt(Date.now() - ms) * 1_000_000n}`;
    const point = (agoMs: number, exemplars: object[] = []) => ({
      timeUnixNano: nanosAgo(agoMs),
      asDouble: 0.5,
      exemplars,
    });
    const exemplar = {
      timeUnixNano: nanosAgo(10_000),
      asDouble: 0.25,
      traceId,
      spanId: childId,
    };
    await post(console, "/v1/metrics", {
      resourceMetrics: [resource("checkout", "scopeMetrics", {
        metrics: [{
          name: "shop.queue.wait",
          unit: "s",
          gauge: { dataPoints: [point(20_000), point(1_000, [exemplar])] },
        }],
      })],
    });
    await page.goto(`${console.fields.page}/charts?metric=shop.queue.wait`);
    const list = page.getByRole("region", { name: "Exemplars, the largest first" });
    await list.getByRole("link", { name: /^250\sms/ }).click();
    await page.waitForURL(`**/traces/${traceId}?span=${childId}`);
    await page.goBack();
    await page.locator(".u-over").first().waitFor();
    const at = await eventually("the mark on the chart", () => page.evaluate(findMark));
    await page.mouse.click(at.x, at.y);
    await page.waitForURL(`**/traces/${traceId}?span=${childId}`);
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
      const died = page.locator(".map-sentence", {
        hasText: /image-service died .* ago \(by SIGKILL\)/,
      });
      await died.waitFor();
      // Of what it sent the last is a click away.
      const traceId = await sendTrace(viewer, { name: "GET /image", service: "image-service" });
      await died.getByRole("link", { name: "last trace" }).click();
      await page.waitForURL(`**/traces/${traceId}`);
      await page.goBack();
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
      await list({ ...orb, state: "up", sinceMs: Date.now(), ended: "with code 1" });
      await menu.getByText("up again").waitFor();
      await page.locator(".map-sentence", {
        hasText: /orb-server ended \(with code 1\), started again .* ago/,
      }).waitFor();
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
};
