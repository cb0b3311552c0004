import assert from "node:assert/strict";
import { noDeadline, testContext } from "../service/testing/context.ts";
import { testWith } from "../service/testing/permissions.ts";
import { startRestApi } from "./rest_api.ts";
import { startService } from "./service.ts";
import { restApiOptions, serviceOptions } from "./test_options.ts";

type Call = (method: string, path: string, headers?: HeadersInit) => Promise<Response>;

/** Calls a program that keeps its keys in a folder of its own. */
async function withProgram(
  start: (dataDir: string) => ReturnType<typeof startService>,
  run: (call: Call, kid: string, port: number) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const program = await start(folder);
  const call: Call = (method, path, headers = {}) =>
    fetch(`http://127.0.0.1:${program.port}${path}`, {
      method,
      headers,
      ...(method === "POST" && { body: '{"message":"hi"}' }),
      redirect: "manual",
    });
  try {
    const { keys } = await (await call("GET", "/keys")).json();
    await run(call, keys[0].kid, program.port);
  } finally {
    await program.stop(noDeadline);
    await Deno.remove(folder, { recursive: true });
  }
}

async function refused(response: Response): Promise<boolean> {
  const json = response.headers.get("content-type") === "application/problem+json";
  const { title } = json ? await response.json() : { title: "" };
  if (!json) await response.body?.cancel();
  return response.status === 403 && /^Foreign (host name|origin)$/.test(title);
}

const upgrade = { upgrade: "websocket", connection: "upgrade" };
const apiRoutes = [
  ["POST", "/sign"],
  ["POST", "/sign/batch"],
  ["POST", "/verify"],
  ["GET", "/sign"],
  ["GET", "/sign/info"],
  ["GET", "/keys"],
  ["POST", "/keys/rotate"],
  ["POST", "/keys/{kid}/retire"],
  ["POST", "/keys/{kid}/revoke"],
] as const;

testWith(
  ["read", "write"],
  "a page behind DNS rebinding may not sign, rotate, retire or revoke keys at the REST API",
  () =>
    withProgram(
      (folder) => startRestApi(restApiOptions(folder), testContext()),
      async (call, kid, port) => {
        // To the browser such a page is of our own origin: `Origin` and `Host` agree.
        const host = `evil.example:${port}`;
        const headers = { host, origin: `http://${host}`, "sec-fetch-site": "same-origin" };
        for (const [method, path] of apiRoutes) {
          const response = await call(method, path.replace("{kid}", kid), headers);
          assert.ok(await refused(response), `${method} ${path}`);
        }
        const socket = await call("GET", "/sign/ws", { ...headers, ...upgrade });
        assert.ok(await refused(socket), "the WebSocket");
        const { keys } = await (await call("GET", "/keys")).json();
        assert.deepEqual(keys.map(({ state }: { state: string }) => state), ["active"]);
      },
    ),
);

testWith(
  ["read", "write"],
  "a page of another origin may neither write, read nor open a WebSocket at the REST API",
  () =>
    withProgram(
      (folder) =>
        startRestApi(
          restApiOptions(folder, { allowedOrigin: ["https://good.example"] }),
          testContext(),
        ),
      async (call, kid) => {
        const foreign = { origin: "https://evil.example", "sec-fetch-site": "cross-site" };
        const good = { origin: "https://good.example", "sec-fetch-site": "cross-site" };
        for (const [method, path] of apiRoutes) {
          const response = await call(method, path.replace("{kid}", kid), foreign);
          assert.ok(await refused(response), `${method} ${path}`);
        }
        assert.ok(await refused(await call("GET", "/sign/ws", { ...foreign, ...upgrade })));
        assert.equal(await refused(await call("POST", "/sign", good)), false);
        assert.equal(await refused(await call("GET", "/sign/ws", good)), false);
      },
    ),
);

testWith(
  ["read", "write"],
  "a page behind DNS rebinding or of another origin may not touch the keys of a signing service",
  () =>
    withProgram(
      (folder) => startService(serviceOptions(folder), testContext()),
      async (call, kid, port) => {
        const host = `evil.example:${port}`;
        const pages: HeadersInit[] = [
          { host, origin: `http://${host}`, "sec-fetch-site": "same-origin" },
          { origin: "https://evil.example", "sec-fetch-site": "cross-site" },
        ];
        for (const headers of pages) {
          for (const [method, path] of apiRoutes.slice(-4)) {
            const response = await call(method, path.replace("{kid}", kid), headers);
            assert.ok(await refused(response), `${method} ${path}`);
          }
        }
        const { keys } = await (await call("GET", "/keys")).json();
        assert.equal(keys.length, 1);
        // The kubelet asks by an address of its own, programs send no origin.
        const alive = await call("GET", "/livez", { host: "10.1.2.3" });
        assert.equal(await alive.text(), "ok\n");
        assert.equal(alive.status, 200);
        const rotated = await call("POST", "/keys/rotate");
        assert.equal(rotated.status, 201);
        await rotated.body?.cancel();
      },
    ),
);

testWith(
  ["read", "write"],
  "a name given by --allowed-host may be asked for",
  () =>
    withProgram(
      (folder) =>
        startRestApi(restApiOptions(folder, { allowedHost: ["signer.example"] }), testContext()),
      async (call) => {
        const response = await call("POST", "/sign", { host: "signer.example" });
        assert.equal(response.status, 200);
        await response.body?.cancel();
      },
    ),
);
