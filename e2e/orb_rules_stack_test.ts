/** The orb's alerts, by promtool: what fires, what does not, and by which pair of windows. */
import assert from "node:assert/strict";
import { promtool } from "../stack/promtool.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

const fileOf = (path: string) => new URL(`../deploy/prometheus/${path}`, import.meta.url).pathname;

testWithStack("the orb's rules pass promtool", async () => {
  for (const rules of ["rules/orb.yaml", "demo_rules/orb.yaml"]) {
    assert.match(await promtool(["check", "rules", fileOf(rules)]), /SUCCESS/);
  }
  for (const tests of ["tests/orb.yaml", "tests/orb_windows.yaml"]) {
    assert.match(await promtool(["test", "rules", fileOf(tests)]), /SUCCESS$/, tests);
  }
});
