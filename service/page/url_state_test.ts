import assert from "node:assert/strict";
import { href, matchPath, numberParam, wordParam } from "./url_state.ts";

Deno.test("href() changes parameters, drops empty ones and sorts, so that a state has one address", () => {
  const params = new URLSearchParams("service=orb-server&q=put");
  assert.equal(href("/", params, { q: "" }), "/?service=orb-server");
  assert.equal(href("/", params, { errors: true, q: undefined, service: false }), "/?errors=1");
  assert.equal(
    href("/", new URLSearchParams("b=2"), { a: 1 }),
    href("/", new URLSearchParams("a=1"), { b: 2 }),
  );
  assert.equal(href("/logs", new URLSearchParams()), "/logs");
});

Deno.test("href() gives a list once for each of its texts, and none for an empty one", () => {
  const params = new URLSearchParams("by=old&q=x");
  assert.equal(href("/", params, { by: ["a", "b,c"] }), "/?by=a&by=b%2Cc&q=x");
  assert.equal(href("/", params, { by: [] }), "/?q=x");
});

Deno.test("href() and URLSearchParams bring any text back as it was", () => {
  const text = "a&b=c ?#%/<script>é";
  const back = new URL(href("/", new URLSearchParams(), { q: text }), "http://x").searchParams;
  assert.equal(back.get("q"), text);
});

Deno.test("matchPath() takes the parts of a path that fits and refuses one that does not", () => {
  assert.deepEqual(matchPath("/traces/{traceId}", "/traces/4bf9"), { traceId: "4bf9" });
  assert.deepEqual(matchPath("/traces/{traceId}", "/traces/a%2Fb/"), { traceId: "a/b" });
  assert.deepEqual(matchPath("/", "/"), {});
  assert.equal(matchPath("/traces/{traceId}", "/traces/"), undefined);
  assert.equal(matchPath("/traces/{traceId}", "/traces/%zz"), undefined);
  assert.equal(matchPath("/traces/{traceId}", "/logs/4bf9"), undefined);
  assert.equal(matchPath("/logs", "/logs/x"), undefined);
});

Deno.test("numberParam() and wordParam() fall back on what an address must not say", () => {
  const bounds = { min: 1, max: 60, fallback: 15 };
  for (const [text, value] of [["5", 5], ["0", 15], ["61", 15], ["1e1", 15], ["", 15], ["x", 15]]) {
    assert.equal(
      numberParam(new URLSearchParams({ minutes: `${text}` }), "minutes", bounds),
      value,
    );
  }
  assert.equal(wordParam(new URLSearchParams("level=warn"), "level", ["info", "warn"]), "warn");
  assert.equal(wordParam(new URLSearchParams("level=loud"), "level", ["info", "warn"]), "info");
});
