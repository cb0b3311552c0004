import assert from "node:assert/strict";
import { join } from "node:path";
import { testWith } from "../../../service/testing/permissions.ts";
import { withTempFolder } from "../../../service/testing/temp_folder.ts";
import { FileIdentity } from "./file_identity.ts";

function identityTest(name: string, run: (path: string) => void): void {
  testWith(["read", "write"], `sqlite file: ${name}`, () =>
    withTempFolder((folder) => {
      const path = join(folder, "orb.sqlite");
      for (const suffix of ["", "-wal"]) Deno.writeTextFileSync(path + suffix, "data");
      run(path);
      return Promise.resolve();
    }));
}

identityTest(
  "an operator's neither takes the lock nor needs it, and notices as a server's does",
  (path) => {
    const operators = new FileIdentity(path, false);
    const server = new FileIdentity(path, true);
    const others = new FileIdentity(path, false);
    for (const one of [operators, server, others]) one.remember();
    for (const one of [operators, server, others]) one.verify();
    Deno.removeSync(`${path}-wal`);
    for (const one of [operators, server, others]) {
      assert.throws(() => one.verify(), /orb\.sqlite-wal was deleted while it is in use/);
      one.close();
    }
  },
);

identityTest("the lock is a file beside it, and free again once it is closed", (path) => {
  for (let time = 0; time < 2; time++) {
    const server = new FileIdentity(path, true);
    assert.ok(Deno.statSync(`${path}.lock`).isFile);
    server.close();
  }
});

identityTest("what cannot be looked at is no file that was deleted", (path) => {
  const identity = new FileIdentity(path, false);
  identity.remember();
  Deno.removeSync(`${path}-wal`);
  Deno.symlinkSync(`${path}-wal`, `${path}-wal`);
  assert.throws(() => identity.verify(), /symbolic links|FilesystemLoop/i);
  identity.close();
});
