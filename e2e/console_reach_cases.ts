/**
 * Cases of `console_page_test.ts`: how the console is reached, behind a proxy's path, from pages of
 * other sites, and by a file of before.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import type { Tab } from "../service/testing/browser.ts";
import { type Fixture, row, rows, startConsole } from "./console_fixture.ts";
import { randomHex, resource, sendTrace, span } from "./otlp_json.ts";

/** By their names. */
export const reachCases: Record<string, (test: Tab & Fixture) => Promise<void>> = {
  async "what was downloaded is brought back by the import button; a file that is none says so"(
    { console, page },
  ) {
    const traceId = await sendTrace(console, { name: "PUT /orders", failed: "card declined" });
    await page.goto(`${console.fields.page}/status`);
    const downloading = page.waitForEvent("download");
    await page.getByRole("link", { name: "Download all" }).click();
    const folder = await Deno.makeTempDir();
    try {
      const path = `${folder}/telemetry.otlp.jsonl`;
      await (await downloading).saveAs(path);
      await page.getByRole("button", { name: "Clear" }).click();
      await page.getByRole("button", { name: "Forget everything" }).click();
      await page.getByText("No service has sent anything yet").waitFor();
      await choose(page, path);
      await page.getByText("1 request imported", { exact: true }).waitFor();
      await page.goto(`${console.fields.page}/traces/${traceId}`);
      await page.getByRole("treeitem", { name: /^charge card/ }).waitFor();
      await page.goto(`${console.fields.page}/status`);
      await Deno.writeTextFile(path, "no JSON\n");
      await choose(page, path);
      await page.getByRole("alert").getByText(/line 1/i).waitFor();
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },

  async "below a proxy's path everything leads to what is below it"({ page }) {
    await using viewer = await startConsole(undefined, ["--base-path", "/orrery"]);
    const traceId = await sendTrace(viewer, { name: "PUT /orders" });
    const base = `${viewer.fields.page}/orrery`;
    const outside: string[] = [];
    page.on("request", (request) => {
      if (!request.url().startsWith(`${base}/`)) outside.push(request.url());
    });
    await page.goto(`${base}/`);
    await page.locator(".pill-live").waitFor();
    await row(page, "PUT /orders").click();
    await page.waitForURL(`${base}/traces/${traceId}`);
    await page.getByRole("treeitem", { name: /^charge card/ }).waitFor();
    await page.reload();
    await page.getByRole("treeitem", { name: /^charge card/ }).waitFor();
    const html = page.getByRole("link", { name: "HTML" });
    assert.equal(await html.getAttribute("href"), `/orrery/api/traces/${traceId}/page`);
    for (const view of ["Charts", "Logs", "Status", "Map", "Traces"]) {
      await page.getByRole("navigation", { name: "Views" }).getByRole("link", { name: view })
        .click();
      await page.waitForURL((url) => url.pathname.startsWith("/orrery/"));
    }
    await row(page, "PUT /orders").waitFor();
    // What comes is live there, too.
    await sendTrace(viewer, { name: "GET /cart" });
    await rows(page, 2);
    assert.deepEqual(outside, []);
  },

  async "a page of a listed origin sends by fetch with credentials and by sendBeacon; of another, nothing"(
    { page },
  ) {
    await using first = shopSite();
    await using second = shopSite();
    const [listed, other] = [first.origin, second.origin];
    await using viewer = await startConsole(undefined, ["--cors-origin", listed]);
    for (const origin of [other, listed]) {
      await page.goto(origin);
      await page.evaluate(sendFromPage, {
        url: `${viewer.fields.otlp}/v1/traces`,
        bodies: ["fetch", "beacon"].map((how) => oneSpan(`by ${how} of ${origin}`)),
      });
    }
    await page.goto(viewer.fields.page!);
    await row(page, `by fetch of ${listed}`).waitFor();
    await row(page, `by beacon of ${listed}`).waitFor();
    await rows(page, 2);
  },
};

/** A page of somebody else's, at an origin of its own. */
function shopSite() {
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    () =>
      new Response("<!doctype html><title>shop</title>", {
        headers: { "content-type": "text/html" },
      }),
  );
  return {
    origin: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** Gives the file to the button, as a person does. */
async function choose(page: Page, path: string): Promise<void> {
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "Import" }).click();
  await (await chooser).setFiles(path);
}

function oneSpan(name: string): string {
  const spans = [span({ traceId: randomHex(16), spanId: randomHex(8), name })];
  return JSON.stringify({ resourceSpans: [resource("shop-page", "scopeSpans", { spans })] });
}

/** Runs in the page; what is refused is no error of it. */
async function sendFromPage(
  { url, bodies: [byFetch, byBeacon] }: { url: string; bodies: string[] },
): Promise<void> {
  const headers = { "content-type": "application/json" };
  await fetch(url, { method: "POST", credentials: "include", headers, body: byFetch! })
    .then((response) => response.text(), () => "");
  navigator.sendBeacon(url, new Blob([byBeacon!], { type: "application/json" }));
}
