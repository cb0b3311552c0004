import assert from "node:assert/strict";
import { Health, healthRoutes } from "./health.ts";

async function ask(health: Health, path: string): Promise<[number, string]> {
  const response = await healthRoutes(health).request(path);
  return [response.status, await response.text()];
}

Deno.test("Health is not ready before any part has said so, but live", async () => {
  const health = new Health();
  assert.deepEqual(await ask(health, "/readyz"), [503, "not ok\n"]);
  assert.deepEqual(await ask(health, "/livez"), [200, "ok\n"]);
  assert.deepEqual(await ask(health, "/healthz"), [200, "ok\n"]);
});

Deno.test("Health is ready when every part is, and names the one that is not", async () => {
  const health = new Health();
  health.set("http", "ok");
  health.set("store", { reason: "disk full" });
  assert.deepEqual(await ask(health, "/readyz?verbose"), [
    503,
    "[+]http ok\n[-]store disk full\nnot ok\n",
  ]);
  health.set("store", "ok");
  assert.deepEqual(await ask(health, "/readyz"), [200, "ok\n"]);
});

Deno.test("Health.stop() ends readiness and keeps liveness; fail() ends both", async () => {
  const health = new Health();
  health.set("http", "ok");
  health.stop();
  assert.equal((await ask(health, "/readyz"))[0], 503);
  assert.equal((await ask(health, "/livez"))[0], 200);
  health.fail("worker died");
  assert.deepEqual(await ask(health, "/livez?verbose"), [
    503,
    "[+]http ok\n[-]shutdown in progress\n[-]fatal worker died\nnot ok\n",
  ]);
});
