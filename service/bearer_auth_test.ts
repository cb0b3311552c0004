import { Hono } from "hono";
import { exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from "jose";
import assert from "node:assert/strict";
import { authFlags, bearerAuth, bearerAuthFromFlags, bearerToken } from "./bearer_auth.ts";
import { StartError } from "./life_cycle.ts";
import type { ProblemError } from "./problem.ts";
import { testContext } from "./testing/context.ts";
import { eventually } from "./testing/eventually.ts";
import { startIssuer } from "./testing/issuer.ts";
import { VirtualWorld } from "./world/virtual_world.ts";

/** What a check was refused with. */
async function refusal(check: Promise<unknown>): Promise<[number, string, string | null]> {
  try {
    await check;
  } catch (error) {
    const { status, problem } = error as ProblemError;
    const challenge = (error as ProblemError).getResponse().headers.get("www-authenticate");
    return [status, problem.detail!, challenge];
  }
  throw new Error("It was let in.");
}

Deno.test("check() lets a good token in and says whose it is", async () => {
  await using issuer = await startIssuer();
  const auth = bearerAuth({ issuer: issuer.url, audience: "api" });
  const caller = await auth.check(await issuer.token(), "read");
  assert.equal(caller.subject, "ann");
  assert.deepEqual([...caller.scopes], ["read", "write"]);
  assert.ok(caller.expiresAtMs > Date.now());
  const list = await auth.check(await issuer.token({ scope: undefined, scp: ["read"] }), "read");
  assert.deepEqual([...list.scopes], ["read"]);
});

Deno.test("check() refuses each kind of bad token with 401, a challenge and the reason", async () => {
  await using issuer = await startIssuer();
  const auth = bearerAuth({ issuer: issuer.url, audience: "api", clockToleranceSeconds: 0 });
  const stranger = await generateKeyPair("ES256");
  const good = await issuer.token();
  const unsigned = `${btoa('{"alg":"none"}')}.${good.split(".")[1]}.`;
  const hmac = await new SignJWT({}).setProtectedHeader({ alg: "HS256" }).setExpirationTime("1h")
    .sign(new TextEncoder().encode("x".repeat(32)));
  const cases: [string, RegExp][] = [
    ["nonsense", /not a signed JWT/],
    [unsigned, /not a signed JWT/],
    [hmac, /not a signed JWT|signature/],
    [good.slice(0, -4) + "AAAA", /signature is not the issuer's/],
    [await issuer.token({}, { key: stranger.privateKey }), /signature is not the issuer's/],
    [await issuer.token({}, { audience: "another" }), /'aud'/],
    [await issuer.token({ iss: "http://elsewhere" }), /'iss'/],
    [await issuer.token({}, { expires: "0s" }), /expired/],
    [await issuer.token({}, { expires: null }), /'exp'/],
    ["x".repeat(20_000), /longer than/],
  ];
  for (const [token, reason] of cases) {
    const [status, detail, challenge] = await refusal(auth.check(token));
    assert.equal(status, 401, detail);
    assert.match(detail, reason);
    assert.match(challenge!, /^Bearer realm="orrery", error="invalid_token"/);
  }
});

Deno.test("check() names a client where no person is, and refuses a token that names neither", async () => {
  await using issuer = await startIssuer();
  const auth = bearerAuth({ issuer: issuer.url, audience: "api" });
  const subjectOf = async (claims: Record<string, unknown>) =>
    (await auth.check(await issuer.token(claims))).subject;
  assert.equal(await subjectOf({ sub: "bob", client_id: "robot" }), "bob");
  assert.equal(await subjectOf({ sub: undefined, client_id: "robot", azp: "other" }), "robot");
  assert.equal(await subjectOf({ sub: "", azp: "robot" }), "robot");
  for (
    const claims of [
      { sub: undefined },
      { sub: "" },
      { sub: undefined, client_id: "", azp: "" },
      { sub: undefined, client_id: 7, azp: null },
    ]
  ) {
    const [status, detail, challenge] = await refusal(auth.check(await issuer.token(claims)));
    assert.equal(status, 401);
    assert.match(detail, /neither a subject \('sub'\) nor a client \('client_id', 'azp'\)/);
    assert.match(challenge!, /error="invalid_token"/);
  }
});

Deno.test("check() refuses an issuer whose discovery document is another one's", async () => {
  await using issuer = await startIssuer();
  for (const named of ["https://evil.example", undefined, "slash"]) {
    let url = "";
    await using impostor = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      () =>
        Response.json({
          issuer: named === "slash" ? `${url}/` : named,
          jwks_uri: `${issuer.url}/jwks`,
        }),
    );
    url = `http://127.0.0.1:${impostor.addr.port}`;
    const { lines, log, world } = testContext();
    const auth = bearerAuth({ issuer: url, audience: "api", log, world });
    const [status, detail, challenge] = await refusal(
      auth.check(await issuer.token({ iss: url })),
    );
    assert.deepEqual([status, challenge], [503, null]);
    assert.equal(
      detail,
      "Tokens cannot be checked: the issuer's discovery document is that of another one.",
    );
    assert.equal(lines.length, 1);
    assert.match(lines[0]!, /^WARN .*its discovery document says it is/);
  }
});

Deno.test("check() asks for the keys again when they are old, and for a new key when it may", async () => {
  await using issuer = await startIssuer();
  const world = new VirtualWorld({ startMs: Date.now() });
  const auth = bearerAuth({ issuer: issuer.url, audience: "api", world });
  const token = await issuer.token({}, { expires: "1d" });
  await auth.check(token);
  assert.equal(issuer.asked, 2);
  await world.advance(599_999);
  await auth.check(token);
  assert.equal(issuer.asked, 2);
  await world.advance(1);
  await auth.check(token);
  assert.equal(issuer.asked, 3, "the keys alone");

  await issuer.newKey();
  const renewed = await issuer.token({}, { expires: "1d" });
  const [status, detail] = await refusal(auth.check(renewed));
  assert.equal(status, 401);
  assert.match(detail, /signature is not the issuer's/);
  assert.equal(issuer.asked, 3, "not within 30 s of the last time");
  await world.advance(30_000);
  await Promise.all([auth.check(renewed), auth.check(renewed)]);
  assert.equal(issuer.asked, 4, "once for both");

  await world.advance(86_400_000);
  const [late, reason] = await refusal(auth.check(token));
  assert.equal(late, 401);
  assert.match(reason, /expired/);
});

Deno.test("check() does without discovery where the keys' address is given", async () => {
  await using issuer = await startIssuer();
  const auth = bearerAuth({
    issuer: issuer.url,
    audience: "api",
    jwksUri: `${issuer.url}/jwks`,
  });
  await auth.check(await issuer.token());
  assert.equal(issuer.asked, 1);
});

Deno.test("check() without a token is 401 with a bare challenge, as RFC 6750 wants", async () => {
  const auth = bearerAuth({ issuer: "http://127.0.0.1:1", audience: "api" });
  const [status, , challenge] = await refusal(auth.check(undefined, "read"));
  assert.equal(status, 401);
  assert.equal(challenge, 'Bearer realm="orrery", scope="read"');
});

Deno.test("check() refuses a token without the scope with 403", async () => {
  await using issuer = await startIssuer();
  const auth = bearerAuth({ issuer: issuer.url, audience: "api" });
  const [status, detail, challenge] = await refusal(auth.check(await issuer.token(), "admin"));
  assert.equal(status, 403);
  assert.match(detail, /does not allow admin/);
  assert.match(challenge!, /error="insufficient_scope".*scope="admin"/);
  const [oneOfTwo, missing] = await refusal(auth.check(await issuer.token(), "read", "admin"));
  assert.deepEqual([oneOfTwo, missing], [403, "The token does not allow admin."]);
});

Deno.test("check() says 503, not 401, while the issuer is away, and recovers by itself", async () => {
  await using issuer = await startIssuer();
  const auth = bearerAuth({ issuer: issuer.url, audience: "api", timeoutMs: 500 });
  const token = await issuer.token();
  issuer.setUp(false);
  const [status, , challenge] = await refusal(auth.check(token));
  assert.deepEqual([status, challenge], [503, null]);
  issuer.setUp(true);
  await auth.check(token);
});

Deno.test("check() asks the issuer once for many tokens, and finds a key that is new", async () => {
  await using issuer = await startIssuer();
  const auth = bearerAuth({ issuer: issuer.url, audience: "api" });
  const token = await issuer.token();
  await Promise.all(Array.from({ length: 20 }, () => auth.check(token)));
  assert.equal(issuer.asked, 2, "the discovery document and the keys");
  // Within the pause between two questions an unknown key stays unknown; a fresh checker asks.
  await issuer.newKey();
  await bearerAuth({ issuer: issuer.url, audience: "api" }).check(await issuer.token());
});

Deno.test("require() guards routes and tells them who calls", async () => {
  await using issuer = await startIssuer();
  const auth = bearerAuth({ issuer: issuer.url, audience: "api" });
  const app = new Hono<{ Variables: { caller: { subject: string } } }>();
  app.use(auth.require("read"));
  app.get("/", (c) => c.text(c.get("caller").subject));
  assert.equal((await app.request("/")).status, 401);
  const headers = { authorization: `Bearer ${await issuer.token()}` };
  assert.equal(await (await app.request("/", { headers })).text(), "ann");
});

Deno.test("bearerToken() reads the scheme in any case, and nothing else", () => {
  assert.equal(bearerToken("Bearer abc"), "abc");
  assert.equal(bearerToken("bearer  abc"), "abc");
  for (const header of [undefined, "", "Bearer", "Basic abc", "Bearer a b"]) {
    assert.equal(bearerToken(header), undefined, header);
  }
});

Deno.test("bearerAuthFromFlags() wants issuer and audience together", () => {
  assert.equal(bearerAuthFromFlags({}), undefined);
  for (const flags of [{ authIssuer: "http://x" }, { authAudience: "x" }]) {
    assert.throws(
      () => bearerAuthFromFlags(flags),
      new StartError("Cannot demand bearer tokens: --auth-issuer and --auth-audience go together."),
    );
  }
  assert.ok(bearerAuthFromFlags({ authIssuer: "http://x", authAudience: "x" }));
});

Deno.test("an issuer's keys are not fetched from where a redirect points", async () => {
  await using issuer = await startIssuer();
  await using elsewhere = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => Response.redirect(`${issuer.url}/jwks`, 302),
  );
  const auth = bearerAuth({
    issuer: issuer.url,
    audience: "api",
    jwksUri: `http://127.0.0.1:${elsewhere.addr.port}/jwks`,
  });
  const [status] = await refusal(auth.check(await issuer.token()));
  assert.equal(status, 503);
});

Deno.test("what is refused says what, and its challenge which scopes, in characters of a header", async () => {
  await using issuer = await startIssuer();
  const auth = bearerAuth({ issuer: issuer.url, audience: "api" });
  for (const token of [undefined, ""]) {
    assert.deepEqual(await refusal(auth.check(token, "read", "admin")), [
      ...[401, "Send a bearer token: Authorization: Bearer …"],
      'Bearer realm="orrery", scope="read admin"',
    ]);
  }
  assert.deepEqual(await refusal(auth.check(await issuer.token(), "read", "admin", "root")), [
    403,
    "The token does not allow admin root.",
    'Bearer realm="orrery", error="insufficient_scope", error_description="The token does not allow admin root.", scope="read admin root"',
  ]);
  const [, , beyondHeaders] = await refusal(auth.check(await issuer.token(), "lesen", "größe"));
  assert.ok(
    beyondHeaders!.endsWith('not allow lesen gr??e.", scope="lesen gr??e"'),
    beyondHeaders!,
  );
  for (
    const [token, wanted] of [
      ["", "Authentication needed"],
      ["x", "Invalid token"],
      [await issuer.token(), "Scope missing"],
    ] as const
  ) {
    const { problem } = await auth.check(token, "root").catch((error) => error) as ProblemError;
    assert.equal(problem.title, wanted);
  }
  const tooLong = "The token is longer than 16384 characters.";
  assert.equal((await refusal(auth.check("x".repeat(16_385))))[1], tooLong);
  const longest = await refusal(auth.check("x".repeat(16_384)));
  assert.deepEqual(longest, [
    401,
    "The token is not a signed JWT of a kind that is accepted here.",
    'Bearer realm="orrery", error="invalid_token", error_description="The token is not a signed JWT of a kind that is accepted here."',
  ]);
  const aud = await refusal(auth.check(await issuer.token({}, { audience: "another" })));
  assert.equal(aud[1], "The token's claim 'aud' is not as it must be.");
  assert.ok(aud[2]!.endsWith(`error_description="The token's claim 'aud' is not as it must be."`));
  assert.equal(
    (await refusal(auth.check(await issuer.token({}, { expires: "-1h" }))))[1],
    "The token has expired.",
  );
});

Deno.test("check() reads scopes as issuers write them, and takes nothing else for one", async () => {
  await using issuer = await startIssuer();
  const auth = bearerAuth({ issuer: issuer.url, audience: "api" });
  for (
    const [claims, scopes] of [
      [{ scope: "a  b " }, ["a", "b"]],
      [{ scope: undefined, scp: "a b" }, ["a", "b"]],
      [{ scope: undefined, scp: ["a", 7, null, "b"] }, ["a", "b"]],
      [{ scope: ["c"], scp: "a" }, ["a"]],
      [{ scope: undefined, scp: 7 }, []],
      [{ scope: "" }, []],
      [{ scope: undefined }, []],
    ] as const
  ) {
    const caller = await auth.check(await issuer.token(claims as Record<string, unknown>));
    assert.deepEqual([...caller.scopes], scopes, JSON.stringify(claims));
  }
});

Deno.test("what an issuer that cannot be asked costs is said, to the caller and once to the operator", async () => {
  await using issuer = await startIssuer();
  const { lines, log, world } = testContext();
  const auth = bearerAuthFromFlags(
    { authIssuer: issuer.url, authAudience: "api", authJwksUri: "http://127.0.0.1:1/jwks" },
    { log, world },
  )!;
  for (let i = 0; i < 2; i++) {
    const failed = await auth.check(await issuer.token()).catch((error) => error as ProblemError);
    const { problem } = failed as ProblemError;
    assert.deepEqual([problem.title, problem.detail], [
      "Issuer unavailable",
      "Tokens cannot be checked: the issuer's keys cannot be had. Try again soon.",
    ]);
    assert.equal((failed as ProblemError).getResponse().headers.get("retry-after"), "5");
  }
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /^WARN Tokens cannot be checked reason=/);
  // The keys' own address is used: the issuer itself has some.
  const direct = bearerAuthFromFlags({
    ...{ authIssuer: issuer.url, authAudience: "api", authJwksUri: `${issuer.url}/jwks` },
  })!;
  assert.equal((await direct.check(await issuer.token())).subject, "ann");
});

Deno.test("bearerToken() takes one token of the whole header", () => {
  for (
    const [header, token] of [
      ["Bearer a.b-c_d~", "a.b-c_d~"],
      ["bearer   x", "x"],
      ["x Bearer y", undefined],
      ["Bearer x y", undefined],
      ["Bearer ", undefined],
      ["", undefined],
      [undefined, undefined],
    ]
  ) assert.equal(bearerToken(header), token);
});

Deno.test("the flags say what they do, and take an address for an address only", () => {
  const { issuer, audience, jwksUri } = authFlags;
  for (
    const [option, usage] of [
      [issuer(), "--auth-issuer <url>"],
      [audience(), "--auth-audience <name>"],
      [jwksUri(), "--auth-jwks-uri <url>"],
    ] as const
  ) {
    assert.equal(option.flags, usage);
    assert.match(option.description, /^[a-z].*[a-z]$/);
  }
  for (const option of [issuer(), jwksUri()]) {
    assert.throws(() => option.parseArg!("not an address", undefined), /an absolute URL/);
  }
});

Deno.test("check() takes every asymmetric algorithm that is named, whatever key it is", async () => {
  const rsa = await generateKeyPair("RS256", { extractable: true });
  const rsaKeys: JWK[] = [await exportJWK(rsa.privateKey), await exportJWK(rsa.publicKey)];
  const keys: JWK[] = [];
  await using issuer = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => Response.json({ keys }),
  );
  const url = `http://127.0.0.1:${issuer.addr.port}`;
  const algorithms = ["EdDSA", "Ed25519", "ES256", "ES384", "ES512"]
    .concat(["PS256", "PS384", "PS512", "RS256", "RS384", "RS512"]);
  const tokens: string[] = [];
  for (const alg of algorithms) {
    // One of RSA serves all of its kind: to make one takes long.
    let [privateKey, publicKey] = rsaKeys;
    if (!/^[PR]S/.test(alg)) {
      const pair = await generateKeyPair(alg, { extractable: true });
      [privateKey, publicKey] = [await exportJWK(pair.privateKey), await exportJWK(pair.publicKey)];
    }
    keys.push({ ...publicKey!, alg, kid: alg });
    tokens.push(
      await new SignJWT({ sub: alg }).setProtectedHeader({ alg, kid: alg }).setIssuer(url)
        .setAudience("api").setExpirationTime("1h").sign(await importJWK(privateKey!, alg)),
    );
  }
  const auth = bearerAuth({ issuer: url, audience: "api", jwksUri: `${url}/jwks` });
  const callers = await Promise.all(tokens.map((token) => auth.check(token)));
  assert.deepEqual(callers.map(({ subject }) => subject), algorithms);
});

Deno.test("check() gives an issuer that hangs the time it was told, and keeps keys as long as that", async () => {
  await using issuer = await startIssuer();
  const world = new VirtualWorld({ startMs: Date.now() });
  let asked = 0;
  const gone = Promise.withResolvers<Response>();
  await using hanging = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => {
      asked++;
      return gone.promise;
    },
  );
  const auth = bearerAuth({
    ...{ issuer: issuer.url, audience: "api", world, timeoutMs: 600_000 },
    jwksUri: `http://127.0.0.1:${hanging.addr.port}/jwks`,
  });
  const token = await issuer.token({}, { expires: "1d" });
  let hasEnded = false;
  const refused = refusal(auth.check(token)).finally(() => hasEnded = true);
  await eventually("a request for the keys", () => asked === 1 || undefined);
  await world.advance(599_999);
  assert.equal(hasEnded, false);
  await world.advance(1);
  assert.equal((await refused)[0], 503);
  gone.resolve(new Response());

  const keeping = bearerAuth({ issuer: issuer.url, audience: "api", world, keysMaxAgeMs: 1_000 });
  await keeping.check(token);
  await world.advance(999);
  await keeping.check(token);
  assert.equal(issuer.asked, 2);
  await world.advance(1);
  await keeping.check(token);
  assert.equal(issuer.asked, 3);
});

Deno.test("a token's time is the world's, also of a checker that flags ask for", async () => {
  await using issuer = await startIssuer();
  const world = new VirtualWorld({ startMs: Date.now() });
  const auth = bearerAuthFromFlags({ authIssuer: issuer.url, authAudience: "api" }, { world })!;
  const token = await issuer.token();
  await auth.check(token);
  await world.advance(7_200_000);
  assert.equal((await refusal(auth.check(token)))[1], "The token has expired.");
});
