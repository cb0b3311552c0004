import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { StackError } from "../stack/build_cache.ts";
import { chartObjects, type ChartValues, validateChart } from "../stack/test_chart.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

/** With stores that many servers share. */
const shared = {
  "stores.databaseUrlSecret": "orb-db",
  "stores.s3.endpoint": "https://s3.example",
  "stores.s3.credentialsSecret": "orb-s3",
};

const render = (values: ChartValues = {}) => chartObjects("orb", values);

testWithStack(
  "orb chart is one pod with a volume, or many that the queue's depth scales",
  async () => {
    const alone = await render();
    assert.deepEqual([...alone.keys()].sort(), [
      "NetworkPolicy test-orb",
      "Service test-orb",
      "StatefulSet test-orb",
    ]);
    assert.equal(alone.get("StatefulSet test-orb")!.spec.replicas, 1);

    const many = await render({
      ...shared,
      "replicas.max": 20,
      "autoscaling.queueDepthPerPod": 250,
    });
    assert.deepEqual([...many.keys()].sort(), [
      "Deployment test-orb",
      "HorizontalPodAutoscaler test-orb",
      "NetworkPolicy test-orb",
      "PodDisruptionBudget test-orb",
      "Service test-orb",
    ]);
    const { minReplicas, maxReplicas, metrics: [metric] } = many.get(
      "HorizontalPodAutoscaler test-orb",
    )!.spec;
    assert.deepEqual([minReplicas, maxReplicas], [2, 20]);
    assert.deepEqual(metric.external, {
      metric: { name: "orb_queue_depth" },
      target: { type: "AverageValue", averageValue: "250" },
    });
    // The autoscaler's word, not the chart's, is how many there are.
    assert.equal(many.get("Deployment test-orb")!.spec.replicas, undefined);
    const fixed = await render({ ...shared, "autoscaling.enabled": false });
    assert.equal(fixed.get("Deployment test-orb")!.spec.replicas, 2);
  },
);

testWithStack(
  "orb chart's pods take every flag that they are given; secrets come as variables",
  async () => {
    const manifests = await render({
      ...shared,
      "allowedHosts": ["orb.example"],
      "allowedOrigins": ["https://page.example"],
      "auth.issuer": "https://login.example",
      "slack.webhookSecret": "chat",
    });
    const [container] = manifests.get("Deployment test-orb")!.spec.template.spec.containers;
    const { stdout } = await new Deno.Command("deno", {
      args: [
        ...["run", "--no-prompt", "--allow-env", "--allow-read"],
        ...[fileURLToPath(new URL("./server.ts", import.meta.url)), "--help"],
      ],
      env: { NO_COLOR: "1" },
    }).output();
    const help = new TextDecoder().decode(stdout);
    for (const arg of container.args as string[]) {
      const flag = arg.split("=")[0]!;
      assert.match(help, new RegExp(`^ +${flag}[ ,]`, "m"), `there is no ${flag}`);
    }
    // Its image says the opposite.
    assert.deepEqual(
      container.env.find(({ name }: { name: string }) => /WITHOUT_AUTH$/.test(name)),
      { name: "ORB_SERVER_ALLOW_REMOTE_WITHOUT_AUTH", value: "false" },
    );
    const secrets = (container.env as { name: string; valueFrom?: object }[])
      .filter(({ valueFrom }) => valueFrom !== undefined).map(({ name }) => name);
    assert.deepEqual(secrets, [
      "ORB_SERVER_DATABASE_URL",
      "ORB_SERVER_S3_ACCESS_KEY_ID",
      "ORB_SERVER_S3_SECRET_ACCESS_KEY",
      "ORB_SERVER_SLACK_WEBHOOK_URL",
    ]);
    for (const name of secrets) {
      assert.match(
        help.replaceAll(/\s+/g, " "),
        new RegExp(`env: ${name}`),
      );
    }
    assert.equal(container.securityContext.readOnlyRootFilesystem, true);
  },
);

testWithStack("orb chart's objects are what Kubernetes takes", async () => {
  for (const values of [{}, shared]) {
    const said = await validateChart("orb", values);
    assert.match(said, /passed for resource (statefulset|deployment)/);
  }
});

testWithStack("orb chart refuses values that cannot be meant", async () => {
  const wrong: Record<string, unknown>[] = [
    { "stores.databaseUrlSecret": "orb-db" },
    { "port": 80 },
    { "replicas.min": 0 },
    { "autoscaling.queueDepthPerPod": 0 },
    { "auth.issuer": "login" },
    { "storage.size": "10" },
  ];
  for (const values of wrong) {
    await assert.rejects(render(values), StackError, JSON.stringify(values));
  }
});
