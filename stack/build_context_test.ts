import assert from "node:assert/strict";
import { join } from "node:path";
import { testWith } from "../service/testing/permissions.ts";
import { contextHash, ignoring } from "./build_context.ts";

Deno.test("ignoring() knows paths from the root, and names at any depth", () => {
  const isIgnored = ignoring("# a comment\nbench\nservice/testing\n**/*_test.ts\n**/*.md\n");
  for (const path of ["bench", "service/testing", "a_test.ts", "orb/a_test.ts", "orb/README.md"]) {
    assert.ok(isIgnored(path), path);
  }
  for (const path of ["orb/bench", "testing", "a_test.tsx", "README.md.ts", "orb/a.ts"]) {
    assert.ok(!isIgnored(path), path);
  }
  assert.throws(() => ignoring("!kept"), /^RangeError: .dockerignore has '!kept'/);
});

testWith(["read", "write"], "contextHash() changes with what a build gets, only", async () => {
  const root = await Deno.makeTempDir();
  try {
    const write = (name: string, text: string) => Deno.writeTextFile(join(root, name), text);
    await write(".dockerignore", "**/*_test.ts\nDockerfile\n");
    await write("Dockerfile", "FROM scratch");
    await write("a.ts", "1");
    const first = await contextHash(root);
    await write("a_test.ts", "ignored");
    assert.equal(await contextHash(root), first);
    for (
      const [name, text] of [["a.ts", "2"], ["b.ts", ""], ["Dockerfile", "FROM other"]] as const
    ) {
      const before = await contextHash(root);
      await write(name, text);
      assert.notEqual(await contextHash(root), before, name);
    }
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
