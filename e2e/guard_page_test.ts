/**
 * The guard against a real browser: what pages of other origins, and of a name that was made to
 * point here, get through. Unit tests say what is answered to which header fields; this one shows
 * that a browser sends these.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { httpApp } from "../service/http_app.ts";
import type { GuardOptions } from "../service/http_guard.ts";
import { type HttpServer, listen } from "../service/http_server.ts";
import { upgradeWebSocket } from "../service/http_upgrade.ts";
import { testWithBrowser } from "../service/testing/browser.ts";
import { noDeadline, testContext } from "../service/testing/context.ts";

/** What a page may try on a server, run in that page. It gives back what it could do. */
async function attempts(url: string): Promise<Record<string, string>> {
  const outcome = (work: Promise<unknown>) =>
    Promise.race([
      work.then((result) => String(result), () => "refused"),
      new Promise<string>((resolve) => setTimeout(() => resolve("no answer"), 10_000)),
    ]);
  const loaded = (target: EventTarget, good: string) =>
    outcome(
      new Promise((resolve, reject) => {
        target.addEventListener(good, () => resolve(good), { once: true });
        target.addEventListener("error", () => reject(new Error()), { once: true });
      }),
    );
  const status = (init?: RequestInit) =>
    outcome(fetch(`${url}/api/data`, init).then(({ status }) => status));
  const events = new EventSource(`${url}/api/stream`);
  const socket = new WebSocket(`${url.replace("http", "ws")}/ws`);
  const image = new Image();
  image.src = `${url}/image.svg`;
  const json = { headers: { "content-type": "application/json" }, body: "{}" };
  const tried: [string, Promise<string>][] = [
    ["reads", status()],
    ["writes", status({ method: "POST" })],
    ["writes with a preflight", status({ method: "PUT", ...json })],
    [
      "writes without reading",
      outcome(
        fetch(`${url}/api/data`, { method: "POST", mode: "no-cors" }).then(({ type }) => type),
      ),
    ],
    ["stream", loaded(events, "open")],
    ["socket", loaded(socket, "open")],
    ["image", loaded(image, "load")],
  ];
  const results = await Promise.all(tried.map(async ([what, one]) => [what, await one]));
  events.close();
  socket.close();
  return Object.fromEntries(results);
}

const all = {
  reads: "200",
  writes: "200",
  "writes with a preflight": "200",
  "writes without reading": "basic",
  stream: "open",
  socket: "open",
  image: "load",
};

/** A server with one route of each kind, which notes what has got through to a route. */
async function startServer(
  options: GuardOptions = {},
): Promise<HttpServer & { passed: string[] }> {
  const passed: string[] = [];
  const app = httpApp({ name: "fixture", ...options }, testContext());
  app.get("/", (c) => c.html("<!doctype html><title>page</title><p>the page"));
  app.on(["GET", "POST", "PUT"], "/api/data", (c) => {
    passed.push(`${c.req.method} data`);
    return c.json({});
  });
  app.get("/api/stream", (c) => {
    passed.push("stream");
    return c.body(": hello\n\n", 200, { "content-type": "text/event-stream" });
  });
  app.get("/image.svg", (c) => {
    passed.push("image");
    return c.body('<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>', 200, {
      "content-type": "image/svg+xml",
    });
  });
  app.get("/ws", async (c) => {
    passed.push("socket");
    return (await upgradeWebSocket(c.req.raw)).response;
  });
  return { ...await listen(app.fetch, { port: 0, portFlag: "--port" }), passed };
}

testWithBrowser("the guard in a real browser", async (browser, t) => {
  await using undo = new AsyncDisposableStack();
  const start = async (options: GuardOptions = {}) => {
    const server = await startServer(options);
    undo.defer(() => server.stop(noDeadline));
    return server;
  };
  const other = await start();
  const at = async (url: string): Promise<Page> => {
    const page = await browser.newPage();
    await page.goto(url);
    return page;
  };

  await t.step("its own page does everything", async () => {
    const server = await start();
    for (const url of [server.url, server.url.replace("127.0.0.1", "localhost")]) {
      const page = await at(url);
      assert.deepEqual(await page.evaluate(attempts, url), all, url);
    }
  });

  for (const host of ["127.0.0.1", "localhost"]) {
    await t.step(`a page of another port at ${host} does nothing`, async () => {
      const server = await start();
      const page = await at(other.url.replace("127.0.0.1", host));
      const results = await page.evaluate(attempts, server.url);
      assert.deepEqual(server.passed, []);
      // That it was sent is all that a page hears of it.
      assert.equal(results["writes without reading"], "opaque");
      delete results["writes without reading"];
      assert.deepEqual(new Set(Object.values(results)), new Set(["refused"]));
    });

    await t.step(`a page of a listed origin at ${host} does everything`, async () => {
      const origin = other.url.replace("127.0.0.1", host);
      const server = await start({ allowedOrigins: [origin] });
      const page = await at(origin);
      const results = await page.evaluate(attempts, server.url);
      // Without reading it has no `Origin` where it only loads: an image is not listed for anybody.
      const { image, "writes without reading": blind, ...others } = results;
      assert.deepEqual([image, blind], ["refused", "opaque"]);
      const { image: _, "writes without reading": __, ...expected } = all;
      assert.deepEqual(others, expected);
      assert.ok(server.passed.includes("POST data"));
    });
  }

  await t.step(
    "a link from elsewhere shows the page, a form from there changes nothing",
    async () => {
      const server = await start();
      const page = await at(other.url.replace("127.0.0.1", "localhost"));
      await page.setContent(`<a href="${server.url}/">link</a>`);
      await page.getByText("link").click();
      await page.getByText("the page").waitFor();
      await page.goto(other.url.replace("127.0.0.1", "localhost"));
      await page.setContent(
        `<form method="post" action="${server.url}/api/data"><button>go</button></form>`,
      );
      await page.getByText("go").click();
      await page.getByText("Foreign origin").waitFor();
      assert.deepEqual(server.passed, []);
    },
  );

  await t.step("a name that was made to point here shows nothing and does nothing", async () => {
    const server = await start();
    // Chromium takes every name below `localhost` for loopback, as a rebound name would be.
    const url = server.url.replace("127.0.0.1", "evil.localhost");
    const page = await at(url);
    await page.getByText("Foreign host name").waitFor();
    await page.evaluate(attempts, url);
    assert.deepEqual(server.passed, []);
  });
});
