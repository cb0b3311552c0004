import assert from "node:assert/strict";
import { join } from "node:path";
import { defaultDataFolder, lockForThisProcess, openDataFolder } from "./data_folder.ts";
import { StartError } from "./life_cycle.ts";
import { testWith } from "./testing/permissions.ts";

Deno.test("defaultDataFolder() is the one the operating system has for data", () => {
  const from = (values: Record<string, string>) => (name: string) => values[name];
  assert.equal(
    defaultDataFolder("orb", { os: "linux", environment: from({ HOME: "/h" }) }),
    "/h/.local/share/orrery/orb",
  );
  assert.equal(
    defaultDataFolder("orb", {
      os: "linux",
      environment: from({ HOME: "/h", XDG_DATA_HOME: "/x" }),
    }),
    "/x/orrery/orb",
  );
  assert.equal(
    defaultDataFolder("orb", { os: "darwin", environment: from({ HOME: "/h" }) }),
    "/h/Library/Application Support/orrery/orb",
  );
  assert.throws(
    () => defaultDataFolder("orb", { os: "linux", environment: from({}) }),
    /--data-dir/,
  );
});

testWith(["read", "write"], "openDataFolder() makes the folder for its owner only", async () => {
  const base = await Deno.makeTempDir();
  try {
    const path = join(base, "a", "b");
    await openDataFolder(path);
    const { mode } = await Deno.stat(path);
    if (mode !== null) assert.equal(mode & 0o777, 0o700);
    assert.deepEqual([...Deno.readDirSync(path)], []);
  } finally {
    await Deno.remove(base, { recursive: true });
  }
});

testWith(["read", "write"], "openDataFolder() says why a folder cannot be used", async () => {
  const file = await Deno.makeTempFile();
  try {
    await assert.rejects(
      openDataFolder(join(file, "data")),
      (error) => error instanceof StartError && /--data-dir/.test(error.message),
    );
  } finally {
    await Deno.remove(file);
  }
});

testWith(["read", "write"], "a place is one process's, until it lets go", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, ".lock");
    const refused = (error: Error) =>
      error instanceof StartError && error.message.includes(`in ${folder}: another process`) &&
      error.message.includes("--data-dir");
    {
      using _ = await lockForThisProcess(path, "--data-dir");
      await assert.rejects(lockForThisProcess(path, "--data-dir"), refused);
    }
    (await lockForThisProcess(path, "--data-dir")).close();
    await assert.rejects(
      lockForThisProcess(join(folder, "none", ".lock"), "--data-dir"),
      (error: Error) =>
        error instanceof StartError && /in .*none: .*--data-dir/.test(error.message),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
