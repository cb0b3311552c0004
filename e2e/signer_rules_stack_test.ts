/** The signer's alerts, by promtool; and that they name metrics which it has. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { promtool } from "../stack/promtool.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

const root = new URL("../", import.meta.url);
const fileOf = (path: string) => fileURLToPath(new URL(path, root));

testWithStack("the signer's rules pass promtool and name its metrics only", async () => {
  const rules = fileOf("deploy/prometheus/rules/signer.yaml");
  assert.match(
    await promtool(["check", "rules", "--lint=all", rules]),
    /SUCCESS: \d+ rules found$/,
  );
  const tests = fileOf("deploy/prometheus/tests/signer.yaml");
  assert.match(await promtool(["test", "rules", tests]), /SUCCESS$/);

  const made = new Set<string>();
  for (const path of ["signer/work/requester.ts", "signer/work/lag_gauge.ts"]) {
    const source = await Deno.readTextFile(fileOf(path));
    for (const [, kind, name] of source.matchAll(/create(\w+)\("(signer\.[a-z_.]+)"/g)) {
      const base = name!.replaceAll(".", "_");
      if (kind === "Counter") made.add(`${base}_total`);
      else if (kind === "Histogram") made.add(`${base}_seconds_count`);
      else made.add(base);
    }
  }
  // Only what is measured; the rules' own results are called with colons.
  const used = new Set((await Deno.readTextFile(rules)).match(/\bsigner_[a-z_]+\b/g));
  assert.ok(used.size >= 3);
  for (const name of used) assert.ok(made.has(name), `the signer has no ${name}`);
});
