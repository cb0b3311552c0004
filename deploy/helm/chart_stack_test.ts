/** The chart over all parts, rendered. Each part's own chart is tested beside its program. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { renderChart } from "../../stack/helm.ts";
import { testWithStack } from "../../stack/test_with_stack.ts";

const chart = fileURLToPath(new URL("orrery", import.meta.url));

testWithStack("the whole chart has every part, and leaves out what is not enabled", async () => {
  const sources = async (values: Record<string, unknown>) =>
    new Set((await renderChart(chart, { values })).match(/(?<=^# Source: orrery\/charts\/)\w+/gm));
  assert.deepEqual([...await sources({})].sort(), ["pingpong", "signer"]);
  assert.deepEqual([...await sources({ "pingpong.enabled": false })], ["signer"]);
  assert.deepEqual([...await sources({ "signer.enabled": false })], ["pingpong"]);
});
