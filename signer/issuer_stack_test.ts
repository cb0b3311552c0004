/** The signer's tokens against a real issuer, `oidc-provider`. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { eventually } from "../service/testing/eventually.ts";
import { startProgram } from "../service/testing/program.ts";
import { startOidcIssuer } from "../stack/oidc_issuer.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

const entry = new URL("./rest_api.ts", import.meta.url);
const scopes = ["signer:sign", "signer:admin"];

testWithStack(
  "the signer takes an issuer's tokens by audience and scope, also after its keys changed",
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      const runFolder = join(folder, "issuer");
      let port: number;
      await using signer = await (async () => {
        await using issuer = await startOidcIssuer({ audience: "signer", scopes, runFolder });
        port = Number(new URL(issuer.url).port);
        const api = await startProgram(entry, [
          ...["--port", "0", "--data-dir", join(folder, "signer")],
          ...["--auth-issuer", issuer.url, "--auth-audience", "signer"],
        ]);
        const [url] = await api.line(/(?<=Listening url=)http:\/\/127\.0\.0\.1:\d+/);
        assert.equal(await sign(url!, undefined), 401);
        assert.equal(await sign(url!, await issuer.adminToken("signer:sign")), 200);
        assert.equal(await sign(url!, await issuer.adminToken("signer:admin")), 403);
        await using other = await startOidcIssuer({ audience: "signer", scopes });
        assert.equal(await sign(url!, await other.adminToken("signer:sign")), 401);
        return Object.assign(api, { url: url! });
      })();
      // Another key of the same issuer: unknown keys are asked for.
      await Deno.remove(join(runFolder, "data", "keys.json"));
      await using issuer = await startOidcIssuer({
        audience: "signer",
        scopes,
        runFolder,
        port: port!,
      });
      const token = await issuer.adminToken("signer:sign");
      // Keys are asked for at most every 30 s, however many tokens name another one.
      await eventually(
        "the new key",
        async () => await sign(signer.url, token) === 200 || undefined,
      );

      await using wrong = await startOidcIssuer({
        audience: "orb",
        scopes,
        runFolder: join(folder, "w"),
      });
      assert.equal(await sign(signer.url, await wrong.adminToken("signer:sign")), 401);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

async function sign(url: string, token: string | undefined): Promise<number> {
  const response = await fetch(`${url}/sign`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ message: "hi" }),
  });
  await response.body?.cancel();
  return response.status;
}
