import { errors, exportJWK, generateKeyPair, jwtVerify, SignJWT } from "jose";
import assert from "node:assert/strict";
import { IssuerError, IssuerKeys } from "./issuer_keys.ts";

/** What asks for the key of a token. */
const header = { alg: "ES256", kid: "1" };
const token = { payload: "", signature: "" };

type Answers = Record<string, (url: string) => Response | Promise<Response>>;

/** Serves some paths, and keeps what was asked. */
async function withIssuer(
  answers: Answers,
  test: (url: string, asked: { path: string; accept: string | null }[]) => Promise<void>,
): Promise<void> {
  const asked: { path: string; accept: string | null }[] = [];
  let url = "";
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const path = new URL(request.url).pathname;
    asked.push({ path, accept: request.headers.get("accept") });
    const answer = answers[path];
    return answer ? answer(url) : new Response(null, { status: 404 });
  });
  url = `http://127.0.0.1:${server.addr.port}`;
  await test(url, asked);
}

/** Why the keys cannot be had. */
async function refusal(options: ConstructorParameters<typeof IssuerKeys>[0]): Promise<IssuerError> {
  try {
    await new IssuerKeys(options).find(header, token);
  } catch (error) {
    assert.ok(error instanceof IssuerError, String(error));
    assert.equal(error.name, "IssuerError");
    return error;
  }
  throw new Error("It has given a key.");
}

const wellKnown = "/.well-known/openid-configuration";

Deno.test("an issuer's keys are found by its discovery document, of one with a path and a slash too", async () => {
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  const jwk = { ...await exportJWK(publicKey), ...header };
  for (const path of ["", "/", "/realms/one", "/realms/one/"]) {
    const document = path.replace(/\/$/, "") + wellKnown;
    await withIssuer({
      [document]: (url) => Response.json({ issuer: url + path, jwks_uri: `${url}/jwks` }),
      "/jwks": () => Response.json({ keys: [jwk] }),
    }, async (url, asked) => {
      const keys = new IssuerKeys({ issuer: url + path });
      const signed = await new SignJWT({ sub: "ann" }).setProtectedHeader(header).sign(privateKey);
      assert.equal((await jwtVerify(signed, keys.find)).payload.sub, "ann");
      const accept = "application/json";
      assert.deepEqual(asked, [{ path: document, accept }, { path: "/jwks", accept }]);
      await assert.rejects(
        async () => await keys.find({ ...header, kid: "2" }, token),
        errors.JWKSNoMatchingKey,
      );
      assert.equal(asked.length, 2);
    });
  }
});

Deno.test("a discovery document must be the issuer's own, and name where the keys are", async () => {
  for (
    const [document, kind, message] of [
      [
        { issuer: "https://evil.example" },
        "another-issuer",
        /is refused: its discovery document says it is "https:\/\/evil\.example", which must be the same to the letter$/,
      ],
      [{}, "another-issuer", /says it is nobody, which/],
      [null, "another-issuer", /says it is nobody, which/],
      [{ jwks_uri: undefined }, "malformed", /openid-configuration names no jwks_uri$/],
      [{ jwks_uri: 7 }, "malformed", /names no jwks_uri$/],
      [{ jwks_uri: ["http://127.0.0.1:1/"] }, "malformed", /names no jwks_uri$/],
      [{ jwks_uri: "no address" }, "malformed", /names no jwks_uri$/],
    ] as const
  ) {
    await withIssuer({
      [wellKnown]: (url) =>
        Response.json(document && "jwks_uri" in document ? { issuer: url, ...document } : document),
    }, async (url, asked) => {
      const error = await refusal({ issuer: url });
      assert.equal(error.kind, kind);
      assert.match(error.message, message);
      assert.equal(asked.length, 1);
    });
  }
});

Deno.test("what is no set of keys says what it is", async () => {
  const issuer = "http://127.0.0.1:1";
  const cases: [answer: () => Response, IssuerError["kind"], RegExp, hasCause: boolean][] = [
    [() => new Response("down", { status: 500 }), "unavailable", /\/jwks answered 500$/, false],
    [() => new Response(null, { status: 404 }), "unavailable", /\/jwks answered 404$/, false],
    [
      () => new Response(null, { status: 302, headers: { location: "/else" } }),
      ...["unavailable", /\/jwks answered 302$/, false] as const,
    ],
    [() => new Response("no json"), "malformed", /\/jwks answered no JSON: .*JSON/, true],
    [() => Response.json({ nothing: 1 }), "malformed", /\/jwks answered no key set: .+/, true],
  ];
  for (const [answer, kind, message, hasCause] of cases) {
    await withIssuer({ "/jwks": answer }, async (url, asked) => {
      const error = await refusal({ issuer, jwksUri: `${url}/jwks` });
      assert.equal(error.kind, kind);
      assert.match(error.message, message);
      assert.equal(error.cause instanceof Error, hasCause);
      assert.equal(asked.length, 1);
    });
  }
  const error = await refusal({ issuer, jwksUri: "http://127.0.0.1:1/jwks" });
  assert.equal(error.kind, "unavailable");
  assert.match(error.message, /^http:\/\/127\.0\.0\.1:1\/jwks does not answer: .+/);
  assert.ok(error.cause instanceof Error);
});
