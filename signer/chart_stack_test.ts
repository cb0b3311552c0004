import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { StackError } from "../stack/build_cache.ts";
import { chartObjects, type ChartValues } from "../stack/test_chart.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

const render = (values: ChartValues = {}) => chartObjects("signer", values);

testWithStack("signer chart makes N REST APIs and M services from values alone", async () => {
  const manifests = await render({ "api.replicas": 3, "service.replicas": 5 });
  const api = manifests.get("Deployment test-signer-api")!;
  const service = manifests.get("StatefulSet test-signer-service")!;
  assert.equal(api.spec.replicas, 3);
  assert.equal(service.spec.replicas, 5);
  assert.deepEqual([...manifests.keys()].sort(), [
    "Deployment test-signer-api",
    "NetworkPolicy test-signer-api",
    "NetworkPolicy test-signer-service",
    "PodDisruptionBudget test-signer-api",
    "PodDisruptionBudget test-signer-service",
    "Service test-signer-api",
    "Service test-signer-service",
    "StatefulSet test-signer-service",
  ]);
  // Nobody's own topic of answers is shared: it is not named anywhere.
  assert.ok(!JSON.stringify([...manifests.values()]).includes("res-topic"));
});

testWithStack("signer chart's pods take every flag that they are given", async () => {
  const manifests = await render({
    "kafka.tls": true,
    "kafka.sasl": { mechanism: "SCRAM-SHA-512", username: "u", passwordSecret: "kafka-password" },
    "auth": { issuer: "https://issuer.example", audience: "signer" },
    "api.allowedOrigins": ["https://page.example"],
    "api.allowedHosts": ["signer.example"],
  });
  for (
    const [manifest, program] of [
      ["Deployment test-signer-api", "rest_api"],
      ["StatefulSet test-signer-service", "service"],
    ] as const
  ) {
    const container = manifests.get(manifest)!.spec.template.spec.containers[0];
    const help = await helpOf(program);
    for (const arg of container.args as string[]) {
      const flag = arg.split("=")[0]!;
      assert.match(help, new RegExp(`^ +${flag}[ ,]`, "m"), `${program} has no ${flag}`);
    }
    assert.equal(container.securityContext.readOnlyRootFilesystem, true);
    assert.equal(container.readinessProbe.httpGet.path, "/readyz");
    // Its image says the opposite.
    const prefix = program === "service" ? "SIGNER_SERVICE" : "SIGNER_REST_API";
    assert.deepEqual(
      container.env.find(({ name }: { name: string }) => /WITHOUT_AUTH$/.test(name)),
      { name: `${prefix}_ALLOW_REMOTE_WITHOUT_AUTH`, value: "false" },
    );
  }
});

testWithStack(
  "signer chart's programs answer by the names that they have in the cluster",
  async () => {
    const manifests = await render({ "api.allowedHosts": ["signer.example"] });
    const hosts = (manifest: string) => {
      const { args } = manifests.get(manifest)!.spec.template.spec.containers[0];
      return (args as string[]).filter((arg) => arg.startsWith("--allowed-host="))
        .flatMap((arg) => arg.slice("--allowed-host=".length).split(","));
    };
    const api = hosts("Deployment test-signer-api");
    assert.ok(api.includes("test-signer-api"), api.join());
    assert.ok(api.includes("signer.example"), api.join());
    assert.ok(api.some((host) => /^test-signer-api\.[^.]+\.svc\.cluster\.local$/.test(host)));
    const service = hosts("StatefulSet test-signer-service");
    assert.ok(service.includes("test-signer-service"), service.join());
    assert.ok(service.includes("$(POD_NAME).test-signer-service"), service.join());
  },
);

testWithStack("signer chart refuses values that cannot be meant", async () => {
  const wrong: Record<string, unknown>[] = [
    { "api.replicas": 0 },
    { "api.replicaCount": 2 },
    { "kafka.brokers": ["kafka"] },
    { "api.allowedHosts": ["https://signer.example"] },
    { "kafka.sasl.mechanism": "PLAIN" },
    { "auth.issuer": "https://issuer.example" },
    { "service.algorithm": "rsa" },
  ];
  for (const values of wrong) {
    await assert.rejects(render(values), StackError, JSON.stringify(values));
  }
});

async function helpOf(program: string): Promise<string> {
  const { stdout } = await new Deno.Command("deno", {
    args: [
      ...["run", "--no-prompt", "--allow-env", "--allow-read"],
      fileURLToPath(new URL(`./${program}.ts`, import.meta.url)),
      "--help",
    ],
    env: { NO_COLOR: "1" },
  }).output();
  return new TextDecoder().decode(stdout);
}
