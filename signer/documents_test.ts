import assert from "node:assert/strict";
import { eventually } from "../service/testing/eventually.ts";
import { startIssuer } from "../service/testing/issuer.ts";
import { testWith } from "../service/testing/permissions.ts";
import type { ReceivedRecord } from "../service/bus/bus.ts";
import { assertPayload, assertRecord, documentedFetch, operations } from "./document_check.ts";
import { memoryBus } from "../service/bus/memory_bus.ts";
import { startRestApi } from "./rest_api.ts";
import { jsonProtocol } from "./api/sign_socket.ts";
import { noDeadline, testContext } from "../service/testing/context.ts";
import { restApiOptions } from "./test_options.ts";
import { openSocket, testSigner } from "./test_signer.ts";

const json = (body: unknown, headers: HeadersInit = {}): RequestInit => ({
  method: "POST",
  body: JSON.stringify(body),
  headers,
});

testWith(
  ["read", "write"],
  "openapi.json says what every route answers, and names every route",
  async () => {
    const folder = await Deno.makeTempDir();
    const context = testContext();
    const base = restApiOptions(`${folder}/open`, { maxMessageBytes: 1_000, maxSockets: 1 });
    const api = await startRestApi(base, context);
    await using issuer = await startIssuer();
    const guarded = await startRestApi({
      ...base,
      ...{ dataDir: `${folder}/guarded`, authIssuer: issuer.url, authAudience: "api" },
    }, testContext());
    const seen = new Set<string>();
    try {
      const call = documentedFetch(`http://127.0.0.1:${api.port}`, seen);
      const answer = await (await call("/sign", json({ message: "hi" }))).json();
      await call("/sign", json({ message: 1 }));
      await call("/sign", json({ message: "x".repeat(2_000) }));
      await call("/sign", json({ message: "x" }, { origin: "http://evil.example" }));
      for (const path of ["/sign", "/sign/info", "/sign/ws", "/keys", "/openapi.json"]) {
        const foreign = await call(path, { headers: { origin: "http://evil.example" } });
        assert.equal(foreign.status, 403, path);
      }
      await call("/sign/batch", json({ items: [{ message: "a" }, {}] }));
      await call("/sign/batch", json({ items: 1 }));
      await call("/verify", json({ message: "hi", ...answer }));
      await call("/verify", json({ message: "ho", ...answer }));
      await call("/verify", json({ message: "ho", signature: "aGk=", keyId: null }));
      await call("/verify", json({}));
      await call("/sign/info");
      await call("/sign", { headers: { accept: "application/json" } });
      const jwks = await call("/.well-known/jwks.json");
      await call("/.well-known/jwks.json", {
        headers: { "if-none-match": jwks.headers.get("etag")! },
      });
      await call("/keys");
      await call("/keys/rotate", { method: "POST" });
      await call(`/keys/${answer.keyId}/retire`, { method: "POST" });
      await call("/keys/nobody/retire", { method: "POST" });
      await call(`/keys/${answer.keyId}/revoke`, json({}));
      await call("/keys/nobody/revoke", json({ reason: "why" }));
      await call(`/keys/${answer.keyId}/revoke`, json({ reason: "x".repeat(20_000) }));
      const revoked = await call(`/keys/${answer.keyId}/revoke`, json({ reason: "leaked" }));
      assert.equal(revoked.status, 200);
      const refusedVerdict = await call("/verify", json({ message: "hi", ...answer }));
      assert.equal((await refusedVerdict.json()).reason, "revoked-key");
      for (const path of ["/livez", "/readyz", "/healthz", "/openapi.json", "/asyncapi.json"]) {
        await call(path);
      }
      await call("/sign/ws");
      const { socket, closed } = await openSocket(`ws://127.0.0.1:${api.port}/sign/ws`);
      await call("/sign/ws", { headers: { upgrade: "websocket", connection: "upgrade" } });
      socket.close();
      await closed;

      const refused = documentedFetch(`http://127.0.0.1:${guarded.port}`, seen);
      const guardedPaths = ["/sign", "/sign/batch", "/verify", "/keys/rotate"];
      for (const path of [...guardedPaths, "/keys/x/retire", "/keys/x/revoke"]) {
        assert.equal((await refused(path, json({}))).status, 401, path);
        const authorization = `Bearer ${await issuer.token()}`;
        assert.equal((await refused(path, json({}, { authorization }))).status, 403, path);
      }
      assert.equal((await refused("/keys")).status, 401);
      const upgrade = { upgrade: "websocket", connection: "upgrade" };
      assert.equal((await refused("/sign/ws", { headers: upgrade })).status, 401);

      context.health.stop();
      assert.equal((await call("/readyz?verbose")).status, 503);
    } finally {
      await api.stop(noDeadline);
      await guarded.stop(noDeadline);
      await Deno.remove(folder, { recursive: true });
    }
    const tried = new Set([...seen].map((one) => one.replace(/ \d+$/, "")));
    assert.deepEqual(operations.filter((operation) => !tried.has(operation)), [], "not tried");
  },
);

testWith(["net", "env"], "asyncapi.json says what goes over topics and sockets", async () => {
  const bus = memoryBus({ maxValueBytes: 1_000 });
  for (const algorithm of ["ed25519", "base64"] as const) {
    await using signer = await testSigner({ bus, algorithm });
    const requests: ReceivedRecord[] = [];
    const answers: ReceivedRecord[] = [];
    const keys: ReceivedRecord[] = [];
    const watch = (topic: string, records: ReceivedRecord[], from: "beginning" | "end") =>
      bus.follow({ topic, from, handle: (record) => records.push(record) });
    await watch("signer.v1", requests, "end");
    await watch(signer.requester.responseTopic, answers, "end");
    const { caughtUp } = await watch("signer.v1.keys", keys, "beginning");
    await caughtUp;

    const questions = [
      { id: 1, message: "text" },
      { id: "bytes", message: "_w", encoding: "base64url" },
      { id: 3, message: "x".repeat(900) },
      { id: 4, message: "y".repeat(2_000) },
      { id: 5, message: "traced", traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01` },
    ];
    const socket = await signer.socket([jsonProtocol]);
    for (const question of questions) {
      assertPayload("question", question);
      socket.socket.send(JSON.stringify(question));
    }
    socket.socket.send("{");
    for (const answer of await socket.reach(6)) assertPayload("socketAnswer", JSON.parse(answer));
    const text = await signer.socket();
    for (const message of ["a", "", "z".repeat(2_000)]) text.socket.send(message);
    for (const answer of await text.reach(3)) assertPayload("textAnswer", answer);

    // A stranger's bad request gets an error answer, which is documented as well.
    const encoder = new TextEncoder();
    const headers = [
      ["msg_id", encoder.encode("bad")],
      ["resp_topic", encoder.encode(signer.requester.responseTopic)],
    ] as const;
    await bus.send("signer.v1", { headers, value: null });
    await eventually("seven answers", () => answers.length === 7 || undefined);
    for (const record of requests) if (record.value) assertRecord("request", record);
    assert.equal(requests.length, 7);
    let errors = 0;
    for (const record of answers) {
      const failed = record.headers.some(([name]) => name === "error");
      if (failed) errors++;
      assertRecord(failed ? "errorAnswer" : "answer", record);
    }
    assert.equal(errors, algorithm === "base64" ? 2 : 1);
    for (const record of keys) assertRecord("publicKey", record);
    assert.equal(keys.length, 1);
  }
  await bus.close();
});

Deno.test("the document checks refuse what is not documented", () => {
  assert.throws(() => assertPayload("textAnswer", "error: KafkaError(7)"), /asyncapi/);
  assert.throws(() => assertPayload("socketAnswer", { id: 1 }), /asyncapi/);
  assert.throws(() => assertPayload("publicKey", { kid: "x" }), /asyncapi/);
});
