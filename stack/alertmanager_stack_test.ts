import assert from "node:assert/strict";
import { join } from "node:path";
import { eventually } from "../service/testing/eventually.ts";
import { startAlertmanager } from "./alertmanager.ts";
import { startPrometheus } from "./prometheus.ts";
import { testWithStack } from "./test_with_stack.ts";

interface Posted {
  status: string;
  alerts: { labels: Record<string, string> }[];
}

testWithStack("an alert of prometheus reaches a webhook by alertmanager", async () => {
  const posted: Posted[] = [];
  await using hook = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (call) => {
    posted.push(await call.json());
    return new Response();
  });
  const rulesFolder = await Deno.makeTempDir();
  await Deno.writeTextFile(
    join(rulesFolder, "rules.yaml"),
    `groups: [{ name: g, rules: [{ alert: AlwaysOn, expr: vector(1), labels: { job: a } }] }]`,
  );
  try {
    await using alertmanager = await startAlertmanager({
      webhookUrl: `http://127.0.0.1:${hook.addr.port}/alerts`,
      groupWaitMs: 100,
    });
    await using _ = await startPrometheus({
      programsAddress: "127.0.0.1:9",
      collectorAddress: "127.0.0.1:9",
      scrapeIntervalMs: 500,
      rulesFolder,
      alertmanagerAddress: alertmanager.address,
    });
    const { status, alerts } = await eventually("the alert", () => posted[0]);
    assert.equal(status, "firing");
    assert.deepEqual(alerts.map(({ labels }) => labels), [{ alertname: "AlwaysOn", job: "a" }]);
  } finally {
    await Deno.remove(rulesFolder, { recursive: true });
  }
});
