import assert from "node:assert/strict";
import { join, relative } from "node:path";
import { exists, filesBelow } from "./found_files.ts";
import { testWith } from "./testing/permissions.ts";

testWith(["read", "write"], "exists() and filesBelow() say what a folder holds", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const path of ["a.ts", "deep/b.ts", "deep/er/c.ts", ".hidden/d.ts"]) {
      await Deno.mkdir(join(folder, path, ".."), { recursive: true });
      await Deno.writeTextFile(join(folder, path), "");
    }
    assert.equal(await exists(join(folder, "deep")), true);
    assert.equal(await exists(join(folder, "deep", "b.ts")), true);
    assert.equal(await exists(join(folder, "b.ts")), false);
    assert.equal(await exists(join(folder, "a.ts", "below")), false, "a file is no folder");

    const found = await Array.fromAsync(filesBelow(folder, (name) => name.startsWith(".")));
    assert.deepEqual(found.map((path) => relative(folder, path).replaceAll("\\", "/")).sort(), [
      "a.ts",
      "deep/b.ts",
      "deep/er/c.ts",
    ]);
    await assert.rejects(Array.fromAsync(filesBelow(join(folder, "x"))), Deno.errors.NotFound);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
