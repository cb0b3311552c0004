import { loadAll } from "js-yaml";
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { StackError } from "../stack/build_cache.ts";
import { renderChart } from "../stack/helm.ts";
import { validateObjects } from "../stack/kubernetes_validate.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

const chart = fileURLToPath(new URL("../deploy/helm/orrery/charts/simulator", import.meta.url));

interface Manifest {
  kind: string;
  metadata: { name: string };
  // deno-lint-ignore no-explicit-any -- a manifest's specification is whatever its kind says
  spec: any;
}

async function render(values: Record<string, unknown> = {}): Promise<Map<string, Manifest>> {
  const manifests = loadAll(await renderChart(chart, { values })) as Manifest[];
  return new Map(manifests.map((one) => [`${one.kind} ${one.metadata.name}`, one]));
}

const podOf = (manifests: Map<string, Manifest>) =>
  manifests.get("Deployment test-simulator")!.spec.template.spec.containers[0];

testWithStack(
  "simulator chart's pod takes every flag that it is given, and has no more rights than it needs",
  async () => {
    const manifests = await render({
      allowedHosts: ["stage.example"],
      allowedOrigins: ["https://page.example"],
      consoleUrl: "http://console:8080",
    });
    assert.deepEqual([...manifests.keys()].sort(), [
      "Deployment test-simulator",
      "NetworkPolicy test-simulator",
      "Service test-simulator",
    ]);
    const container = podOf(manifests);
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
    const hosts = (container.args as string[]).filter((arg) => arg.startsWith("--allowed-host="))
      .flatMap((arg) => arg.slice("--allowed-host=".length).split(","));
    assert.ok(hosts.includes("test-simulator") && hosts.includes("stage.example"), hosts.join());
    assert.equal(container.securityContext.readOnlyRootFilesystem, true);
    assert.deepEqual(container.securityContext.capabilities.drop, ["ALL"]);
    assert.equal(container.readinessProbe.httpGet.path, "/readyz");
  },
);

testWithStack(
  "simulator chart has one pod, whose state is in its memory, and a policy that can name who comes",
  async () => {
    const manifests = await render({ "networkPolicy.from": [{ podSelector: {} }] });
    const { replicas, strategy } = manifests.get("Deployment test-simulator")!.spec;
    assert.deepEqual([replicas, strategy.type], [1, "Recreate"]);
    const [rule] = manifests.get("NetworkPolicy test-simulator")!.spec.ingress;
    assert.deepEqual(rule.from, [{ podSelector: {} }]);
    assert.ok(
      !(await render({ "networkPolicy.enabled": false })).has("NetworkPolicy test-simulator"),
    );
  },
);

testWithStack("simulator chart's objects are what Kubernetes takes", async () => {
  const file = await Deno.makeTempFile({ suffix: ".yaml" });
  try {
    await Deno.writeTextFile(file, await renderChart(chart));
    assert.match(await validateObjects(file), /passed for resource deployment/);
  } finally {
    await Deno.remove(file);
  }
});

testWithStack("simulator chart refuses values that cannot be meant", async () => {
  const wrong: Record<string, unknown>[] = [
    { replicas: 2 },
    { "ports.tcp": 80 },
    { allowedHosts: ["https://stage.example"] },
    { allowedOrigins: ["page.example"] },
    { consoleUrl: "console" },
    { maxEvents: 0 },
  ];
  for (const values of wrong) {
    await assert.rejects(render(values), StackError, JSON.stringify(values));
  }
});
