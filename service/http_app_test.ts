import assert from "node:assert/strict";
import { trace } from "@opentelemetry/api";
import { SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { KeptSpans } from "./testing/kept_spans.ts";
import { httpApp, type HttpAppOptions } from "./http_app.ts";
import { listen } from "./http_server.ts";
import { ProblemError } from "./problem.ts";
import { noDeadline, testContext } from "./testing/context.ts";

/** Some routes of each kind. */
function fixture(options: Partial<HttpAppOptions> = {}, context = testContext()) {
  const app = httpApp({ name: "fixture", ...options }, context);
  app.get("/things/:id", (c) => c.req.param("id") === "7" ? c.text("seven") : c.notFound());
  app.put("/things/:id", (c) => c.text("put"));
  app.post("/things", (c) => c.text("made"));
  app.get("/busy", () => {
    throw new ProblemError(503, { title: "Busy" }, { "retry-after": "1" });
  });
  app.get("/bug", () => {
    throw new TypeError("bug");
  });
  app.get("/page/assets/:name", (c) => c.text("asset"));
  app.get("/api/stream", (c) => c.text("stream"));
  return app;
}

async function ask(app: ReturnType<typeof fixture>, path: string, init: RequestInit = {}) {
  const response = await app.request(path, init);
  const text = await response.text();
  const isProblem = response.headers.get("content-type") === "application/problem+json";
  return {
    status: response.status,
    title: isProblem && text ? JSON.parse(text).title : undefined,
    detail: isProblem && text ? JSON.parse(text).detail : undefined,
    allow: response.headers.get("allow"),
    text,
  };
}

Deno.test("httpApp() answers what there is, and problems for what goes wrong", async () => {
  const context = testContext();
  const app = fixture({}, context);
  assert.equal((await ask(app, "/things/7")).text, "seven");
  assert.equal((await ask(app, "/nowhere")).title, "Not found");
  assert.equal(
    (await ask(app, "/things/8")).title,
    "Not found",
    "a route that says it is not there",
  );
  assert.deepEqual(await ask(app, "/busy").then(({ status, title }) => [status, title]), [
    503,
    "Busy",
  ]);
  assert.deepEqual(await ask(app, "/bug").then(({ status, title }) => [status, title]), [
    500,
    "Internal error",
  ]);
  assert.match(context.lines.join("\n"), /exception\.message=bug/);
});

Deno.test("httpApp() answers 405 with Allow where a path takes other methods", async () => {
  const app = fixture();
  const refused = await ask(app, "/things/7", { method: "POST" });
  assert.equal(refused.status, 405);
  assert.equal(refused.title, "Method not allowed");
  assert.equal(refused.allow, "GET, PUT, HEAD");
  assert.match(refused.detail, /\/things\/7 takes GET, PUT, HEAD, not POST/);
  assert.deepEqual(
    await ask(app, "/things").then(({ status, allow }) => [status, allow]),
    [405, "POST"],
  );
  assert.equal((await ask(app, "/things", { method: "HEAD" })).status, 405);
  assert.equal((await ask(app, "/things/7", { method: "HEAD" })).status, 200);
  assert.equal((await ask(app, "/livez", { method: "DELETE" })).status, 405);
  const options = await ask(app, "/things/7", { method: "OPTIONS" });
  assert.deepEqual([options.status, options.allow], [204, "GET, PUT, HEAD"]);
  assert.equal((await ask(app, "/nowhere", { method: "OPTIONS" })).status, 404);
});

Deno.test("httpApp() puts the guard in front of all but health", async () => {
  const context = testContext();
  context.health.set("part", "ok");
  const app = fixture({}, context);
  const rebound = { headers: { host: "evil.example" } };
  assert.equal((await ask(app, "/things/7", rebound)).title, "Foreign host name");
  assert.equal((await ask(app, "/nowhere", rebound)).title, "Foreign host name");
  assert.equal((await ask(app, "/readyz", rebound)).status, 200);
  const crossSite = { method: "PUT", headers: { "sec-fetch-site": "cross-site" } };
  assert.equal((await ask(app, "/things/7", crossSite)).title, "Foreign origin");
  assert.equal((await ask(fixture({ health: false }), "/readyz")).status, 404);
});

Deno.test("httpApp() bounds health like everything else: it is inside of listen()'s limit", async () => {
  const app = fixture();
  const entered = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  app.get("/slow", async (c) => {
    entered.resolve();
    await release.promise;
    return c.text("done");
  });
  const server = await listen(app.fetch, { port: 0, portFlag: "--port", maxRequestsInFlight: 1 });
  const slow = fetch(`${server.url}/slow`);
  await entered.promise;
  const health = await fetch(`${server.url}/livez`);
  await health.body?.cancel();
  assert.equal(health.status, 503);
  release.resolve();
  assert.equal(await (await slow).text(), "done");
  await server.stop(noDeadline);
});

Deno.test("httpApp() traces what is work, and only if telemetry is enabled", async () => {
  const exporter = new KeptSpans();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  trace.setGlobalTracerProvider(provider);
  try {
    const own = testContext();
    await ask(fixture({}, own), "/things/7");
    assert.equal(exporter.getFinishedSpans().length, 0);

    const context = { ...own, telemetry: { ...own.telemetry, enabled: true } };
    const app = fixture({ untraced: ["/api/stream", "/bug*"] }, context);
    const paths = ["/livez", "/page/assets/x.js", "/api/stream", "/bug", "/things/7", "/busy"];
    for (const path of paths) await ask(app, path);
    await ask(app, "/things/7", { headers: { host: "evil.example" } });
    const names = exporter.getFinishedSpans().map(({ name }) => name);
    assert.deepEqual(names, ["GET /things/:id", "GET /busy"]);
  } finally {
    await provider.shutdown();
    trace.disable();
  }
});
