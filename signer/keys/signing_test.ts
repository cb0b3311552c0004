import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, verify as nodeVerify } from "node:crypto";
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
  toPublicJwk,
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

Deno.test("importPrivateKey() says of a key of another kind what it is", () => {
  for (
    const [algorithm, options, says] of [
      ["rsa", { modulusLength: 1_024 }, "It is a RSA  key; only Ed25519 and P-256 sign here."],
      ["ec", { namedCurve: "P-384" }, "It is a EC P-384 key; only Ed25519 and P-256 sign here."],
      ["x25519", undefined, "It is a OKP X25519 key; only Ed25519 and P-256 sign here."],
    ] as const
  ) {
    const { privateKey } = generateKeyPairSync(
      algorithm as "ec",
      options as { namedCurve: string },
    );
    const pem = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    assert.throws(() => importPrivateKey(pem), { name: "TypeError", message: says });
  }
});

Deno.test("toPublicJwk() takes the two kinds whole, no part of the private key, and nothing that lacks a member", () => {
  for (const algorithm of ["ed25519", "es256"] as const) {
    const key = generateKey(algorithm);
    assert.equal(key.algorithm, algorithm);
    const jwk = exportPrivateJwk(key);
    assert.deepEqual(toPublicJwk(jwk), key.publicJwk);
    assert.equal("d" in key.publicJwk, false);
    const { alg, use } = key.publicJwk;
    assert.deepEqual([alg, use], [algorithm === "ed25519" ? "EdDSA" : "ES256", "sig"]);
    for (const member of algorithm === "ed25519" ? ["kty", "crv", "x"] : ["kty", "crv", "x", "y"]) {
      for (const value of [undefined, 7, "other"]) {
        if (value === "other" && !["kty", "crv"].includes(member)) continue;
        assert.equal(toPublicJwk({ ...jwk, [member]: value } as never), undefined, member);
      }
    }
  }
});

Deno.test("a P-256 key's id is the SHA-256 of its members in their order", () => {
  const { publicJwk } = generateKey("es256");
  const { crv, kty, x, y } = publicJwk as typeof publicJwk & { y: string };
  const text = `{"crv":"${crv}","kty":"${kty}","x":"${x}","y":"${y}"}`;
  assert.equal(publicJwk.kid, createHash("sha256").update(text).digest("base64url"));
});

Deno.test("importVerifier() says its algorithm, and takes no signature of another length", () => {
  for (const algorithm of ["ed25519", "es256"] as const) {
    const key = generateKey(algorithm);
    const verifier = importVerifier(key.publicJwk);
    assert.equal(verifier.algorithm, algorithm);
    const message = bytes("m");
    const signature = sign(key, message);
    assert.equal(signature.length, 64);
    for (const other of [signature.subarray(1), new Uint8Array([...signature, 0]), bytes("")]) {
      assert.equal(verifier.verify(message, other), false);
    }
  }
});

Deno.test("toDer() writes each number in its shortest form that is not negative", () => {
  const of = (r: string, s: string) =>
    toDer(Uint8Array.fromHex(r.padStart(64, "0") + s.padStart(64, "0")));
  for (
    const [r, s, der] of [
      ["", "1", "3006020100020101"],
      ["7f", "80", "300702017f02020080"],
      ["81", "0100", "30080202008102020100"],
    ] as const
  ) {
    assert.equal(of(r, s).toHex(), der);
    assert.ok(fromDer(Uint8Array.fromHex(der)));
  }
  for (
    const bad of [
      ...[
        "",
        "30",
        "3006020100020102ff",
        "3106020100020101",
        "3007020100020101",
        "300602020001020101",
      ],
      ...[
        "30060201000201",
        "3005020100020101",
        "30080202000102020001",
        "300602017f0301",
        "300602010002",
      ],
      `3027022201${"00".repeat(33)}020101`,
    ]
  ) assert.equal(fromDer(Uint8Array.fromHex(bad)), undefined, bad);
});
