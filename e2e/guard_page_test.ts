/**
 * The guard against a real browser: what pages of other origins, and of a name that was made to
 * point here, get through. Unit tests say what is answered to which header fields; this one shows
 * that a browser sends these.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { startOrbServer } from "../orb/server.ts";
import { httpApp } from "../service/http_app.ts";
import type { GuardOptions } from "../service/http_guard.ts";
import { type HttpServer, listen } from "../service/http_server.ts";
import { upgradeWebSocket } from "../service/http_upgrade.ts";
import { reboundName, testWithBrowser } from "../service/testing/browser.ts";
import { noDeadline, testContext } from "../service/testing/context.ts";
import { startRestApi } from "../signer/rest_api.ts";
import { restApiOptions } from "../signer/test_options.ts";

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

/** A folder that is removed last. */
async function temporaryFolder(undo: AsyncDisposableStack): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "guard-page-" });
  undo.defer(() => Deno.remove(folder, { recursive: true }));
  return folder;
}

testWithBrowser("a page whose name was rebound rotates no key of the signer", async (browser) => {
  await using undo = new AsyncDisposableStack();
  const dataDir = await temporaryFolder(undo);
  // The name is the attacker's server first, and the signer at the same port afterwards: to the
  // browser both are one origin, so nothing but the name says who asks.
  const attacker = await startServer({ allowedHosts: [reboundName] });
  const page = await browser.newPage();
  await page.goto(`http://${reboundName}:${attacker.port}/`).finally(() =>
    attacker.stop(AbortSignal.abort())
  );
  const signer = await startRestApi(
    restApiOptions(dataDir, { port: attacker.port }),
    testContext(),
  );
  undo.defer(() => signer.stop(noDeadline));
  const keys = async () => await (await fetch(`http://127.0.0.1:${signer.port}/keys`)).json();
  const before = await keys();

  const answer = await page.evaluate(async () => {
    const response = await fetch("/keys/rotate", { method: "POST" });
    return { status: response.status, ...await response.json() };
  });
  assert.equal(answer.status, 403);
  assert.equal(answer.title, "Foreign host name");
  assert.deepEqual(await keys(), before);

  // What a page of the signer's own may do: it was the name that was refused.
  await page.goto(`http://127.0.0.1:${signer.port}/livez`);
  const rotated = await page.evaluate(async () =>
    (await fetch("/keys/rotate", { method: "POST" })).status
  );
  assert.equal(rotated, 201);
});

testWithBrowser("a form on another site resets no orb server", async (browser) => {
  await using undo = new AsyncDisposableStack();
  const context = testContext();
  const dataDir = await temporaryFolder(undo);
  const orb = await startOrbServer({ orbApiPort: 0, dataDir }, context);
  undo.defer(async () => {
    context.stop();
    await orb.stop(noDeadline);
  });
  const other = await startServer({ allowedHosts: [reboundName] });
  undo.defer(() => other.stop(noDeadline));
  const signUp = async () => {
    const response = await fetch(`${orb.url}/api/signup`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ id: "01M7YWWF73WJAQYR7RMSPYEYZP", image_base64: "AQIDBAU=" }),
    });
    return { status: response.status, text: await response.text() };
  };
  const first = await signUp();
  assert.equal(first.status, 200, first.text);

  const page = await browser.newPage();
  await page.goto(`http://${reboundName}:${other.port}/`);
  await page.setContent(
    `<form method="post" action="${orb.url}/api/reset"><button>go</button></form>`,
  );
  const answer = page.waitForResponse(`${orb.url}/api/reset`);
  await page.getByText("go").click();
  assert.equal((await answer).status(), 403);
  // Its tokens are as before: the image signs up no second time.
  assert.equal((await signUp()).status, 409);

  // What a page of the server's own may do: it was the site that was refused.
  await page.goto(`${orb.url}/livez`);
  const reset = await page.evaluate(async () =>
    (await fetch("/api/reset", { method: "POST" })).status
  );
  assert.equal(reset, 200);
  assert.equal((await signUp()).status, 200);
});
