import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { load } from "js-yaml";
import { demoSpeed, orbRules, rulesFile } from "./orb_rules.ts";

const folder = import.meta.dirname!;
const root = fileURLToPath(new URL("../..", import.meta.url));
const mayRead = (await Deno.permissions.query({ name: "read" })).state === "granted";

interface Group {
  rules: { alert?: string; annotations?: Record<string, string> }[];
}

Deno.test({
  name: "the files of rules are what orb_rules.ts makes",
  ignore: !mayRead,
  async fn() {
    const read = async (path: string) => load(await Deno.readTextFile(join(folder, path)));
    assert.deepEqual(await read("rules/orb.yaml"), load(rulesFile()));
    assert.deepEqual(await read("demo_rules/orb.yaml"), load(rulesFile({ speed: demoSpeed })));
  },
});

Deno.test({
  name: "each alert has a runbook, and each runbook an alert",
  ignore: !mayRead,
  async fn() {
    const alerts = (orbRules().groups as Group[]).flatMap(({ rules }) => rules)
      .filter(({ alert }) => alert !== undefined);
    for (const { alert, annotations } of alerts) {
      const path = annotations!.runbook_url!;
      const text = await Deno.readTextFile(join(root, path));
      assert.match(text, new RegExp(`^# ${alert}: [^]*## Look[^]*## Mend`), path);
    }
    const names = new Set(alerts.map(({ alert }) => `${alert}.md`));
    for await (const { name } of Deno.readDir(join(root, "docs", "runbooks"))) {
      if (name.startsWith("Orb")) assert.ok(names.has(name), `${name} is no alert's`);
    }
  },
});

Deno.test("the demo's rules have the same alerts, with windows of seconds", () => {
  const names = (groups: object[]) =>
    (groups as Group[]).flatMap(({ rules }) => rules.map(({ alert }) => alert));
  const { groups } = orbRules({ speed: demoSpeed });
  assert.deepEqual(names(groups), names(orbRules().groups));
  const text = JSON.stringify(groups);
  assert.match(text, /\[20s\]/);
  assert.match(text, /\[60s\]/);
  assert.doesNotMatch(text, /\[\d+[mhd]\]/);
});
