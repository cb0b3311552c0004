import assert from "node:assert/strict";
import { attributeOf, logsRequest, newSpanId, newTraceId, testConsole } from "../test_console.ts";

/** Two traces over two services: a quick good one, and a slow one that failed. */
async function consoleWithTraces() {
  const viewer = await testConsole();
  const now = BigInt(Date.now()) * 1_000_000n;
  const good = newTraceId();
  await viewer.sendSpans([{
    traceId: good,
    name: "GET /health",
    kind: 2,
    startTimeUnixNano: now,
    endTimeUnixNano: now + 500_000n,
    attributes: [attributeOf("http.response.status_code", 200n)],
  }], "web");
  const bad = newTraceId();
  const rootId = newSpanId();
  await viewer.sendSpans([{
    traceId: bad,
    spanId: rootId,
    name: "POST /order",
    kind: 2,
    startTimeUnixNano: now - 60_000_000_000n,
    endTimeUnixNano: now - 59_000_000_000n,
    attributes: [attributeOf("http.response.status_code", 500n)],
  }], "web");
  await viewer.sendSpans([{
    traceId: bad,
    parentSpanId: rootId,
    name: "INSERT orders",
    kind: 3,
    startTimeUnixNano: now - 59_900_000_000n,
    endTimeUnixNano: now - 59_500_000_000n,
    status: { code: 2, message: "disk full" },
  }], "database");
  return Object.assign(viewer, { good: good.toHex(), bad: bad.toHex(), startMs: Date.now() });
}

const filters: [query: string, found: ("good" | "bad")[]][] = [
  ["", ["good", "bad"]],
  ["service=web", ["good", "bad"]],
  ["service=database", ["bad"]],
  ["service=nobody", []],
  ["operation=GET /health", ["good"]],
  ["service=database&operation=GET /health", []],
  ["error=true", ["bad"]],
  ["error=false", ["good"]],
  ["minDuration=100ms", ["bad"]],
  ["minDuration=500us&maxDuration=0.3s", ["good"]],
  ["maxDuration=499", []],
  ["lookback=10s", ["good"]],
  ["lookback=1h30m", ["good", "bad"]],
  ['tags={"http.response.status_code":"500"}', ["bad"]],
  ['service=database&tags={"http.response.status_code":"500"}', []],
  ['tags={"span.kind":"client","error":"true"}', ["bad"]],
  ["tag=http.response.status_code:200", ["good"]],
  ["q=ORDER", ["bad"]],
  ["q=databa", ["bad"]],
  ["q=service=web status=unset kind=server duration>100ms", ["bad"]],
  ["q=service=database http.response.status_code=500", []],
  ["q=status=error", ["bad"]],
  ["q=http.response.status_code>=500", ["bad"]],
  ["q=-order", ["good"]],
  ['q=name="GET /health" service=web', ["good"]],
  ["q=name=GET* duration<1ms", ["good"]],
  ["spanKind=client", ["bad"]],
  ["tag=http.response.status_code:200&tag=span.kind:server", ["good"]],
  ["tag=http.response.status_code:200&tag=span.kind:client", []],
  ["lookback=custom&start=0&end=99999999999999999", ["good", "bad"]],
  ["lookback=custom&start=0&end=1", []],
  ["limit=1", ["good"]],
];

for (const [query, found] of filters) {
  Deno.test(`traces and summaries answer ?${query} with ${found.join(" and ") || "none"}`, async () => {
    await using viewer = await consoleWithTraces();
    const expected = found.map((name) => viewer[name]);
    const { data } = await viewer.get(`/api/traces?${query}`);
    assert.deepEqual(data.map(({ traceID }: { traceID: string }) => traceID), expected);
    const { traces, matched, held } = await viewer.get(`/api/summaries?${query}`);
    assert.deepEqual(traces.map(({ traceId }: { traceId: string }) => traceId), expected);
    assert.equal(matched, query === "limit=1" ? 2 : expected.length);
    assert.equal(held, 2);
  });
}

Deno.test("trace is found by its id, by the beginning of it, and as Jaeger writes it", async () => {
  await using viewer = await consoleWithTraces();
  assert.equal(
    (await viewer.get(`/api/traces/${viewer.bad.toUpperCase()}`)).data[0].spans.length,
    2,
  );
  assert.equal((await viewer.get(`/api/traces?traceID=${viewer.bad}`)).data.length, 1);
  assert.equal((await viewer.get(`/api/summaries?q=${viewer.bad}`)).traces.length, 1);
  await viewer.sendSpans([{ traceId: Uint8Array.fromHex("00".repeat(15) + "0a") }]);
  assert.equal((await viewer.get("/api/traces/a")).data.length, 1);
});

Deno.test("services, operations and dependencies answer as Jaeger does", async () => {
  await using viewer = await consoleWithTraces();
  const { data, total, services } = await viewer.get("/api/services");
  assert.deepEqual(data, ["database", "web"]);
  assert.equal(total, 2);
  assert.deepEqual(
    services.map((
      { name, spans, errors, logs }: Record<string, unknown>,
    ) => [name, spans, errors, logs]),
    [["database", 1, 1, 0], ["web", 2, 0, 0]],
  );
  assert.deepEqual((await viewer.get("/api/operations?service=web")).data, [
    { name: "GET /health", spanKind: "server" },
    { name: "POST /order", spanKind: "server" },
  ]);
  assert.deepEqual((await viewer.get("/api/services/database/operations")).data, ["INSERT orders"]);
  assert.deepEqual((await viewer.get("/api/dependencies")).data, [
    { parent: "web", child: "database", callCount: 1, errorCount: 1 },
  ]);
  assert.deepEqual((await viewer.get("/api/dependencies?lookback=10s")).data, []);
});

Deno.test("logs are found by trace, severity, service and text, and read on from a place", async () => {
  await using viewer = await testConsole();
  const traceId = newTraceId();
  const text = (body: string) => ({ value: { case: "stringValue" as const, value: body } });
  for (let i = 0; i < 5; i++) {
    const response = await viewer.send(
      "logs",
      logsRequest([
        { severityNumber: 9, body: text(`info ${i}`), traceId },
        { severityNumber: 17, body: text(`error ${i}`), attributes: [attributeOf("who", "Ada")] },
      ], i < 3 ? "web" : "database"),
    );
    await response.body?.cancel();
  }
  const bodies = async (query: string) =>
    (await viewer.get(`/api/logs?${query}`)).logs.map(({ body }: { body: string }) => body);
  assert.equal((await bodies("")).length, 10);
  assert.deepEqual(await bodies(`traceId=${traceId.toHex()}&service=database`), [
    "info 4",
    "info 3",
  ]);
  assert.equal((await bodies("severity=warn")).length, 5);
  assert.equal((await bodies("severity=9")).length, 10);
  assert.deepEqual(await bodies("q=ERROR 2"), ["error 2"]);
  assert.equal((await bodies("q=ada")).length, 5);
  const first = await viewer.get("/api/logs?limit=4");
  assert.equal(first.more, true);
  const second = await viewer.get(`/api/logs?limit=6&before=${first.logs.at(-1).seq}`);
  assert.equal(second.more, false);
  assert.equal(second.logs[0].body, "error 2");
  assert.equal(second.logs.length, 6);
});

const problems: [path: string, status: number, parameter: string | undefined][] = [
  ["/api/traces?limit=-1", 400, "limit"],
  ["/api/traces?limit=many", 400, "limit"],
  ["/api/summaries?minDuration=5x", 400, "minDuration"],
  ["/api/summaries?minDuration=ms", 400, "minDuration"],
  ["/api/summaries?lookback=1h x", 400, "lookback"],
  ["/api/summaries?error=maybe", 400, "error"],
  ["/api/summaries?tags=[1]", 400, "tags"],
  ["/api/summaries?tag=nocolon", 400, "tag"],
  ["/api/summaries?start=yesterday", 400, "start"],
  ["/api/logs?severity=25", 400, "severity"],
  ["/api/logs?before=x", 400, "before"],
  ["/api/operations", 400, "service"],
  ["/api/stream?signals=traces,smells", 400, "signals"],
  ["/api/stream?minDuration=5x", 400, "minDuration"],
  ["/api/traces/nothex", 400, "traceId"],
  ["/api/traces/abc", 404, undefined],
  ["/api/metrics?name=unknown", 404, undefined],
  ["/api/unknown", 404, undefined],
];

for (const [path, status, parameter] of problems) {
  Deno.test(`API answers ${path} with a problem of status ${status}`, async () => {
    await using viewer = await testConsole();
    const response = await fetch(viewer.pageUrl + path);
    const problem = await response.json();
    assert.equal(response.status, status);
    assert.equal(response.headers.get("content-type"), "application/problem+json");
    assert.equal(problem.status, status);
    assert.equal(problem.parameter, parameter);
    assert.ok(problem.detail.length > 10);
  });
}

Deno.test("data is forgotten on DELETE, and what comes then is kept", async () => {
  await using viewer = await consoleWithTraces();
  const response = await fetch(`${viewer.pageUrl}/api/data`, { method: "DELETE" });
  assert.equal(response.status, 204);
  const stats = await viewer.get("/api/stats");
  assert.equal(stats.traces.held + stats.traces.received + stats.memory.heldBytes, 0);
  assert.deepEqual((await viewer.get("/api/services")).data, []);
  await viewer.sendSpans([{}]);
  assert.equal((await viewer.get("/api/summaries")).held, 1);
});

Deno.test("page port answers for the names of this machine only, and not to other origins", async () => {
  await using viewer = await consoleWithTraces();
  const status = async (path: string, headers: Record<string, string>, method = "GET") => {
    const { hostname, port } = new URL(viewer.pageUrl);
    // Written by hand: fetch does not let a test choose the host.
    using connection = await Deno.connect({ hostname, port: Number(port) });
    const lines = Object.entries({ host: `${hostname}:${port}`, connection: "close", ...headers })
      .map(([name, value]) => `${name}: ${value}\r\n`).join("");
    await connection.write(new TextEncoder().encode(`${method} ${path} HTTP/1.1\r\n${lines}\r\n`));
    // The status line is enough: a stream that is let in does not end.
    const buffer = new Uint8Array(1_024);
    const length = await connection.read(buffer) ?? 0;
    return Number(new TextDecoder().decode(buffer.subarray(0, length)).split(" ")[1]);
  };
  const { host } = new URL(viewer.pageUrl);
  assert.equal(await status("/api/services", {}), 200);
  assert.equal(await status("/api/services", { host: "localhost:8080" }), 200);
  assert.equal(await status("/api/services", { host: "[::1]:8080" }), 200);
  assert.equal(await status("/api/services", { host: "evil.example" }), 403);
  assert.equal(await status("/metrics", { host: "evil.example:80" }), 403);
  assert.equal(await status("/api/services", { origin: "http://evil.example" }), 403);
  for (const site of ["cross-site", "same-site"]) {
    assert.equal(await status("/api/stream", { "sec-fetch-site": site }), 403, site);
    assert.equal(await status("/api/data", { "sec-fetch-site": site }, "DELETE"), 403, site);
  }
  assert.equal(await status("/api/data", { origin: "http://localhost:9999" }, "DELETE"), 403);
  assert.equal(await status("/api/data", { origin: "null" }, "DELETE"), 403);
  assert.equal((await viewer.get("/api/summaries")).held, 2);
  assert.equal(await status("/api/data", { origin: `http://${host}` }, "DELETE"), 204);
  // A probe asks by whatever name it knows.
  assert.equal(await status("/livez", { host: "10.0.0.7" }), 200);
});

Deno.test("page port refuses pages of other sites in words that name no flag the console lacks", async () => {
  await using viewer = await testConsole();
  const response = await fetch(`${viewer.pageUrl}/api/data`, {
    method: "DELETE",
    headers: { "sec-fetch-site": "cross-site", origin: "https://shop.example" },
  });
  assert.equal(response.status, 403);
  const { title, detail } = await response.json();
  assert.equal(title, "Foreign origin");
  assert.match(detail, /https:\/\/shop\.example/);
  assert.doesNotMatch(detail, /--allowed-origin/);
});

Deno.test("page port says that there is no such view, and which methods a path takes", async () => {
  await using viewer = await testConsole();
  for (const path of ["/planets", "/nothing/there"]) {
    const response = await fetch(viewer.pageUrl + path, { headers: { accept: "text/html" } });
    assert.equal(response.status, 404, path);
    assert.equal(response.headers.get("content-type"), "application/problem+json");
    assert.match((await response.json()).detail, new RegExp(path));
  }
  const wrong = await fetch(`${viewer.pageUrl}/api/services`, { method: "POST" });
  assert.equal(wrong.status, 405);
  assert.equal(wrong.headers.get("allow"), "GET, HEAD");
  await wrong.body?.cancel();
});
