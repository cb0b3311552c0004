import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { certificateHash, createCertificate, parsePin } from "./certificate.ts";

Deno.test("createCertificate() makes what browsers accept by hash: P-256, at most 14 days", async () => {
  const { cert, hash } = await createCertificate({
    names: ["ping.example", "10.0.0.7", "fd00::2"],
  });
  const parsed = new X509Certificate(cert);
  assert.equal(parsed.subject, "CN=ping.example");
  assert.equal(parsed.issuer, "CN=ping.example");
  assert.match(parsed.subjectAltName!, /DNS:ping\.example/);
  assert.match(parsed.subjectAltName!, /IP Address:10\.0\.0\.7/);
  assert.match(parsed.subjectAltName!, /IP Address:FD00:0:0:0:0:0:0:2|IP Address:fd00::2/i);
  assert.equal(parsed.ca, false);
  const days = (Date.parse(parsed.validTo) - Date.now()) / 86_400_000;
  assert.ok(Math.abs(days - 13) < 0.01, `${days} from now`);
  assert.equal(parsed.fingerprint256.replaceAll(":", "").toLowerCase(), hash.toHex());
  assert.deepEqual(await certificateHash(cert), hash);
});

Deno.test("createCertificate() counts days from now, and stays within 14 in all", async () => {
  const { cert } = await createCertificate({ days: 14 });
  const { validFrom, validTo } = new X509Certificate(cert);
  assert.equal(Date.parse(validTo) - Date.parse(validFrom), 14 * 86_400_000);
});

Deno.test("createCertificate() takes names as people write them, or says which it cannot", async () => {
  const { cert } = await createCertificate({ names: ["bücher.example", "*.ping.example"] });
  const { subjectAltName } = new X509Certificate(cert);
  assert.equal(subjectAltName, "DNS:xn--bcher-kva.example, DNS:*.ping.example");
  for (const name of ["a b", "", "https://ping.example", "ping.example:4433"]) {
    await assert.rejects(createCertificate({ names: [name] }), /no host name or address/, name);
  }
});

Deno.test("createCertificate() signs with the key it gives", async () => {
  const { cert } = await createCertificate();
  const parsed = new X509Certificate(cert);
  assert.ok(parsed.verify(parsed.publicKey));
});

Deno.test("createCertificate() refuses more than 14 days, none, and no name", async () => {
  await assert.rejects(createCertificate({ days: 15 }), /at most 14/);
  await assert.rejects(createCertificate({ days: 0 }), RangeError);
  await assert.rejects(createCertificate({ names: [] }), /without a name/);
});

Deno.test("parsePin() takes hexadecimal, colons, base64, and a file that holds one", () => {
  const hash = crypto.getRandomValues(new Uint8Array(32));
  const colons = hash.toHex().toUpperCase().match(/../g)!.join(":");
  for (const text of [hash.toHex(), colons, hash.toBase64(), `sha256 ${hash.toHex()}\nmore\n`]) {
    assert.deepEqual(parsePin(text), hash, text);
  }
  assert.throws(() => parsePin("sha256"), /64 hexadecimal digits/);
  assert.throws(() => parsePin(hash.toHex().slice(2)), TypeError);
  // 43 digits have two bits more than 32 bytes: set, they are of another text than the hash's own.
  const zeros = new Uint8Array(32).toBase64();
  assert.deepEqual(parsePin(zeros), new Uint8Array(32));
  assert.throws(() => parsePin(zeros.replace("A=", "B=")), /64 hexadecimal digits/);
});
