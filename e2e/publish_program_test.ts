/** What others may import, as `deno publish` would send it to JSR. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { testWith } from "../service/testing/permissions.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

async function deno(...args: string[]): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command("deno", {
    args,
    cwd: root,
    env: { NO_COLOR: "1" },
    signal: AbortSignal.timeout(300_000),
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

testWith(
  ["run", "read"],
  "what others may import could be published, and nothing else",
  async () => {
    const { code, text } = await deno("publish", "--dry-run", "--allow-dirty", "--no-check");
    assert.equal(code, 0, text);
    const files = [...text.matchAll(/^ +file:\/\/(\S+) /gm)]
      .map(([, path]) => fileURLToPath(`file://${path}`).slice(root.length));
    assert.ok(files.includes("LICENSE"), files.join(" "));
    const { exports } = JSON.parse(await Deno.readTextFile(`${root}/deno.json`)) as {
      exports: Record<string, string>;
    };
    const imported = await filesOf(Object.values(exports));
    // Each file is there for somebody: it is one of those that are imported, or says what it is.
    const needless = files.filter((file) => file.endsWith(".ts") && !imported.has(file));
    assert.deepEqual(needless, []);
  },
);

testWith(["run", "read"], "what others may import is documented, all of it", async () => {
  const { exports } = JSON.parse(await Deno.readTextFile(`${root}/deno.json`)) as {
    exports: Record<string, string>;
  };
  const { code, text } = await deno("doc", "--lint", ...Object.values(exports));
  assert.equal(code, 0, text);
});

/** The files of ours that these modules are made of, from the root. */
async function filesOf(entries: readonly string[]): Promise<Set<string>> {
  const files = new Set<string>();
  for (const entry of entries) {
    const { stdout } = await new Deno.Command("deno", {
      args: ["info", "--json", entry],
      cwd: root,
    }).output();
    const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
      modules: { specifier: string }[];
    };
    for (const { specifier } of modules) {
      if (specifier.startsWith("file:")) files.add(fileURLToPath(specifier).slice(root.length));
    }
  }
  return files;
}
