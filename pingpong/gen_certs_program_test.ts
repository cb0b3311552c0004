import assert from "node:assert/strict";
import { join } from "node:path";
import { exists } from "../service/found_files.ts";
import { eventually } from "../service/testing/eventually.ts";
import { testWith } from "../service/testing/permissions.ts";
import { withTempFolder } from "../service/testing/temp_folder.ts";

testWith(
  ["read", "write", "run"],
  "gen-certs that is interrupted leaves all of its files, and nothing beside them",
  () =>
    withTempFolder(async (folder) => {
      // A slow disk: what is renamed waits until the interrupt has come.
      const slow = join(folder, "slow.ts");
      const program = new URL("./gen_certs.ts", import.meta.url).href;
      await Deno.writeTextFile(
        slow,
        `const { renameSync } = Deno;
         Deno.renameSync = (from, to) => {
           if (to === "key.pem") Deno.writeTextFileSync("renaming", "");
           const waiting = new Int32Array(new SharedArrayBuffer(4));
           for (;;) {
             try { Deno.statSync("interrupted"); break; } catch { Atomics.wait(waiting, 0, 0, 5); }
           }
           renameSync(from, to);
         };`,
      );
      const child = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", "--preload", slow, program],
        cwd: folder,
        ...{ stdin: "null", stdout: "null", stderr: "inherit" },
      }).spawn();
      try {
        await eventually(
          "the first rename",
          async () => await exists(join(folder, "renaming")) || undefined,
          60_000,
        );
        child.kill("SIGINT");
        await Deno.writeTextFile(join(folder, "interrupted"), "");
        assert.equal((await child.status).code, 130);
      } finally {
        try {
          child.kill("SIGKILL");
        } catch {
          // It has ended.
        }
      }
      assert.deepEqual(
        Array.from(Deno.readDirSync(folder), ({ name }) => name).sort(),
        ["cert.pem", "cert.sha256", "interrupted", "key.pem", "renaming", "slow.ts"],
      );
    }),
);
