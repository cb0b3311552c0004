import assert from "node:assert/strict";
import { testWith } from "../../service/testing/permissions.ts";
import { createLocalJWKSet, flattenedVerify } from "jose";
import { bearerAuth } from "../../service/bearer_auth.ts";
import { keptMetrics } from "../../service/testing/kept_metrics.ts";
import { noDeadline } from "../../service/testing/context.ts";
import { VirtualWorld } from "../../service/world/virtual_world.ts";
import { startIssuer } from "../../service/testing/issuer.ts";
import { assertNothingAddsUp } from "../../service/testing/rounds.ts";
import { eventually } from "../../service/testing/eventually.ts";
import { jsonProtocol } from "./sign_socket.ts";
import { generateKey } from "../keys/signing.ts";
import { publish, testSigner } from "../test_signer.ts";

/** Of a WebSocket: npm `ws` reads variables of its own. */
const needs: Deno.PermissionName[] = ["net", "env"];

const post = (url: string, body: unknown, headers: HeadersInit = {}) =>
  fetch(url, {
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers,
  });

testWith(
  needs,
  "text socket answers each message in the order of the questions, the empty one too",
  async () => {
    await using signer = await testSigner({ algorithm: "base64" });
    const { socket, reach } = await signer.socket();
    for (const message of ["a", "", "ccc", "ä"]) socket.send(message);
    assert.deepEqual(await reach(4), ["ok: YQ==", "ok: ", "ok: Y2Nj", "ok: w6Q="]);
    socket.close();
  },
);

testWith(
  needs,
  "text socket begins the next message after the answer to the last",
  async () => {
    await using signer = await testSigner({
      algorithm: "base64",
      requester: { maxInFlight: 1 },
    });
    const { socket, reach } = await signer.socket();
    for (let i = 0; i < 50; i++) socket.send(String(i));
    const answers = await reach(50);
    assert.ok(answers.every((answer) => answer.startsWith("ok: ")), answers.join("\n"));
    socket.close();
  },
);

testWith(
  needs,
  "text socket survives binary frames, and says so in their turn",
  async () => {
    await using signer = await testSigner({ algorithm: "base64" });
    const { socket, reach } = await signer.socket();
    socket.send("a");
    socket.send(new Uint8Array([1, 2, 3]));
    socket.send(new Uint8Array());
    socket.send("b");
    assert.deepEqual(await reach(4), [
      "ok: YQ==",
      "error: invalid request",
      "error: invalid request",
      "ok: Yg==",
    ]);
    socket.close();
  },
);

testWith(
  needs,
  "text socket says timeout and too large as a text client expects, and lives",
  async () => {
    await using signer = await testSigner({
      worker: "none",
      requester: { timeoutMs: 20, maxMessageBytes: 10 },
    });
    const { socket, reach } = await signer.socket();
    socket.send("a");
    socket.send("much too long");
    socket.send("b");
    assert.deepEqual(await reach(3), ["error: timeout", "error: too large", "error: timeout"]);
    socket.close();
  },
);

testWith(needs, "text socket bounds what waits for its turn", async () => {
  await using signer = await testSigner({ worker: "none", requester: { timeoutMs: 60_000 } });
  const { socket, closed } = await signer.socket();
  for (let i = 0; i < 2_000; i++) socket.send("x");
  // The code may get lost, as the client is still sending when it is cut off.
  await closed;
  assert.ok(signer.requester.inFlight <= 1);
  await eventually("no socket", () => signer.routes.sockets === 0 || undefined);
});

testWith(needs, "JSON socket answers many at once, by id, text and bytes", async () => {
  await using signer = await testSigner({ algorithm: "base64" });
  const { socket, reach } = await signer.socket([jsonProtocol]);
  assert.equal(socket.protocol, jsonProtocol);
  for (let id = 0; id < 100; id++) socket.send(JSON.stringify({ id, message: `m${id}` }));
  socket.send(JSON.stringify({ id: "bytes", message: "_w", encoding: "base64url" }));
  const answers = (await reach(101)).map((answer) => JSON.parse(answer));
  assert.equal(new Set(answers.map(({ id }) => id)).size, 101);
  for (const { id, ok } of answers) {
    const signature = id === "bytes" ? "/w==" : btoa(`m${id}`);
    assert.deepEqual(ok, { signature, algorithm: "base64", keyId: null });
  }
  socket.close();
});

testWith(
  needs,
  "JSON socket survives broken frames and says what is wrong with each",
  async () => {
    await using signer = await testSigner();
    const { socket, reach } = await signer.socket([jsonProtocol]);
    const frames = [
      "",
      "{",
      "null",
      "[]",
      '{"message":"x"}',
      '{"id":{},"message":"x"}',
      '{"id":1}',
    ];
    for (const frame of frames) socket.send(frame);
    socket.send(new Uint8Array([1]));
    socket.send(JSON.stringify({ id: 9, message: "ok" }));
    const answers = (await reach(9)).map((answer) => JSON.parse(answer));
    assert.deepEqual(answers.slice(0, 8).map(({ error }) => error.type), Array(8).fill("invalid"));
    assert.equal(answers[6].id, 1);
    assert.match(answers[7].error.detail, /text frames/);
    assert.ok(answers[8].ok);
    socket.close();
  },
);

testWith(
  needs,
  "JSON socket gives a number back as it came, or refuses it: never another's",
  async () => {
    await using signer = await testSigner({ algorithm: "base64" });
    const { socket, reach } = await signer.socket([jsonProtocol]);
    const kept = [
      "0",
      "-7",
      "1.5",
      "9007199254740991",
      "-9007199254740991",
      "123456789012345680000",
    ];
    const refused = ["9007199254740993", "-0", "0.1000000000000000055", "1e400"];
    for (const id of [...kept, ...refused]) socket.send(`{"id":${id},"message":"x"}`);
    // Another member of this name is none of the question's.
    socket.send('{"extra":{"id":1.0},"id":2.5,"message":"x"}');
    const answers = await reach(kept.length + refused.length + 1);
    for (const id of [...kept, "2.5"]) {
      const own = answers.find((answer) => answer.startsWith(`{"id":${id},`));
      assert.match(own ?? "", /"ok":/, id);
    }
    const errors = answers.map((text) => JSON.parse(text)).filter(({ error }) => error);
    assert.equal(errors.length, refused.length);
    for (const { id, error } of errors) {
      assert.deepEqual([id, error.type], [null, "invalid"]);
      assert.match(
        error.detail,
        /^'id' (would come back as .*: send it as a text|must be a number)/,
      );
    }
    socket.close();
  },
);

testWith(
  needs,
  "JSON socket is overloaded beyond its messages in flight, and says for which",
  async () => {
    const world = new VirtualWorld();
    await using signer = await testSigner({ worker: "none", world });
    const { socket, reach } = await signer.socket([jsonProtocol]);
    for (let id = 0; id < 300; id++) socket.send(JSON.stringify({ id, message: "x" }));
    await reach(44);
    await world.advance(5_100);
    const answers = (await reach(300)).map((answer) => JSON.parse(answer));
    const types = Map.groupBy(answers, ({ error }) => error.type as string);
    assert.equal(types.get("overloaded")?.length, 44);
    assert.equal(types.get("timeout")?.length, 256);
    socket.close();
  },
);

Deno.test("sockets are refused for pages of other origins", async () => {
  await using signer = await testSigner({ http: { allowedOrigins: ["https://good.example"] } });
  const upgrade = (origin: string) =>
    fetch(`${signer.url}/sign/ws`, {
      headers: { origin, upgrade: "websocket", connection: "upgrade" },
    });
  for (const origin of ["https://evil.example", "null", "http://127.0.0.1:1"]) {
    const response = await upgrade(origin);
    assert.equal(response.status, 403, origin);
    await response.body?.cancel();
  }
  const crossPost = await post(`${signer.url}/sign`, { message: "x" }, {
    origin: "https://evil.example",
  });
  assert.equal(crossPost.status, 403);
  await crossPost.body?.cancel();
  for (const origin of ["https://good.example", signer.url]) {
    const response = await post(`${signer.url}/sign`, { message: "x" }, { origin });
    assert.equal(response.status, 200, origin);
    await response.body?.cancel();
  }
});

testWith(needs, "sockets are bounded, and one that closes makes room", async () => {
  const { meter, sum } = keptMetrics();
  const gauge = () => sum("signer.sockets");
  await using signer = await testSigner({ routes: { maxSockets: 2 }, meter });
  const first = await signer.socket();
  await signer.socket();
  await assert.rejects(signer.socket());
  assert.equal(await gauge(), 2);
  first.socket.close();
  await first.closed;
  await eventually("room", () => signer.routes.sockets === 1 || undefined);
  assert.equal(await gauge(), 1);
  await signer.socket();
  await signer.routes.closeSockets(noDeadline);
  await eventually("the gauge at 0", async () => await gauge() === 0 || undefined);
});

Deno.test("GET /sign/ws without an upgrade is 400, as in the contract", async () => {
  await using signer = await testSigner();
  const response = await fetch(`${signer.url}/sign/ws`);
  assert.equal(response.status, 400);
  await response.body?.cancel();
});

Deno.test("POST /sign/batch answers item by item, in order", async () => {
  await using signer = await testSigner({ algorithm: "base64", routes: { maxBatchItems: 3 } });
  const response = await post(`${signer.url}/sign/batch`, {
    items: [{ message: "a" }, { message: 1 }, { message: "b" }],
  });
  const { results } = await response.json();
  assert.equal(results[0].ok.signature, "YQ==");
  assert.equal(results[1].error.type, "invalid");
  assert.equal(results[2].ok.signature, "Yg==");
  const tooMany = await post(`${signer.url}/sign/batch`, { items: [{}, {}, {}, {}] });
  assert.equal(tooMany.status, 400);
  assert.match((await tooMany.json()).detail, /at most 3/);
});

Deno.test("POST /sign answers errors as problems with stable types", async () => {
  await using signer = await testSigner({
    worker: "none",
    // Long enough that the second of two is there before the first is given up, on any machine.
    requester: { timeoutMs: 300, maxMessageBytes: 10, maxInFlight: 1 },
    routes: { maxBodyBytes: 100 },
  });
  const problem = async (body: unknown) => {
    const response = await post(`${signer.url}/sign`, body);
    assert.equal(response.headers.get("content-type"), "application/problem+json");
    return [response.status, (await response.json()).type, response.headers.get("retry-after")];
  };
  assert.deepEqual(await problem("{"), [400, "invalid", null]);
  assert.deepEqual(await problem({ message: "x" }), [504, "timeout", null]);
  assert.deepEqual(await problem({ message: "x".repeat(11) }), [413, "too-large", null]);
  assert.deepEqual(await problem({ message: "x".repeat(200) }), [413, "about:blank", null]);
  const both = await Promise.all([problem({ message: "x" }), problem({ message: "y" })]);
  assert.deepEqual(both.find(([, type]) => type === "overloaded"), [503, "overloaded", "1"]);
});

Deno.test("POST /verify says whether a signature is the key's, and why not", async () => {
  await using signer = await testSigner();
  const verify = async (body: unknown) => await (await post(`${signer.url}/verify`, body)).json();
  const { signature, keyId } = await (await post(`${signer.url}/sign`, { message: "hi" })).json();
  assert.deepEqual(await verify({ message: "hi", signature, keyId }), {
    valid: true,
    keyState: "active",
  });
  assert.deepEqual(await verify({ message: "ho", signature, keyId }), {
    valid: false,
    reason: "bad-signature",
  });
  assert.deepEqual(await verify({ message: "hi", signature, keyId: "other" }), {
    valid: false,
    reason: "unknown-key",
  });
  assert.equal((await verify({ message: "hi", signature: "!", keyId })).type, "invalid");
  assert.deepEqual(await verify({ message: "hi", signature: "aGk=", keyId: null }), {
    valid: true,
    keyState: null,
  });
  await publish(signer.bus, {
    ...signer.key!.publicJwk,
    state: "retired",
    version: 1,
    created_at: "",
  });
  await eventually("the retired key", () => signer.directory.jwks.keys.length === 0 || undefined);
  assert.deepEqual(await verify({ message: "hi", signature, keyId }), {
    valid: false,
    reason: "retired-key",
  });
});

Deno.test("GET /.well-known/jwks.json lets anybody verify alone, and may be cached", async () => {
  await using signer = await testSigner();
  const url = `${signer.url}/.well-known/jwks.json`;
  const response = await fetch(url);
  assert.match(response.headers.get("cache-control")!, /max-age=\d+/);
  assert.equal(response.headers.get("content-type"), "application/jwk-set+json");
  const etag = response.headers.get("etag")!;
  const jwks = await response.json();
  const cached = await fetch(url, { headers: { "if-none-match": etag } });
  assert.equal(cached.status, 304);

  const payload = btoa("hi").replace(/=+$/, "");
  const header = btoa(JSON.stringify({ alg: "EdDSA", kid: signer.key!.publicJwk.kid }))
    .replace(/=+$/, "");
  const answer = await post(`${signer.url}/sign`, { message: `${header}.${payload}` });
  const signature = (await answer.json()).signature.replaceAll("+", "-").replaceAll("/", "_")
    .replace(/=+$/, "");
  await flattenedVerify({ protected: header, payload, signature }, createLocalJWKSet(jwks));
});

Deno.test("key directory takes no key whose id is not its thumbprint", async () => {
  await using signer = await testSigner();
  const stranger = { state: "active", version: 9, created_at: "" } as const;
  await publish(signer.bus, { ...generateKey("ed25519").publicJwk, kid: "forged", ...stranger });
  const honest = generateKey("es256").publicJwk;
  await publish(signer.bus, { ...honest, ...stranger });
  await eventually("the honest key", () => signer.directory.keys.length === 2 || undefined);
  assert.ok(!signer.directory.keys.some(({ kid }) => kid === "forged"));
});

Deno.test("routes demand a token with signer:sign when authentication is on", async () => {
  await using signer = await testSigner({
    routes: { auth: bearerAuth({ issuer: "http://127.0.0.1:1", audience: "signer" }) },
  });
  for (const path of ["/sign", "/sign/batch", "/verify"]) {
    const response = await post(`${signer.url}${path}`, { message: "x" });
    assert.equal(response.status, 401, path);
    assert.match(response.headers.get("www-authenticate")!, /^Bearer .*scope="signer:sign"/);
    await response.body?.cancel();
  }
  await assert.rejects(signer.socket());
  const open = await fetch(`${signer.url}/.well-known/jwks.json`);
  assert.equal(open.status, 200);
  await open.body?.cancel();
});

testWith(
  needs,
  "a token with signer:sign opens routes and sockets, and the audit log knows whose it is",
  async () => {
    await using issuer = await startIssuer();
    await using signer = await testSigner({
      routes: { auth: bearerAuth({ issuer: issuer.url, audience: "api" }) },
    });
    const token = await issuer.token({ scope: "signer:sign" });
    const authorization = `Bearer ${token}`;
    const signed = await post(`${signer.url}/sign`, { message: "x" }, { authorization });
    assert.equal(signed.status, 200);
    await signed.body?.cancel();
    const { socket, reach } = await signer.socket([jsonProtocol, `bearer.${token}`]);
    assert.equal(socket.protocol, jsonProtocol);
    socket.send('{"id":1,"message":"y"}');
    assert.ok(JSON.parse((await reach(1))[0]!).ok);
    assert.deepEqual(signer.audited.map(({ actor }) => actor), ["ann", "ann"]);
    socket.close();

    const other = `Bearer ${await issuer.token({ scope: "signer:admin" })}`;
    const refused = await post(`${signer.url}/sign`, { message: "x" }, { authorization: other });
    assert.equal(refused.status, 403);
    await refused.body?.cancel();
  },
);

testWith(needs, "a socket ends with its token", async () => {
  await using issuer = await startIssuer();
  const world = new VirtualWorld({ startMs: Date.now() });
  await using signer = await testSigner({
    routes: { auth: bearerAuth({ issuer: issuer.url, audience: "api" }) },
    world,
  });
  const token = await issuer.token({ scope: "signer:sign" }, { expires: "10m" });
  const { socket, closed } = await signer.socket([jsonProtocol, `bearer.${token}`]);
  await world.advance(590_000);
  assert.equal(socket.readyState, WebSocket.OPEN);
  await world.advance(10_000);
  const { code, reason } = await closed;
  assert.deepEqual([code, reason], [1008, "the token has expired"]);
});

testWith(
  needs,
  "closeSockets() answers what is under way, then says that it goes away",
  async () => {
    const world = new VirtualWorld();
    await using signer = await testSigner({ worker: "none", world });
    const text = await signer.socket();
    const json = await signer.socket([jsonProtocol]);
    text.socket.send("a");
    json.socket.send('{"id":1,"message":"a"}');
    await eventually("both under way", () => signer.requester.inFlight === 2 || undefined);
    const closing = signer.routes.closeSockets(noDeadline);
    await world.advance(5_100);
    await closing;
    assert.equal((await text.closed).code, 1001);
    assert.deepEqual(text.answers, ["error: timeout"]);
    await json.closed;
    assert.equal(JSON.parse(json.answers[0]!).error.type, "timeout");
  },
);

testWith(needs, "sockets and requests that come and go leave nothing behind", async () => {
  await using issuer = await startIssuer();
  const world = new VirtualWorld({ startMs: Date.now() });
  const auth = bearerAuth({ issuer: issuer.url, audience: "api" });
  await using signer = await testSigner({ algorithm: "base64", routes: { auth }, world });
  const { routes, requester } = signer;
  const token = await issuer.token({ scope: "signer:sign" }, { expires: "10m" });
  const headers = { authorization: `Bearer ${token}` };
  await assertNothingAddsUp(async () => {
    const { socket, closed, reach } = await signer.socket([jsonProtocol, `bearer.${token}`]);
    socket.send(JSON.stringify({ id: 1, message: "a" }));
    await reach(1);
    const answer = await post(`${signer.url}/sign`, { message: "b" }, headers);
    assert.equal(answer.status, 200);
    await answer.body?.cancel();
    socket.close();
    await closed;
    await eventually("the socket's end", () => routes.sockets === 0 || undefined);
  }, {
    rounds: 20,
    counts: {
      timers: () => world.pendingTimers,
      sockets: () => routes.sockets,
      requests: () => requester.inFlight,
    },
  });
});
