import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import { encodedText } from "./http_encoding.ts";

const long = "observer_images 1\n".repeat(1_000);

async function encoded(accepts: string | undefined, text = long) {
  const headers = new Headers(accepts === undefined ? {} : { "accept-encoding": accepts });
  const request = new Request("http://localhost/metrics", { headers });
  const answer = await encodedText(request, text, { "content-type": "text/plain" }, ["accept"]);
  assert.equal(answer.headers.get("vary"), "accept, accept-encoding");
  assert.equal(answer.headers.get("content-type"), "text/plain");
  return { encoding: answer.headers.get("content-encoding"), bytes: await answer.bytes() };
}

Deno.test("encodedText() is gzip'd for who takes gzip, and the same text", async () => {
  for (const accepts of ["gzip", "deflate, gzip;q=0.5", "GZIP"]) {
    const { encoding, bytes } = await encoded(accepts);
    assert.equal(encoding, "gzip", accepts);
    assert.equal(gunzipSync(bytes).toString(), long);
    assert.ok(bytes.length < long.length / 10);
  }
});

Deno.test("encodedText() is as it is for everybody else, and where it is short", async () => {
  for (const accepts of [undefined, "", "br", "gzip;q=0", "gzip; q=0.000, br"]) {
    const { encoding, bytes } = await encoded(accepts);
    assert.equal(encoding, null, accepts);
    assert.equal(new TextDecoder().decode(bytes), long);
  }
  assert.equal((await encoded("gzip", "up 1\n")).encoding, null);
});
