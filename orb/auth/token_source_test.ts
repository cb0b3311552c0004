import assert from "node:assert/strict";
import { generateKeyPair } from "jose";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { clientCredentials, TokenError } from "./token_source.ts";

const issuer = "https://login.test";

/** An issuer whose answers to token requests come in turns, the last for ever. */
function testSource(answers: (() => Response)[], document: object = {}) {
  const world = new VirtualWorld({ seed: 1 });
  const asked: { url: string; body: URLSearchParams; headers: Headers; redirect: string }[] = [];
  let tokens = 0;
  const tokensOf = (options: { client: Parameters<typeof clientCredentials>[0]["client"] }) =>
    clientCredentials({
      ...{ issuer, scope: "orb:signup", audience: "https://orb.test", world, ...options },
      fetch: ((url: string, { body, headers, redirect }: RequestInit = {}) => {
        if (url.endsWith("openid-configuration")) {
          return Promise.resolve(
            Response.json({ issuer, token_endpoint: `${issuer}/token`, ...document }),
          );
        }
        asked.push({
          url,
          body: body as URLSearchParams,
          headers: new Headers(headers),
          redirect: redirect!,
        });
        return Promise.resolve(answers[Math.min(tokens++, answers.length - 1)]!());
      }) as typeof fetch,
    });
  const later = (ms: number) =>
    world.runUntil(new Promise<void>((resolve) => world.setTimeout(resolve, ms)));
  return { tokensOf, asked, later, world };
}

const token = (name: string) => () =>
  Response.json({ access_token: name, token_type: "bearer", expires_in: 100 });
const client = { id: "fleet", secret: "a secret&more" };

Deno.test("a token is asked for once, however many want it, and anew before it ends", async () => {
  const { tokensOf, asked, later } = testSource([token("one"), token("two"), token("three")]);
  const tokens = tokensOf({ client });
  assert.deepEqual(await Promise.all([tokens.get(), tokens.get()]), ["one", "one"]);
  await later(79_000);
  assert.equal(await tokens.get(), "one");
  await later(2_000);
  assert.equal(await tokens.get(), "two");
  tokens.forget("one");
  assert.equal(await tokens.get(), "two", "another one was refused");
  tokens.forget("two");
  assert.equal(await tokens.get(), "three");

  const [{ url, body, headers, redirect }] = asked as [typeof asked[number]];
  assert.deepEqual([url, redirect], [`${issuer}/token`, "manual"]);
  assert.equal(headers.get("authorization"), `Basic ${btoa("fleet:a%20secret%26more")}`);
  assert.equal(body.get("grant_type"), "client_credentials");
  assert.equal(body.get("resource"), "https://orb.test");
});

Deno.test("a device proves itself by a statement that its key signed, another each time", async () => {
  const { tokensOf, asked } = testSource([token("one"), token("two")]);
  const { privateKey } = await generateKeyPair("EdDSA");
  const tokens = tokensOf({ client: { id: "orb-1", privateKey } });
  tokens.forget(await tokens.get());
  await tokens.get();
  const [first, second] = asked.map(({ body }) => body.get("client_assertion"));
  assert.notEqual(first, second);
  const claims = JSON.parse(new TextDecoder().decode(
    Uint8Array.fromBase64(first!.split(".")[1]!, { alphabet: "base64url" }),
  ));
  assert.deepEqual([claims.iss, claims.sub, claims.aud], ["orb-1", "orb-1", issuer]);
  assert.equal(claims.exp - claims.iat, 60);
});

Deno.test("a refusal is an error with the issuer's words, and asked again the next time", async () => {
  const { tokensOf } = testSource([
    () => Response.json({ error: "invalid_client", error_description: "no such" }, { status: 401 }),
    () => new Response(null, { status: 302, headers: { location: "https://evil.test" } }),
    () => Response.json({ access_token: "", token_type: "bearer" }),
    () => Response.json({ access_token: "x", token_type: "mac" }),
    () => new Response("<html>"),
    () => new Response("x".repeat(100_000)),
    token("one"),
  ]);
  const tokens = tokensOf({ client });
  const reasons = [
    /401: invalid_client, no such/,
    /302/,
    /no bearer/,
    /no bearer/,
    /no JSON/,
    /more than/,
  ];
  for (const reason of reasons) {
    await assert.rejects(tokens.get(), (error) => {
      assert.ok(error instanceof TokenError);
      assert.match(error.message, reason);
      assert.doesNotMatch(error.message, /secret&more/);
      return true;
    });
  }
  assert.equal(await tokens.get(), "one");
});

Deno.test("secrets go to the issuer only, and never in the clear over a network", async () => {
  const { tokensOf } = testSource([token("one")], { issuer: "https://another.test" });
  await assert.rejects(tokensOf({ client }).get(), /of another issuer/);
  const clear = testSource([token("one")], { token_endpoint: "http://login.test/token" });
  await assert.rejects(clear.tokensOf({ client }).get(), /in the clear/);
  const options = { scope: "", client, fetch: globalThis.fetch };
  assert.throws(() => clientCredentials({ ...options, issuer: "http://login.test" }), TypeError);
  clientCredentials({ ...options, issuer: "http://127.0.0.1:4280" });
});
