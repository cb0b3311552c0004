import assert from "node:assert/strict";
import { createServer } from "node:tls";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { testWith } from "../../service/testing/permissions.ts";
import { realWorld } from "../../service/world/world.ts";
import { connectVerified } from "../client/verified_tls.ts";
import { createCertificate } from "./certificate.ts";
import {
  browserObjections,
  makeMissingCertificate,
  needsPin,
  readCertificate,
} from "./certificate_files.ts";

const dayMs = 86_400_000;
const needs: Deno.PermissionName[] = ["read", "write"];

async function inFolder(
  run: (paths: { certificatePath: string; keyPath: string }) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  await run({ certificatePath: join(folder, "cert.pem"), keyPath: join(folder, "key.pem") });
  await Deno.remove(folder, { recursive: true });
}

testWith(
  needs,
  "makeMissingCertificate() makes a pair, renews one that has expired, keeps any other",
  () =>
    inFolder(async (paths) => {
      await makeMissingCertificate(paths, realWorld);
      const first = await Deno.readTextFile(paths.certificatePath);
      await makeMissingCertificate(paths, realWorld);
      assert.equal(await Deno.readTextFile(paths.certificatePath), first);

      const expired = await createCertificate({ notBeforeMs: Date.now() - 9 * dayMs, days: 8 });
      await Deno.writeTextFile(paths.certificatePath, expired.cert);
      await Deno.writeTextFile(paths.keyPath, expired.key);
      await makeMissingCertificate(paths, realWorld);
      const { cert } = await readCertificate(paths);
      assert.ok(Date.parse(new X509Certificate(cert).validTo) > Date.now());

      await Deno.writeTextFile(paths.certificatePath, "half a file");
      await makeMissingCertificate(paths, realWorld);
      assert.equal(await Deno.readTextFile(paths.certificatePath), "half a file");
    }),
);

testWith(
  needs,
  "readCertificate() names an encrypted key as such",
  () =>
    inFolder(async (paths) => {
      const { cert } = await createCertificate();
      const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const key = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
      await Deno.writeTextFile(paths.certificatePath, cert);
      await Deno.writeTextFile(
        paths.keyPath,
        key.replaceAll("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
      );
      await assert.rejects(
        readCertificate(paths),
        /key\.pem: the key is encrypted\. Decrypt it with/,
      );
    }),
);

Deno.test("browserObjections() says what browsers will refuse", async () => {
  const fine = await createCertificate();
  assert.deepEqual(browserObjections(fine.cert, realWorld), []);
  assert.ok(needsPin(fine.cert));
  const expired = await createCertificate({ notBeforeMs: Date.now() - 9 * dayMs, days: 8 });
  assert.match(browserObjections(expired.cert, realWorld).join(), /^it has expired on/);
  const early = await createCertificate({ notBeforeMs: Date.now() + dayMs, days: 8 });
  assert.match(browserObjections(early.cert, realWorld).join(), /^it is not valid before/);
});

/**
 * Certificates of 2026-11-29 that `createCertificate()` would not make: one of RSA for 10 days, one of
 * 15 days, and one of RSA for 90 days that an authority has signed. Their keys are nowhere.
 */
const foreign = {
  rsa: `-----BEGIN CERTIFICATE-----
MIICCjCCAXOgAwIBAgIUDndlDakOFvGFiL9akzfW949/bDYwDQYJKoZIhvcNAQEL
BQAwFzEVMBMGA1UEAwwMcGluZy5leGFtcGxlMB4XDTI2MTEyOTIzMjcxN1oXDTI2
MTIwOTIzMjcxN1owFzEVMBMGA1UEAwwMcGluZy5leGFtcGxlMIGfMA0GCSqGSIb3
DQEBAQUAA4GNADCBiQKBgQCcUALUnn7ift9T1CCgVyHQytVqAavA3k9eIcz/SUMO
4aJcNCDlI1guyJZkLmFALRyJb3LX4kdrHowQRDnLh52cwnqAAtHWDzXXsDVm3fUh
5GbraqXE/OoYesSvtyJl/qhWYd6F3XzvpRLfGOzyodxxWmPWPQXSmVrGy3C6udig
+QIDAQABo1MwUTAdBgNVHQ4EFgQUc3FjY0Vht7AnBuiGJ36RjVyadAUwHwYDVR0j
BBgwFoAUc3FjY0Vht7AnBuiGJ36RjVyadAUwDwYDVR0TAQH/BAUwAwEB/zANBgkq
hkiG9w0BAQsFAAOBgQAMxSZFmq8yBE772yri33xNE6Z2LY3P/NFr4+GN1GZ5W1St
F/VRmo1lof5wdC03tGGR0oOIls2eoYi6FgOLvXAiQ2zcpWJ2Gbhmt/UrSvL4TsjS
rYvQxJovxAbR7UAMeAIeD+cdcVYXVHeeY12mJGwsVQOkLA6Zj8Qkti0yH5BD1Q==
-----END CERTIFICATE-----`,
  tooLong: `-----BEGIN CERTIFICATE-----
MIIBgjCCASmgAwIBAgIUEdAAq07HbqfQ4RbRBdf6zTTZasowCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMcGluZy5leGFtcGxlMB4XDTI2MTEyOTIzMjcxN1oXDTI2MTIx
NDIzMjcxN1owFzEVMBMGA1UEAwwMcGluZy5leGFtcGxlMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAETCPia8PEkJoUSpjNGxEo9J1ciRDG++HxvYpeluP+cFhgpd5s
1PuvClGexzGCjLgSecwmxYDPBPI5R914+nKwBaNTMFEwHQYDVR0OBBYEFOnSLYhQ
JOHE6QcOxJDVhkXY7POZMB8GA1UdIwQYMBaAFOnSLYhQJOHE6QcOxJDVhkXY7POZ
MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgZze84L7OhSFGX58D
zynxIjQ6aDpDQ45uYX/4qjU9YaMCIAR+HzuPWIxd25x3UqNxjNiX3bVf8Ek0aVND
CNXEAwkJ
-----END CERTIFICATE-----`,
  vouchedFor: `-----BEGIN CERTIFICATE-----
MIIBbDCCARMCFBHiz2v86BuJqdDoOxahsIIALlY/MAoGCCqGSM49BAMCMBQxEjAQ
BgNVBAMMCWF1dGhvcml0eTAeFw0yNjExMjkyMzI3MThaFw0yNzAyMjcyMzI3MTha
MBcxFTATBgNVBAMMDHBpbmcuZXhhbXBsZTCBnzANBgkqhkiG9w0BAQEFAAOBjQAw
gYkCgYEAsPqJKcF88YNV33bE3J3OCyrA+yfepLildNs2KFjLZtlJNHoG7kZ3Ua9h
670rSIWDhVpV+nIajpqIdHagK03foZZMSuWouq9fRZtxJPmvAW37bkIMbbzQasbJ
rP4+U2rVs+P+wY/AbZ+WoJ0EODTQi0bXHyhRvJGJ3qYPtOlBM30CAwEAATAKBggq
hkjOPQQDAgNHADBEAiAJRfhuSo8hwHSYgQKB070p9wgmP7DbfNHTX0b7dOG3uAIg
CnZv0TxHuhzs55WWQ5BEN9QyTJWg1HOH4eBcHAM1NhI=
-----END CERTIFICATE-----`,
};

Deno.test("browserObjections() names the key and the time that browsers refuse by hash, and nothing of a CA's", () => {
  const world = { nowMs: () => Date.parse("2026-12-01T00:00:00Z") };
  assert.deepEqual(browserObjections(foreign.rsa, world), ["its key is rsa, not ECDSA P-256"]);
  const [objection, ...others] = browserObjections(foreign.tooLong, world);
  assert.match(objection!, /14 days/);
  assert.deepEqual(others, []);
  assert.deepEqual(browserObjections(foreign.vouchedFor, world), []);
  assert.deepEqual(
    [foreign.rsa, foreign.tooLong, foreign.vouchedFor].map(needsPin),
    [true, true, false],
    "clients get no hash of what an authority vouches for",
  );
});

testWith(
  ["net"],
  "a pinned certificate out of its time is refused over TCP as over QUIC",
  async () => {
    for (const days of [-9, 9]) {
      const { cert, key, hash } = await createCertificate({
        notBeforeMs: Date.now() + days * dayMs,
        days: 3,
      });
      const server = createServer({ cert, key }, (socket) => socket.destroy());
      server.on("tlsClientError", () => {});
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as { port: number };
      await assert.rejects(
        connectVerified({ target: { host: "127.0.0.1", port }, trust: { pins: [hash] } }, port),
        days < 0 ? /has expired on/ : /is not valid before/,
      );
      await new Promise((resolve) => server.close(resolve));
    }
  },
);
