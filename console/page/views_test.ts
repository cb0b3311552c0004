import assert from "node:assert/strict";
import { logQuery, rangesFor, streamQuery, traceQuery } from "./views.ts";

Deno.test("traceQuery() says the page's filters in the API's words", () => {
  const query = traceQuery(
    new URLSearchParams("service=orb-server&q=put&errors=1&min=1.5s&paused=1"),
  );
  assert.equal(`${query}`, "service=orb-server&q=put&error=true&minDuration=1500ms");
});

Deno.test("traceQuery() leaves out an empty filter and an unreadable duration", () => {
  assert.equal(`${traceQuery(new URLSearchParams("service=&min=fast"))}`, "");
});

Deno.test("traceQuery() takes a bare figure for milliseconds, which the API would not", () => {
  assert.equal(`${traceQuery(new URLSearchParams("min=250"))}`, "minDuration=250ms");
});

Deno.test("logQuery() knows the levels and ignores a word that is none", () => {
  assert.equal(`${logQuery(new URLSearchParams("level=warn"))}`, "severity=warn");
  assert.equal(`${logQuery(new URLSearchParams("level=loud&q=x"))}`, "q=x");
});

Deno.test("streamQuery() asks for no more than the view shows", () => {
  const params = new URLSearchParams("errors=1&level=error");
  assert.equal(`${streamQuery({ kind: "traces" }, params)}`, "error=true&signals=traces");
  assert.equal(`${streamQuery({ kind: "logs" }, params)}`, "severity=error&signals=logs");
  assert.equal(`${streamQuery({ kind: "charts" }, params)}`, "signals=metrics");
  assert.equal(
    `${streamQuery({ kind: "trace", traceId: "ab" }, params)}`,
    "q=trace%3Dab&signals=traces%2Clogs",
  );
});

Deno.test("rangesFor() offers no range that shows no more than a shorter one", () => {
  assert.deepEqual(rangesFor(60_000, "5m"), ["5m"]);
  assert.deepEqual(rangesFor(60_000, "15m"), ["5m", "15m"]);
  assert.deepEqual(rangesFor(6 * 60_000, "15m"), ["5m", "15m"]);
  assert.deepEqual(rangesFor(20 * 60_000, "15m"), ["5m", "15m", "1h"]);
});
