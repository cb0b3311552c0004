/**
 * The ping-pong page in a real browser, against the real server: the browser's own WebTransport.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { generateCertificates } from "../pingpong/gen_certs.ts";
import { findChromium, openBrowser } from "../service/page/browser.ts";
import { buildPage } from "../service/page/build.ts";
import { missingPermissions } from "../service/testing/permissions.ts";
import { startProgram, type TestProgram } from "../service/testing/program.ts";

const needs = ["read", "write", "run", "env", "net", "sys"] as const;
const missing = missingPermissions(needs.map((name) => ({ name })));
const chromium = missing.length === 0 ? findChromium() : undefined;
const reason = missing.length > 0
  ? ` (ignored: needs ${missing.map((one) => `--allow-${one}`).join(" ")})`
  : chromium === undefined
  ? " (ignored: no Chromium was found)"
  : "";

async function startServer(folder: string, ports = ["0", "0"]): Promise<TestProgram> {
  return await startProgram(new URL("../pingpong/server.ts", import.meta.url), [
    ...["--port", ports[0]!, "--page-port", ports[1]!, "--https-port", "0"],
    ...["--certificate-path", join(folder, "cert.pem"), "--key-path", join(folder, "key.pem")],
  ]);
}

/** Waits until every mode has so many answers and nothing lost but what is allowed. */
async function answered(page: Page, count: number): Promise<void> {
  await page.waitForFunction((count) => {
    const rows = [...document.querySelectorAll(".figures-table tbody tr")];
    return rows.length === 3 && rows.every((row) => {
      const cells = row.querySelectorAll("td");
      return Number(cells[1]!.textContent!.replaceAll(",", "")) >= count;
    });
  }, count);
}

Deno.test({
  name: `the ping-pong page pings in all three modes and comes back after an outage${reason}`,
  ignore: reason !== "",
  async fn() {
    await buildPage("pingpong");
    const folder = await Deno.makeTempDir({ prefix: "pingpong-page-" });
    const paths = {
      certificatePath: join(folder, "cert.pem"),
      keyPath: join(folder, "key.pem"),
      pinPath: join(folder, "cert.sha256"),
    };
    await generateCertificates(paths);
    let server = await startServer(folder);
    const udp = (await server.line(/WebTransport at https:\/\/127\.0\.0\.1:(\d+)/))[1]!;
    const tcp = (await server.line(/WebSocket at http:\/\/127\.0\.0\.1:(\d+)/))[1]!;
    const browser = await openBrowser(chromium!);
    try {
      const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
      page.setDefaultTimeout(20_000);
      const complaints: string[] = [];
      page.on("pageerror", (error) => complaints.push(String(error)));
      await page.goto(`http://127.0.0.1:${tcp}/?interval=20`);
      await answered(page, 20);
      assert.equal(await page.locator(".pill").textContent(), "Live");
      assert.ok(await page.evaluate(() => crossOriginIsolated), "the clock is a fine one");

      const axe = fileURLToPath(import.meta.resolve("axe-core")).replace(/axe\.js$/, "axe.min.js");
      await page.evaluate(await Deno.readTextFile(axe));
      const found = await page.evaluate(`axe.run()`) as {
        violations: { id: string; impact: string; nodes: { html: string }[] }[];
      };
      const serious = found.violations.filter(({ impact }) =>
        ["serious", "critical"].includes(impact)
      );
      assert.deepEqual(serious.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`), []);

      await page.keyboard.press("p");
      await page.waitForURL(/paused/);
      await page.keyboard.press("p");

      // A new certificate too: the page asks the server for its hash each time.
      server.kill("SIGKILL");
      await server.status;
      await server[Symbol.asyncDispose]();
      await page.locator(".pill-broken").waitFor();
      await generateCertificates(paths);
      server = await startServer(folder, [udp, tcp]);
      await page.locator(".pill-live").waitFor();
      await page.getByRole("button", { name: "Begin anew" }).click();
      await answered(page, 20);
      assert.deepEqual(complaints, []);
    } finally {
      await browser.close();
      await server[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    }
  },
});
