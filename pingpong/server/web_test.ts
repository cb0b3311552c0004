import assert from "node:assert/strict";
import { testContext } from "../../service/testing/context.ts";
import type { WellKnown } from "../protocol/well_known.ts";
import { webApp } from "./web.ts";

const document: WellKnown = {
  version: 1,
  webtransport: { port: 4433, path: "/", certificateHashes: [] },
  websocket: { path: "/" },
};

const app = webApp({
  guard: { anyPort: true, publicPaths: ["/.well-known/pingpong.json"] },
  sessions: { upgrade: () => Promise.resolve(new Response("upgraded")) },
  onRefused: () => {},
  wellKnown: () => document,
}, testContext());

async function ask(path: string, headers: Record<string, string>, method = "GET") {
  return await app.request(`http://localhost:4480${path}`, { method, headers });
}

Deno.test("every page and every name may read the well-known document, and no other", async () => {
  const foreign = { host: "evil.example", origin: "https://evil.example" };
  const answer = await ask("/.well-known/pingpong.json", foreign);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("access-control-allow-origin"), "*");
  assert.deepEqual(await answer.json(), document);
  assert.equal((await ask("/", foreign)).status, 403);
  assert.equal((await ask("/.well-known/pingpong.json", foreign, "POST")).status, 403);
  assert.equal((await ask("/livez", { host: "10.0.0.9:4480" })).status, 200);
});

Deno.test("a WebSocket is had by pages of this host on any port and by programs, by no other page", async () => {
  const upgrade = { upgrade: "websocket", host: "localhost:4433" };
  assert.equal((await ask("/any", upgrade)).status, 200);
  assert.equal((await ask("/any", { ...upgrade, origin: "http://localhost:4480" })).status, 200);
  assert.equal((await ask("/any", { ...upgrade, origin: "https://evil.example" })).status, 403);
  assert.equal((await ask("/any", { ...upgrade, host: "evil.example" })).status, 403);
});

Deno.test("a method that a path does not take is answered 405 with Allow", async () => {
  const answer = await ask("/.well-known/pingpong.json", {}, "DELETE");
  assert.equal(answer.status, 405);
  assert.equal(answer.headers.get("allow"), "GET, HEAD");
});
