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
