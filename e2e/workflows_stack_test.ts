/** GitHub's workflows: without mistakes that can be found here, and of one mind with the project. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { load as parseYaml } from "js-yaml";
import { targets } from "../bundle.ts";
import { programs } from "../programs.ts";
import { findingsIn } from "../stack/actionlint.ts";
import { HELM_VERSION } from "../stack/helm.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = join(root, ".github", "workflows");

async function workflows(): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(folder)) names.push(join(folder, name));
  return names.sort();
}

testWithStack("actionlint finds nothing in the workflows, and would", async () => {
  assert.deepEqual(await findingsIn(await workflows()), []);
  const wrong = await Deno.makeTempFile({ suffix: ".yml" });
  try {
    await Deno.writeTextFile(
      wrong,
      "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    needs: [b]\n    steps: [{ run: echo }]\n",
    );
    assert.match((await findingsIn([wrong])).join("\n"), /needs job "b"/);
  } finally {
    await Deno.remove(wrong);
  }
});

testWithStack("workflows pin every action to a commit, and each job to a time", async () => {
  for (const path of await workflows()) {
    const text = await Deno.readTextFile(path);
    for (const [line, used] of text.matchAll(/^.*\buses: (.*)$/gm)) {
      if (used!.startsWith("./")) continue;
      assert.match(used!, /^[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/, `${path}: ${line}`);
    }
    const { jobs, permissions } = parseYaml(text) as {
      permissions: unknown;
      jobs: Record<string, { uses?: string; "timeout-minutes"?: number }>;
    };
    assert.deepEqual(permissions, { contents: "read" }, path);
    for (const [name, job] of Object.entries(jobs)) {
      assert.ok(job.uses !== undefined || job["timeout-minutes"], `${path}: ${name} has no limit`);
    }
  }
});

testWithStack(
  "the release is of every program and target, by the versions of the project",
  async () => {
    const { jobs } = parseYaml(await Deno.readTextFile(join(folder, "release.yml"))) as {
      jobs: Record<string, { strategy?: { matrix: Record<string, string[]> } }>;
    };
    assert.deepEqual(
      jobs["images"]!.strategy!.matrix["program"],
      programs.map(({ name }) => name).sort(),
    );
    assert.deepEqual(jobs["binaries"]!.strategy!.matrix["target"], [...targets]);
    const dockerfile = await Deno.readTextFile(join(root, "Dockerfile"));
    const [, deno] = /^ARG DENO_VERSION=(\S+)$/m.exec(dockerfile)!;
    for (const path of await workflows()) {
      const text = await Deno.readTextFile(path);
      for (const [, version] of text.matchAll(/deno-version: (\S+?)[, ]/g)) {
        assert.equal(version, deno, path);
      }
      for (const [, version] of text.matchAll(/\{ version: (v\S+) \}/g)) {
        assert.equal(version, HELM_VERSION, path);
      }
    }
  },
);
