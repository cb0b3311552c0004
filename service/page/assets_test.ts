import assert from "node:assert/strict";
import { brotliCompressSync, gunzipSync } from "node:zlib";
import { testWith } from "../testing/permissions.ts";
import { pageRoutes } from "./assets.ts";

const script = "console.log('a page')";

/** A page as a bundled program carries it. */
function withPage(): Disposable {
  const before = globalThis.ORRERY_PAGES;
  globalThis.ORRERY_PAGES = {
    shop: {
      inputs: {},
      html: '<!doctype html><script src="/assets/main-AB.js"></script>',
      assets: {
        "assets/main-AB.js": {
          type: "text/javascript; charset=utf-8",
          brotli: brotliCompressSync(script).toString("base64"),
        },
      },
    },
  };
  return { [Symbol.dispose]: () => globalThis.ORRERY_PAGES = before };
}

const routes = ["/", "/orders/{orderId}"];

Deno.test("pageRoutes() answers all of the page's routes with its HTML, and no others", async () => {
  using _ = withPage();
  const app = pageRoutes("shop", { routes });
  for (const path of ["/", "/orders/7", "/orders/%3Cscript%3E"]) {
    const response = await app.request(path);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "text/html; charset=utf-8");
    assert.match(await response.text(), /main-AB\.js/);
  }
  assert.equal((await app.request("/orders")).status, 404);
  assert.equal((await app.request("/api/orders")).status, 404);
});

Deno.test("pageRoutes() lets a browser run nothing inline and nothing from elsewhere", async () => {
  using _ = withPage();
  const app = pageRoutes("shop", { routes });
  for (const path of ["/", "/assets/main-AB.js"]) {
    const { headers } = await app.request(path);
    const policy = headers.get("content-security-policy")!;
    assert.match(policy, /default-src 'self'/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
  }
});

Deno.test("pageRoutes() sends an asset in the best encoding that is accepted", async () => {
  using _ = withPage();
  const app = pageRoutes("shop", { routes });
  const cases: [accepted: string | undefined, encoding: string | null][] = [
    ["gzip, deflate, br, zstd", "br"],
    ["gzip", "gzip"],
    ["br;q=0, gzip;q=0.5", "gzip"],
    ["identity", null],
    [undefined, null],
  ];
  for (const [accepted, encoding] of cases) {
    const response = await app.request("/assets/main-AB.js", {
      headers: accepted === undefined ? {} : { "accept-encoding": accepted },
    });
    assert.equal(response.headers.get("content-encoding"), encoding, accepted);
    assert.equal(response.headers.get("vary"), "accept-encoding");
    assert.match(response.headers.get("cache-control")!, /immutable/);
    const body = new Uint8Array(await response.arrayBuffer());
    if (encoding === "gzip") assert.equal(gunzipSync(body).toString(), script);
    if (encoding === null) assert.equal(new TextDecoder().decode(body), script);
  }
});

Deno.test("pageRoutes() answers 304 to a browser that has this very HTML", async () => {
  using _ = withPage();
  const app = pageRoutes("shop", { routes });
  const first = await app.request("/");
  const etag = first.headers.get("etag")!;
  assert.equal(first.headers.get("cache-control"), "no-cache");
  for (const header of [etag, `W/${etag}`, `"other", ${etag}`]) {
    const again = await app.request("/orders/7", { headers: { "if-none-match": header } });
    assert.equal(again.status, 304);
    assert.equal(await again.text(), "");
  }
  const other = await app.request("/", { headers: { "if-none-match": '"other"' } });
  assert.equal(other.status, 200);
});

Deno.test("pageRoutes() says to reload when an asset is of another build", async () => {
  using _ = withPage();
  const response = await pageRoutes("shop", { routes }).request("/assets/main-OLD.js");
  assert.equal(response.status, 404);
  assert.equal(response.headers.get("cache-control"), "no-store");
  assert.match((await response.json()).detail, /Reload/);
});

Deno.test("pageRoutes() puts a base in front of the assets", async () => {
  using _ = withPage();
  const app = pageRoutes("shop", { routes: ["/sign"], base: "/sign" });
  assert.match(await (await app.request("/sign")).text(), /src="\/sign\/assets\/main-AB\.js"/);
  assert.equal((await app.request("/sign/assets/main-AB.js")).status, 200);
});

testWith(["read"], "pageRoutes() names the command when the page is not built", async () => {
  const app = pageRoutes("no-such-program", { routes });
  const forPeople = await app.request("/", { headers: { accept: "text/html,*/*" } });
  assert.equal(forPeople.status, 503);
  assert.match(forPeople.headers.get("content-type")!, /^text\/plain/);
  assert.match(await forPeople.text(), /deno task pages/);
  const forPrograms = await app.request("/assets/main-AB.js");
  assert.equal(forPrograms.headers.get("content-type"), "application/problem+json");
  assert.match((await forPrograms.json()).detail, /deno task pages/);
});
