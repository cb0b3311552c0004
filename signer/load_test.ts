import assert from "node:assert/strict";
import { testContext } from "../service/testing/context.ts";
import { eventually } from "../service/testing/eventually.ts";
import { startLoad } from "./load.ts";

/** The first line of a load whose every request is answered so. */
async function firstLine(answer: (path: string) => Response): Promise<string> {
  const context = testContext();
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => answer(new URL(request.url).pathname),
  );
  const load = await startLoad({
    url: `http://127.0.0.1:${server.addr.port}`,
    intervalMs: 10,
    timeoutMs: 2_000,
  }, context);
  const line = await eventually(
    "a line",
    () => context.lines.find((one) => one.includes("not signed")),
  );
  context.stop();
  await load.stop(AbortSignal.timeout(5_000));
  return line;
}

Deno.test("the load takes neither a redirect nor a half truth for a signature", async () => {
  const elsewhere = () => new Response(null, { status: 302, headers: { location: "/welcome" } });
  assert.match(
    await firstLine((path) => path === "/welcome" ? Response.json({ valid: true }) : elsewhere()),
    /redirected, which is not followed: status 302/,
  );
  assert.match(
    await firstLine((path) => Response.json(path === "/verify" ? { valid: "yes" } : {})),
    /signature is not valid/,
  );
});
