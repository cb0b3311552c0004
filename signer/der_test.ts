/**
 * ES256 signatures as DER, over every way in: what Java's `SHA256withECDSA` and `openssl dgst` verify.
 */
import assert from "node:assert/strict";
import { testWith } from "../service/testing/permissions.ts";
import { createPublicKey, verify } from "node:crypto";
import { type TestSigner, testSigner } from "./test_signer.ts";

interface Signed {
  signature: string;
  keyId: string;
  algorithm: string;
}

const message = "hello";
const asked = { message, format: "der" };

/** By another implementation, with the key that the REST API publishes. */
async function verifiesAsDer({ url }: TestSigner, signature: string): Promise<boolean> {
  const { keys: [jwk] } = await (await fetch(`${url}/.well-known/jwks.json`)).json();
  const key = createPublicKey({ key: jwk, format: "jwk" });
  const bytes = Uint8Array.fromBase64(signature);
  return verify("sha256", new TextEncoder().encode(message), { key, dsaEncoding: "der" }, bytes);
}

async function post<Answer>({ url }: TestSigner, path: string, body: unknown, status = 200) {
  const response = await fetch(url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, status, path);
  return await response.json() as Answer;
}

testWith(
  ["net", "env"],
  "an es256 signature is had as DER by REST, in a batch and by WebSocket",
  async () => {
    await using signer = await testSigner({ algorithm: "es256" });
    const single = await post<Signed>(signer, "/sign", asked);
    const { results: [batched] } = await post<{ results: unknown[] }>(signer, "/sign/batch", {
      items: [asked, { message }],
    });
    const { reach, socket } = await signer.socket(["orrery.signer.v1+json"]);
    socket.send(JSON.stringify({ id: "1", ...asked }));
    const [frame] = await reach(1);
    const found = [single, batched, JSON.parse(frame!)];
    for (const answer of found) {
      const signature = (JSON.stringify(answer).match(/"(?:signature|ok)":"([^"]+)"/) ?? [])[1];
      assert.ok(signature, JSON.stringify(answer));
      assert.ok(await verifiesAsDer(signer, signature), JSON.stringify(answer));
    }
    const { valid } = await post<{ valid: boolean }>(signer, "/verify", { ...asked, ...single });
    assert.equal(valid, true);
    // Without the word it is 64 bytes, as JWS has it, and no DER.
    const plain = await post<Signed>(signer, "/sign", { message });
    assert.equal(await verifiesAsDer(signer, plain.signature), false);
    socket.close();
  },
);

Deno.test("DER is refused where it cannot be, and where it is not strictly that", async () => {
  await using signer = await testSigner();
  const refused = await post<{ detail: string }>(signer, "/sign", asked, 400);
  assert.match(refused.detail, /for es256 alone; this is ed25519/);
  await using es = await testSigner({ algorithm: "es256" });
  const { signature, keyId } = await post<Signed>(es, "/sign", asked);
  const bytes = Uint8Array.fromBase64(signature);
  const wrong = {
    behind: [...bytes, 0],
    cut: [...bytes.slice(0, -1)],
    other: [0x31, ...bytes.slice(1)],
  };
  for (const [what, changed] of Object.entries(wrong)) {
    const text = Uint8Array.from(changed).toBase64();
    const { valid } = await post<{ valid: boolean }>(es, "/verify", {
      ...asked,
      ...{ signature: text, keyId },
    });
    assert.equal(valid, false, what);
  }
});
