import assert from "node:assert/strict";
import { join } from "node:path";
import { testWith } from "../service/testing/permissions.ts";
import { bundlePrograms } from "./program_bundles.ts";

/** A project of two programs that share a module; one has a worker, and the other a CommonJS module. */
async function makeProject(): Promise<{ root: string } & AsyncDisposable> {
  const root = await Deno.realPath(await Deno.makeTempDir());
  const files = {
    "deno.json": "{}",
    "deno.lock": "{}",
    "service/greeting.ts": `export const greeting: string = "good day";\n`,
    "clock/server.ts": `#!/usr/bin/env -S deno run\n` +
      `import { greeting } from "../service/greeting.ts";\n` +
      `import { answerOfWorker, inWorker } from "./sums.ts";\n` +
      `if (import.meta.main && !inWorker) console.log(greeting, await answerOfWorker());\n`,
    "clock/sums.ts": `export const inWorker = self.name === "sums";\n` +
      `if (inWorker) postMessage(40 + 2);\n` +
      `export function answerOfWorker(): Promise<number> {\n` +
      `  const worker = new Worker(import.meta.url, { type: "module", name: "sums" });\n` +
      `  return new Promise((resolve) => {\n` +
      `    worker.onmessage = ({ data }) => (worker.terminate(), resolve(data));\n` +
      `  });\n}\n`,
    "bell/server.ts": `import { greeting } from "../service/greeting.ts";\n` +
      `import separator from "./separator.cjs";\n` +
      `function strike(): string {\n` +
      // Used once only: the minifier of Deno's bundler puts such a one in its place, and forgets its end.
      `  using bell = { sound: greeting, [Symbol.dispose]: () => console.log("still") };\n` +
      `  return bell.sound.trim();\n}\n` +
      `console.log(separator + strike());\n`,
    "bell/separator.cjs": `module.exports = require("node:path").posix.sep;\n`,
  };
  for (const [path, text] of Object.entries(files)) {
    await Deno.mkdir(join(root, path, ".."), { recursive: true });
    await Deno.writeTextFile(join(root, path), text);
  }
  return { root, [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }) };
}

const programs = [{ entry: "clock/server.ts" }, { entry: "bell/server.ts" }];

async function run(path: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("deno", {
    args: ["run", "--no-prompt", "--allow-read", path],
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

testWith(["read", "write", "run"], "bundles of programs do what their sources do", async () => {
  await using project = await makeProject();
  const bundles = await bundlePrograms(programs, project);
  assert.equal(await run(bundles.get("clock/server.ts")!), "good day 42");
  assert.equal(await run(bundles.get("bell/server.ts")!), "still\n/good day");
});

testWith(
  ["read", "write", "run"],
  "programs are bundled again when a source has changed",
  async () => {
    await using project = await makeProject();
    const first = await bundlePrograms(programs, project);
    const path = first.get("bell/server.ts")!;
    await Deno.writeTextFile(path, "// as it was\n");
    assert.deepEqual(await bundlePrograms(programs, project), first);
    assert.equal(
      await Deno.readTextFile(path),
      "// as it was\n",
      "made again, though nothing changed",
    );

    await Deno.writeTextFile(
      join(project.root, "service", "greeting.ts"),
      `export const greeting = "good night";\n`,
    );
    const second = await bundlePrograms(programs, project);
    assert.notEqual(second.get("bell/server.ts"), path);
    assert.equal(await run(second.get("bell/server.ts")!), "still\n/good night");
  },
);

testWith(["read", "write", "run"], "programs that do not bundle leave nothing behind", async () => {
  await using project = await makeProject();
  await Deno.writeTextFile(join(project.root, "bell", "server.ts"), `import "./missing.ts";\n`);
  const folder = join(project.root, "bundles");
  await assert.rejects(bundlePrograms(programs, { ...project, folder }), /deno bundle: .*missing/s);
  const left = await Array.fromAsync(Deno.readDir(folder)).catch(() => []);
  assert.deepEqual(left, []);
});
