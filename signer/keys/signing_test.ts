import assert from "node:assert/strict";
import { verify as nodeVerify } from "node:crypto";
import fc from "fast-check";
import { compactVerify, importJWK } from "jose";
import {
  exportPrivateJwk,
  fromBase64,
  fromDer,
  generateKey,
  importPrivateKey,
  importVerifier,
  type KeyAlgorithm,
  sign,
  toBase64,
  toDer,
} from "./signing.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("sign() makes RFC 8032's signatures", () => {
  // Section 7.1, TEST 1 and TEST 2.
  const vectors = [
    [
      "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
      "",
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
      "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
      "72",
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
  ] as const;
  for (const [seed, message, signature] of vectors) {
    const pkcs8 = `302e020100300506032b657004220420${seed}`;
    const pem = `-----BEGIN PRIVATE KEY-----\n${
      toBase64(Uint8Array.fromHex(pkcs8))
    }\n-----END PRIVATE KEY-----\n`;
    assert.equal(sign(importPrivateKey(pem), Uint8Array.fromHex(message)).toHex(), signature);
  }
});

for (const algorithm of ["ed25519", "es256"] as KeyAlgorithm[]) {
  Deno.test(`importVerifier() takes ${algorithm} signatures over the same bytes only`, () => {
    const key = generateKey(algorithm);
    const verifier = importVerifier(key.publicJwk);
    const signature = sign(key, bytes("hi"));
    assert.equal(signature.length, 64);
    assert.equal(verifier.verify(bytes("hi"), signature), true);
    assert.equal(verifier.verify(bytes("ho"), signature), false);
    assert.equal(verifier.verify(bytes("hi"), signature.with(3, signature[3]! ^ 1)), false);
    assert.equal(verifier.verify(bytes("hi"), new Uint8Array()), false);
    assert.equal(
      importVerifier(generateKey(algorithm).publicJwk).verify(bytes("hi"), signature),
      false,
    );
  });

  Deno.test(`sign() with ${algorithm} makes what JOSE libraries accept`, async () => {
    const key = generateKey(algorithm);
    const protectedHeader = bytes(JSON.stringify({ alg: key.publicJwk.alg }))
      .toBase64({ alphabet: "base64url", omitPadding: true });
    const payload = bytes("hi").toBase64({ alphabet: "base64url", omitPadding: true });
    const signature = sign(key, bytes(`${protectedHeader}.${payload}`))
      .toBase64({ alphabet: "base64url", omitPadding: true });
    const jws = `${protectedHeader}.${payload}.${signature}`;
    await compactVerify(jws, await importJWK({ ...key.publicJwk }));
  });

  Deno.test(`importPrivateKey() takes back what exportPrivateJwk() gives for ${algorithm}`, () => {
    const key = generateKey(algorithm);
    assert.deepEqual(importPrivateKey(exportPrivateJwk(key)).publicJwk, key.publicJwk);
  });
}

Deno.test("a key's id is its RFC 7638 thumbprint", () => {
  // RFC 8037, appendix A.3.
  const key = importPrivateKey({
    kty: "OKP",
    crv: "Ed25519",
    d: "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
  });
  assert.equal(key.publicJwk.kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
});

Deno.test("importPrivateKey() says what it cannot use", () => {
  assert.throws(() => importPrivateKey("nonsense"), /not a private key/);
  assert.throws(
    () => importPrivateKey({ kty: "OKP", crv: "Ed25519", x: "AA" }),
    /not a private key/,
  );
});

Deno.test("fromBase64() takes both alphabets, with or without padding, and nothing else", () => {
  const all = new Uint8Array([251, 255, 0]);
  assert.deepEqual(fromBase64("+/8A"), all);
  assert.deepEqual(fromBase64("-_8A"), all);
  assert.deepEqual(fromBase64("YQ=="), new Uint8Array([97]));
  assert.deepEqual(fromBase64("YQ"), new Uint8Array([97]));
  for (const bad of ["-/8A", "a", "a!", "Ω"]) assert.equal(fromBase64(bad), undefined, bad);
});

Deno.test("toDer() makes what OpenSSL verifies, and fromDer() takes that alone", () => {
  const key = generateKey("es256");
  for (let i = 0; i < 50; i++) {
    const message = bytes(`message ${i}`);
    const signature = sign(key, message);
    const der = toDer(signature);
    assert.ok(nodeVerify("sha256", message, { key: key.object, dsaEncoding: "der" }, der));
    assert.deepEqual(fromDer(der), new Uint8Array(signature));
  }
  fc.assert(fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), (signature) => {
    assert.deepEqual(fromDer(toDer(signature)), new Uint8Array(signature));
  }));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (der) => {
    const signature = fromDer(der);
    if (signature) assert.deepEqual(toDer(signature), new Uint8Array(der));
  }));
});
