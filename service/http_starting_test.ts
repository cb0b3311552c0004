import assert from "node:assert/strict";
import { httpApp } from "./http_app.ts";
import { listenStarting } from "./http_starting.ts";
import { noDeadline, testContext } from "./testing/context.ts";

Deno.test("listenStarting() is alive at once, says why it is not ready, and serves what it is given", async () => {
  const context = testContext();
  context.health.set("bus", { reason: "waiting for Kafka" });
  const server = await listenStarting(
    { name: "fixture" },
    { port: 0, portFlag: "--port" },
    context,
  );
  const ask = async (path: string) => {
    const response = await fetch(server.url + path);
    return [response.status, await response.text()] as const;
  };
  assert.equal((await ask("/livez"))[0], 200);
  const [notReady, report] = await ask("/readyz?verbose");
  assert.equal(notReady, 503);
  assert.match(report, /\[-\]bus waiting for Kafka/);
  const [early, problem] = await ask("/sign");
  assert.equal(early, 503);
  assert.match(problem, /"title":"Starting"/);
  const app = httpApp({ name: "fixture" }, context);
  app.get("/sign", (c) => c.text("signed"));
  server.serve(app.fetch);
  context.health.set("bus", "ok");
  assert.deepEqual(await ask("/sign"), [200, "signed"]);
  assert.equal((await ask("/readyz"))[0], 200);
  await server.stop(noDeadline);
});
