/** Tokens from end to end: orb client, a real issuer (`oidc-provider`), orb server. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { startProgram } from "../../service/testing/program.ts";
import { startOidcIssuer } from "../../stack/oidc_issuer.ts";
import { startPostgresql } from "../../stack/postgresql.ts";
import { testWithStack } from "../../stack/test_with_stack.ts";
import { challengeText } from "./challenge_text.ts";
import { openDeviceKeys, publicKeysFile } from "./device_keys.ts";
import { withTempFolder } from "../../service/testing/temp_folder.ts";

const serverEntry = new URL("../server.ts", import.meta.url);
const clientEntry = new URL("../client.ts", import.meta.url);

/** A server with a data folder of its own. */
async function startServer(folder: string, ...flags: string[]) {
  const program = await startProgram(serverEntry, [
    ...["--orb-api-port", "0", "--data-dir", join(folder, "server"), ...flags],
  ]);
  const [, url] = await program.line(/The orb server is ready url=(\S+)/);
  return Object.assign(program, { url: url! });
}

function clientFlags(server: string, ...flags: string[]): string[] {
  return [
    ...["--telemetry-url", server, "--telemetry-interval", "0"],
    ...["--orb-server", server, "--orb-signup-interval", "0.2", "--images", "fresh", ...flags],
  ];
}

function authTest(name: string, run: (folder: string) => Promise<void>): void {
  testWithStack(name, () => withTempFolder(run));
}

async function reset(url: string, token?: string): Promise<number> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const response = await fetch(`${url}/api/reset`, { method: "POST", headers });
  await response.body?.cancel();
  return response.status;
}

authTest(
  "each orb signs up with a token that the issuer gave for its key, by both APIs",
  async (folder) => {
    const keys = join(folder, "devices");
    await using issuer = await startOidcIssuer({ deviceKeys: join(keys, publicKeysFile) });
    await using server = await startServer(folder, "--oauth-issuer", issuer.url);
    for (const api of ["v1", "v2"]) {
      await using client = await startProgram(clientEntry, [
        ...clientFlags(server.url, "--orbs", "3", "--api", api),
        ...["--oauth-issuer", issuer.url, "--device-keys", keys],
      ]);
      for (const orb of [1, 2, 3]) await client.line(new RegExp(`successful.* orb=${orb}$`));
      client.kill("SIGTERM");
      assert.equal((await client.status).code, 0);
      assert.doesNotMatch(client.lines.join("\n"), /eyJ|failed/);
    }
    const mode = (await Deno.stat(join(keys, "private.jwks.json"))).mode! & 0o777;
    assert.equal(mode, 0o600);
    assert.doesNotMatch(await Deno.readTextFile(join(keys, publicKeysFile)), /"d":/);

    assert.equal(await reset(server.url), 401);
    assert.equal(await reset(server.url, await issuer.adminToken("orb:signup")), 403);
    assert.equal(await reset(server.url, await issuer.adminToken("orb:admin")), 200);
    const refused = (await Deno.readTextFile(join(folder, "server", "refused.jsonl"))).trim().split(
      "\n",
    )
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      refused.filter(({ path }) => path === "/api/reset").map((
        { status, subject },
      ) => [status, subject]),
      [[401, undefined], [403, "admin"]],
    );
  },
);

authTest(
  "a client with a secret gets one token; a wrong secret is said, and not shown",
  async (folder) => {
    await using issuer = await startOidcIssuer();
    await using server = await startServer(folder, "--oauth-issuer", issuer.url);
    const flags = ["--oauth-issuer", issuer.url, "--oauth-client-id", "admin"];
    {
      const secret = ["--oauth-client-secret-file", issuer.adminSecretFile];
      await using client = await startProgram(
        clientEntry,
        clientFlags(server.url, "--api", "v2", ...flags, ...secret),
      );
      await client.line(/Signup request successful/);
    }
    const wrong = join(folder, "wrong.secret");
    await Deno.writeTextFile(wrong, "not-the-secret-of-anybody");
    await using client = await startProgram(
      clientEntry,
      clientFlags(server.url, "--max-attempts", "1", ...flags, "--oauth-client-secret-file", wrong),
    );
    await client.line(/unable to connect .*answered 401: invalid_client/);
    assert.doesNotMatch(client.lines.join("\n"), /not-the-secret/);
  },
);

authTest(
  "without an issuer orbs get tokens of the orb server, for a challenge they sign",
  async (folder) => {
    const keys = join(folder, "devices");
    await using server = await startServer(folder, "--device-keys", join(keys, publicKeysFile));
    {
      await using client = await startProgram(
        clientEntry,
        clientFlags(server.url, "--orbs", "3", "--api", "v2", "--device-keys", keys),
      );
      for (const orb of [1, 2, 3]) await client.line(new RegExp(`successful.* orb=${orb}$`));
    }
    // Keys that the server does not know.
    await using stranger = await startProgram(clientEntry, [
      ...clientFlags(server.url, "--max-attempts", "1"),
      ...["--device-keys", join(folder, "strangers")],
    ]);
    await stranger.line(/unable to connect .*answered 401: .*not signed by the key/);
    assert.equal(await reset(server.url), 401);
  },
);

authTest(
  "a challenge that was answered at one of two servers on PostgreSQL is refused at the other",
  async (folder) => {
    const keys = join(folder, "devices");
    const [device] = await openDeviceKeys(keys, 1);
    await using postgresql = await startPostgresql();
    const flags = [
      ...["--database-url", postgresql.databaseUrl, "--device-keys", join(keys, publicKeysFile)],
      ...["--attestation-key", join(folder, "attestation_key.json")],
    ];
    await using one = await startServer(join(folder, "one"), ...flags);
    await using other = await startServer(join(folder, "other"), ...flags);
    const post = async (url: string, body: unknown) => {
      const response = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      return { status: response.status, body: await response.json() };
    };
    const asked = await post(`${one.url}/v2/auth/challenges`, { device: device!.id });
    const { challenge } = asked.body as { challenge: string };
    const bytes = new TextEncoder().encode(challengeText(challenge));
    const signed = new Uint8Array(await crypto.subtle.sign("Ed25519", device!.privateKey, bytes));
    const answer = {
      challenge,
      signature: signed.toBase64({ alphabet: "base64url", omitPadding: true }),
    };
    const both = await Promise.all(
      [one, other].map(({ url }) => post(`${url}/v2/auth/tokens`, answer)),
    );
    assert.deepEqual(both.map(({ status }) => status).sort(), [200, 401]);
    for (const { url } of [one, other]) {
      const again = await post(`${url}/v2/auth/tokens`, answer);
      assert.equal(again.status, 401);
      assert.match(again.body.detail, /answered before/);
    }
  },
);
