/** From a server that refuses to a message about it: orb server, collector, Prometheus, Alertmanager. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { eventually } from "../service/testing/eventually.ts";
import { startProgram } from "../service/testing/program.ts";
import { startAlertmanager } from "../stack/alertmanager.ts";
import { startTelemetryStack } from "../stack/telemetry_stack.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

interface Posted {
  status: string;
  alerts: { status: string; labels: Record<string, string>; annotations: Record<string, string> }[];
}

testWithStack(
  "signups that are not answered make an alert within minutes, by the demo's rules",
  async () => {
    const dataDir = await Deno.makeTempDir();
    const alerts: Posted["alerts"] = [];
    await using hook = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      async (call) => {
        alerts.push(...(await call.json() as Posted).alerts);
        return new Response();
      },
    );
    try {
      await using alertmanager = await startAlertmanager({
        webhookUrl: `http://127.0.0.1:${hook.addr.port}/`,
        groupWaitMs: 100,
      });
      await using stack = await startTelemetryStack({
        rulesFolder: fileURLToPath(new URL("../deploy/prometheus/demo_rules", import.meta.url)),
        alertmanagerAddress: alertmanager.address,
      });
      await using server = await startProgram(
        new URL("./server.ts", import.meta.url),
        // No signup's body fits: each is refused with 503.
        ["--orb-api-port", "0", "--data-dir", dataDir, "--max-buffered-bytes", "10"],
        {
          OTEL_SDK_DISABLED: "false",
          OTEL_EXPORTER_OTLP_ENDPOINT: stack.collector.otlpHttpUrl,
          OTEL_METRIC_EXPORT_INTERVAL: "1000",
        },
      );
      const [, url] = await server.line(/The orb server is ready url=(\S+)/);
      const alert = await eventually("the alert", async () => {
        const response = await fetch(`${url}/api/signup`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: '{"id":"1","image_base64":"AQIDBAU="}',
        });
        await response.body?.cancel();
        assert.equal(response.status, 503);
        return alerts.find(({ labels }) => labels.alertname === "OrbSignupsUnanswered");
      }, 180_000);
      assert.equal(alert.status, "firing");
      assert.equal(alert.labels.slo, "orb-signups-answered");
      assert.match(alert.annotations.runbook_url!, /OrbSignupsUnanswered\.md$/);
    } finally {
      await Deno.remove(dataDir, { recursive: true });
    }
  },
);
