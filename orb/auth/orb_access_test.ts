import assert from "node:assert/strict";
import { Hono } from "hono";
import { exportJWK, generateKeyPair } from "jose";
import { problemOnError } from "../../service/problem.ts";
import { testContext } from "../../service/testing/context.ts";
import { startIssuer, type TestIssuer } from "../../service/testing/issuer.ts";
import { testWith } from "../../service/testing/permissions.ts";
import type { OrbEnv } from "../api/orb_api.ts";
import { TestRecordDocuments } from "../devices/test_record_documents.ts";
import { AnsweredChallenges } from "./answered_challenges.ts";
import { Attestation } from "./attestation.ts";
import { openAttestationKey } from "./attestation_key.ts";
import { openAuditLog, type RefusedCall } from "./audit_log.ts";
import { challengeText } from "./challenge_text.ts";
import { createOrbAccess } from "./orb_access.ts";

/** An app with a route that needs a scope, behind an issuer and an attestation. */
async function withApp(
  run: (tools: {
    issuer: TestIssuer;
    attestation: Attestation;
    device: { id: string; key: CryptoKey };
    ask: (
      path: string,
      token?: string,
    ) => Promise<{ status: number; challenge: string; text: string }>;
    refusals: RefusedCall[];
    lines: string[];
  }) => Promise<void>,
): Promise<void> {
  await using issuer = await startIssuer();
  const folder = await Deno.makeTempDir();
  const { log, lines, telemetry: { meter }, world } = testContext();
  const refusals: RefusedCall[] = [];
  const noted = openAuditLog({ path: `${folder}/refused.jsonl`, log, meter });
  const audit = {
    ...noted,
    refused(call: RefusedCall) {
      refusals.push(call);
      noted.refused(call);
    },
    close: () => noted.close(),
  };
  const pair = await generateKeyPair("EdDSA", { extractable: true });
  const publicKey = { ...await exportJWK(pair.publicKey), kid: "orb-7" };
  const known = new Map([["orb-7", publicKey]]);
  const attestation = new Attestation({
    devices: { find: (id) => Promise.resolve(known.get(id)) },
    key: await openAttestationKey(`${folder}/key.json`),
    audience: "orb",
    answered: new AnsweredChallenges({ store: new TestRecordDocuments(), world }),
  });
  const access = createOrbAccess({
    issuer: issuer.url,
    audience: "orb",
    attestation,
    audit,
    log,
    world,
  });
  const app = new Hono<OrbEnv>();
  app.onError(problemOnError(log));
  app.get("/admin", access.require("orb:admin"), (c) => c.text("ok"));
  app.get("/signup", access.require("orb:signup", "orb:admin"), (c) => c.text("ok"));
  app.get("/orbs/:id", access.require("orb:telemetry", "orb:admin"), (c) => {
    const { caller } = c.var;
    return caller.mayActFor(c.req.param("id")) ? c.text(caller.subject!) : c.text("no", 403);
  });
  try {
    await run({
      issuer,
      attestation,
      device: { id: "orb-7", key: pair.privateKey },
      refusals,
      lines,
      async ask(path, token) {
        const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
        const response = await app.request(path, { headers });
        return {
          status: response.status,
          challenge: response.headers.get("www-authenticate") ?? "",
          text: await response.text(),
        };
      },
    });
    // What is written can be read, line by line, and no token is in it.
    audit.close();
    const written = (await Deno.readTextFile(`${folder}/refused.jsonl`)).split("\n").filter((
      line,
    ) => line !== "");
    assert.equal(written.filter((line) => JSON.parse(line).status >= 400).length, refusals.length);
    assert.doesNotMatch(written.join("\n") + lines.join("\n"), /eyJ/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function accessTest(name: string, run: Parameters<typeof withApp>[0]): void {
  testWith(["net", "read", "write"], name, () => withApp(run));
}

accessTest("a token that is not good in every way is refused, and noted", async (tools) => {
  const { issuer, ask, refusals } = tools;
  const good = { scope: "orb:signup", sub: "orb-1" };
  const audience = "orb";
  const { privateKey: foreignKey } = await generateKeyPair("ES256");
  const [header, payload] = (await issuer.token(good, { audience })).split(".");
  const none = new TextEncoder().encode('{"alg":"none","typ":"JWT"}')
    .toBase64({ alphabet: "base64url", omitPadding: true });
  const bad: Record<string, string | undefined> = {
    "no token": undefined,
    "expired": await issuer.token(good, { audience, expires: "-1m" }),
    "another audience": await issuer.token(good, { audience: "signer" }),
    "forged": await issuer.token(good, { audience, key: foreignKey }),
    "changed": `${header}.${payload!.slice(0, -2)}AA.${"A".repeat(86)}`,
    "alg none": `${none}.${payload}.`,
    "another issuer": await issuer.token({ ...good, iss: "http://elsewhere" }, { audience }),
    "without exp": await issuer.token(good, { audience, expires: null }),
    "no token at all": "abc",
    "endless": "a".repeat(20_000),
  };
  for (const [name, token] of Object.entries(bad)) {
    const { status, challenge } = await ask("/signup", token);
    assert.equal(status, 401, name);
    assert.match(challenge, /^Bearer realm="orrery"/, name);
  }
  assert.equal(refusals.length, Object.keys(bad).length);
  assert.ok(
    refusals.every(({ path, method, reason }) => path === "/signup" && method === "GET" && reason),
  );
  assert.equal((await ask("/signup", await issuer.token(good, { audience }))).status, 200);
});

accessTest(
  "one of the wanted scopes is enough, another one is not",
  async ({ issuer, ask, refusals }) => {
    const tokenWith = (scope: string) => issuer.token({ scope, sub: "orb-1" }, { audience: "orb" });
    const signup = await tokenWith("orb:signup");
    assert.equal((await ask("/signup", signup)).status, 200);
    const { status, challenge } = await ask("/admin", signup);
    assert.equal(status, 403);
    assert.match(challenge, /error="insufficient_scope".*scope="orb:admin"/);
    assert.deepEqual(refusals.map(({ status, subject }) => [status, subject]), [[403, "orb-1"]]);
    assert.equal((await ask("/admin", await tokenWith("orb:signup orb:admin"))).status, 200);
    assert.equal((await ask("/admin", await tokenWith("orb:admins"))).status, 403);
  },
);

accessTest("a device acts for itself only, an admin for all", async ({ issuer, ask, refusals }) => {
  const tokenOf = (sub: string, scope: string) => issuer.token({ scope, sub }, { audience: "orb" });
  const own = await tokenOf("orb-1", "orb:telemetry");
  assert.equal((await ask("/orbs/orb-1", own)).text, "orb-1");
  assert.equal((await ask("/orbs/orb-2", own)).status, 403);
  assert.deepEqual(refusals.map(({ subject, orb }) => [subject, orb]), [["orb-1", "orb-2"]]);
  assert.equal((await ask("/orbs/orb-2", await tokenOf("ops", "orb:admin"))).status, 200);
});

accessTest(
  "while the issuer is away a call is answered 503, not 401",
  async (tools) => {
    const { issuer, ask, refusals } = tools;
    const token = () => issuer.token({ scope: "orb:signup", sub: "orb-1" }, { audience: "orb" });
    issuer.setUp(false);
    assert.equal((await ask("/signup", await token())).status, 503);
    assert.equal(refusals.length, 0, "nobody was refused");
    issuer.setUp(true);
    assert.equal((await ask("/signup", await token())).status, 200);
  },
);

accessTest("a device gets a token for a challenge that its key signed, once", async (tools) => {
  const { attestation, device, ask } = tools;
  const challenge = await attestation.challenge(device.id);
  const sign = async (text: string, key = device.key) =>
    new Uint8Array(await crypto.subtle.sign("Ed25519", key, new TextEncoder().encode(text)));
  const signature = await sign(challengeText(challenge));
  const { token, lifetimeSeconds } = await attestation.grant(challenge, signature);
  assert.equal(lifetimeSeconds, 900);
  assert.equal((await ask("/signup", token)).status, 200);
  assert.equal((await ask("/orbs/orb-7", token)).text, "orb-7");
  assert.equal((await ask("/orbs/orb-8", token)).status, 403);
  assert.equal((await ask("/admin", token)).status, 403);
  // A challenge is no token, and answered once.
  assert.equal((await ask("/signup", challenge)).status, 401);
  await assert.rejects(attestation.grant(challenge, signature), /answered before/);

  const another = await attestation.challenge(device.id);
  const { privateKey: foreign } = await generateKeyPair("EdDSA");
  const wrong = [
    await sign(challengeText(another), foreign),
    await sign(another),
    signature,
    new Uint8Array(64),
    new Uint8Array(3),
  ];
  for (const bytes of wrong) {
    await assert.rejects(attestation.grant(another, bytes), /not signed by the key/);
  }
  const unknown = await attestation.challenge("orb-99");
  await assert.rejects(
    attestation.grant(unknown, await sign(challengeText(unknown))),
    /not signed/,
  );
  await assert.rejects(attestation.grant(token, signature), /none of this server/);
  await attestation.grant(another, await sign(challengeText(another)));
});
