/** What browsers and clients of either family of loopback need. */
import assert from "node:assert/strict";
import { parseOrigins } from "../service/http_guard.ts";
import { testConsole, tracesRequest } from "./test_console.ts";
import { hasIpv6 } from "../service/testing/ipv6.ts";

Deno.test("pages of a listed origin may send with credentials, as sendBeacon always does", async () => {
  for (const corsOrigin of [["https://shop.example"], ["*"]]) {
    await using viewer = await testConsole({ corsOrigin });
    const origin = "https://shop.example";
    const preflight = await fetch(`${viewer.otlpUrl}/v1/traces`, {
      method: "OPTIONS",
      headers: {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
      },
    });
    await preflight.body?.cancel();
    const sent = await viewer.send("traces", tracesRequest([{}]), { origin });
    await sent.body?.cancel();
    for (const { headers } of [preflight, sent]) {
      assert.equal(headers.get("access-control-allow-origin"), origin);
      assert.equal(headers.get("access-control-allow-credentials"), "true");
    }
  }
});

Deno.test("--cors-origin takes a port wildcard for loopback, and refuses what can never match", async () => {
  const parse = parseOrigins({ any: true });
  await using viewer = await testConsole({ corsOrigin: parse("http://localhost:*") });
  const allowed = async (origin: string) => {
    const sent = await viewer.send("traces", tracesRequest([{}]), { origin });
    await sent.body?.cancel();
    return sent.status === 200;
  };
  assert.equal(await allowed("http://localhost:5173"), true);
  assert.equal(await allowed("http://localhost"), true);
  assert.equal(await allowed("https://localhost:5173"), false);
  assert.equal(await allowed("http://localhost.evil.example:5173"), false);
  assert.equal(await allowed("http://127.0.0.1:5173"), false);
  for (
    const [text, says] of [
      ["https://shop.example/cart", /leave out what is not scheme/],
      ["shop.example", /must begin with http/],
      ["https://shop.example:*", /only a port may be \*/],
      ["http://*.example", /only a port may be \*/],
    ] as const
  ) assert.throws(() => parse(text), says, text);
});

Deno.test({
  name: "the console answers on both families of loopback",
  ignore: (await Deno.permissions.query({ name: "net" })).state !== "granted" || !hasIpv6(),
  async fn() {
    await using viewer = await testConsole();
    for (const [url, path] of [[viewer.pageUrl, "/readyz"], [viewer.otlpUrl, "/v1/traces"]]) {
      const { port } = new URL(url!);
      for (const host of ["127.0.0.1", "[::1]", "localhost"]) {
        const response = await fetch(`http://${host}:${port}${path}`);
        await response.body?.cancel();
        assert.equal(response.status, path === "/readyz" ? 200 : 405, host);
      }
    }
  },
});
