/**
 * The ping-pong page in a real browser, against the real server: the browser's own WebTransport.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { generateCertificates } from "../pingpong/gen_certs.ts";
import { axeFindings, type Tab, testPage } from "../service/testing/browser.ts";
import { eventually } from "../service/testing/eventually.ts";
import { startProgram, type TestProgram } from "../service/testing/program.ts";

/** A server of its own, with a certificate in a folder. */
interface Fixture {
  server: TestProgram;
  folder: string;
  udp: string;
  tcp: string;
}

async function startServer(folder: string, ports = ["0", "0"]): Promise<TestProgram> {
  return await startProgram(new URL("../pingpong/server.ts", import.meta.url), [
    ...["--port", ports[0]!, "--page-port", ports[1]!, "--https-port", "0"],
    ...["--log-level", "debug"],
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

/** Makes a certificate that a server started in the folder uses. */
async function makeCertificate(folder: string): Promise<void> {
  await generateCertificates({
    certificatePath: join(folder, "cert.pem"),
    keyPath: join(folder, "key.pem"),
    pinPath: join(folder, "cert.sha256"),
  });
}

async function open({ page }: Tab, undo: AsyncDisposableStack): Promise<Fixture> {
  const folder = await Deno.makeTempDir({ prefix: "pingpong-page-" });
  undo.defer(() => Deno.remove(folder, { recursive: true }));
  await makeCertificate(folder);
  const server = undo.use(await startServer(folder));
  const udp = (await server.line(/WebTransport at https:\/\/127\.0\.0\.1:(\d+)/))[1]!;
  const tcp = (await server.line(/WebSocket at http:\/\/127\.0\.0\.1:(\d+)/))[1]!;
  await page.goto(`http://127.0.0.1:${tcp}/?interval=20`);
  return { server, folder, udp, tcp };
}

const cases: Record<string, (test: Tab & Fixture) => Promise<void>> = {
  async "pings in all three modes, and nothing serious hinders who cannot see or point"({ page }) {
    await answered(page, 20);
    assert.equal(await page.locator(".pill").textContent(), "Live");
    assert.ok(await page.evaluate(() => crossOriginIsolated), "the clock is a fine one");
    assert.deepEqual(await axeFindings(page, ["serious", "critical"]), []);
  },

  async "comes back after an outage, with a new certificate too"(
    { page, server, folder, udp, tcp },
  ) {
    await answered(page, 20);
    await page.keyboard.press("p");
    await page.waitForURL(/paused/);
    await page.keyboard.press("p");

    server.kill("SIGKILL");
    await server.status;
    await page.locator(".pill-broken").waitFor();
    // The page asks the server for its certificate's hash each time.
    await makeCertificate(folder);
    await using _again = await startServer(folder, [udp, tcp]);
    await page.locator(".pill-live").waitFor();
    // It is told apart from loss: nearly nothing could be sent meanwhile.
    await page.getByText(/^\d+ outages?, [\d.]+\s(s|ms) without any answer/).waitFor();
    await page.waitForFunction(() =>
      document.querySelector(".outages")?.textContent?.includes("now for") === false
    );
    const scales = await page.locator(".histogram-axis").allInnerTexts();
    assert.deepEqual([scales.length, new Set(scales).size], [3, 1], "one scale for all modes");
    await page.getByRole("button", { name: "Reset" }).click();
    await page.getByText("No outage.").waitFor();
    await answered(page, 20);
  },
};

cases["pings at http://localhost, as its README opens it"] = async ({ page, tcp }) => {
  await page.goto(`http://localhost:${tcp}/?interval=20`);
  await answered(page, 20);
};

/** The protocol of everything that the page was loaded by. */
const protocols = (page: Page) =>
  page.evaluate(() =>
    performance.getEntries()
      .filter((one) => ["navigation", "resource"].includes(one.entryType))
      .map((one) => (one as PerformanceResourceTiming).nextHopProtocol)
  );

cases["comes by HTTP/2 over TLS, and pings as it does without"] = async ({ browser, server }) => {
  const [, port] = await server.line(/and https:\/\/127\.0\.0\.1:(\d+)/);
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  try {
    const page = await context.newPage();
    await page.goto(`https://127.0.0.1:${port}/?interval=20`);
    await answered(page, 20);
    const found = await protocols(page);
    assert.ok(found.length >= 3, found.join());
    assert.deepEqual(new Set(found), new Set(["h2"]));
    // A WebSocket has a connection of its own, by HTTP/1.1.
    const opened = await page.evaluate(() =>
      new Promise<boolean>((resolve) => {
        const socket = new WebSocket(`wss://${location.host}/`);
        socket.onopen = () => resolve(true);
        socket.onerror = () => resolve(false);
      })
    );
    assert.ok(opened, "a WebSocket opens");
  } finally {
    await context.close();
  }
};

/** A browser that makes its datagrams' writables, or has none, and whose streams are no async iterators. */
const otherBrowsers = {
  createWritable: `
    const { prototype } = WebTransportDatagramDuplexStream;
    const { get } = Object.getOwnPropertyDescriptor(prototype, "writable");
    delete prototype.writable;
    prototype.createWritable = function () { return get.call(this); };
    delete ReadableStream.prototype[Symbol.asyncIterator];
    delete ReadableStream.prototype.values;`,
  none: `delete WebTransportDatagramDuplexStream.prototype.writable;`,
};

cases["pings in browsers that make their datagrams' writables and iterate over no stream"] = async (
  { page },
) => {
  await page.addInitScript(otherBrowsers.createWritable);
  await page.reload();
  await answered(page, 20);
};

cases["pings in the other modes where a browser sends no datagrams, on one session"] = async (
  { page, server },
) => {
  const sessions = () => server.lines.filter((line) => line.includes("A session has begun")).length;
  await page.addInitScript(otherBrowsers.none);
  await page.reload();
  await page.waitForFunction(() => {
    const rows = [...document.querySelectorAll<HTMLTableRowElement>(".figures-table tbody tr")];
    const counts = rows.map(({ cells }) => Number(cells[2]!.textContent!.replaceAll(",", "")));
    return counts[0]! >= 50 && counts[1]! >= 50 && counts[2] === 0;
  });
  await page.getByText("this browser cannot send any").waitFor();
  assert.equal(await page.locator(".pill").textContent(), "Live");
  assert.ok(sessions() <= 2, "one before the reload, one after");
};

/** A browser whose first one-way streams cannot be opened. */
const failsTwice = `
  const { createUnidirectionalStream } = WebTransport.prototype;
  let failures = 2;
  WebTransport.prototype.createUnidirectionalStream = function () {
    return failures-- > 0
      ? Promise.reject(new Error("no stream"))
      : createUnidirectionalStream.call(this);
  };`;

cases["closes a session of which one mode cannot be opened, and goes on with another"] = async (
  { page, server },
) => {
  const count = (what: string) => server.lines.filter((line) => line.includes(what)).length;
  await page.addInitScript(failsTwice);
  await page.reload();
  await answered(page, 20);
  await eventually(
    "the end of all sessions but one",
    () => count("A session has begun") - count("A session has ended") === 1 || undefined,
    60_000,
  );
  // The page has closed both that failed; what is left open ends as `by=lost`.
  const closed = server.lines.filter((line) => /A session has ended .*by=peer/.test(line));
  assert.ok(closed.length >= 2, server.lines.join("\n"));
};

testPage("ping-pong page", { page: "pingpong", open, cases });
