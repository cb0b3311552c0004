import assert from "node:assert/strict";
import { join } from "node:path";
import { testWith } from "../../service/testing/permissions.ts";
import { generateCertificates } from "./generate.ts";

testWith(["read", "write"], "generateCertificates() writes all three files, or none", async () => {
  const folder = await Deno.makeTempDir();
  const list = () => Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
  const [certificatePath, keyPath] = [join(folder, "own.pem"), join(folder, "key.pem")];
  await generateCertificates({ certificatePath, keyPath });
  assert.deepEqual(list(), ["key.pem", "own.pem", "own.sha256"], "the hash lies beside it");
  const before = await Promise.all(
    [certificatePath, keyPath].map((path) => Deno.readTextFile(path)),
  );

  for (const wrong of [{ days: 15 }, { name: ["a b"] }]) {
    const failing = generateCertificates({ certificatePath, keyPath, ...wrong });
    await assert.rejects(failing, RangeError, "it is checked before anything is written");
  }
  for (const pinPath of [join(folder, "nowhere", "pin"), folder]) {
    const failing = generateCertificates({ certificatePath, keyPath, pinPath });
    await assert.rejects(failing, /Cannot write/);
    assert.deepEqual(list(), ["key.pem", "own.pem", "own.sha256"], "no key is left behind");
    const after = await Promise.all(
      [certificatePath, keyPath].map((path) => Deno.readTextFile(path)),
    );
    assert.deepEqual(after, before, "the pair that was there still fits");
  }
  await Deno.remove(folder, { recursive: true });
});
