/** The Helm chart, rendered and held against Kubernetes' schemas and our programs' flags. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadAll } from "js-yaml";
import { programArguments } from "../service/program_file.ts";
import { renderChart } from "../stack/helm.ts";
import { validateObjects } from "../stack/kubernetes_validate.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

const chart = fileURLToPath(new URL("../deploy/helm/orrery/charts/pingpong", import.meta.url));

interface KubernetesObject {
  kind: string;
  metadata: { name: string; labels: Record<string, string> };
  spec: {
    replicas: number;
    selector: Record<string, string>;
    ports: { protocol: string; port: number }[];
    template: { spec: { containers: Container[] } };
  };
}

interface Container {
  image: string;
  args: string[];
  env: { name: string; value: string }[];
  readinessProbe: { exec: { command: string[] } };
}

type Values = Record<string, unknown>;

async function objects(values: Values = {}): Promise<KubernetesObject[]> {
  const text = await renderChart(chart, { values });
  return (loadAll(text) as (KubernetesObject | null)[]).filter((one) => one !== null);
}

function deployments(all: KubernetesObject[]): Record<string, number> {
  return Object.fromEntries(
    all.filter(({ kind }) => kind === "Deployment")
      .map(({ metadata, spec }) => [metadata.labels["orrery/track"], spec.replicas]),
  );
}

testWithStack(
  "the chart's objects fit Kubernetes' schemas, with and without every option",
  async () => {
    const folder = await Deno.makeTempDir();
    const all = {
      "canary.weight": 25,
      "token.secretName": "t",
      "telemetry.endpoint": "http://otel:4318",
    };
    const other = { "networkPolicy.enabled": false, "service.type": "LoadBalancer" };
    for (const values of [{}, all, other]) {
      const file = join(folder, "objects.yaml");
      await Deno.writeTextFile(file, await renderChart(chart, { values }));
      assert.match(await validateObjects(file), /passed for resource deployment/);
      await Deno.writeTextFile(
        file,
        (await renderChart(chart, { values })).replace("maxUnavailable: 1", "maxUnavailabel: 1"),
      );
      await assert.rejects(validateObjects(file), /maxUnavailabel/);
    }
    await Deno.remove(folder, { recursive: true });
  },
);

testWithStack("the canary has its weight of the pods, under the same UDP service", async () => {
  assert.deepEqual(deployments(await objects()), { stable: 4 });
  assert.deepEqual(deployments(await objects({ "canary.weight": 25 })), { stable: 3, canary: 1 });
  assert.deepEqual(deployments(await objects({ "canary.weight": 1 })), { stable: 3, canary: 1 });
  assert.deepEqual(deployments(await objects({ "canary.weight": 100 })), { stable: 0, canary: 4 });
  const all = await objects({ "canary.weight": 50, "replicas": 10, "canary.tag": "next" });
  assert.deepEqual(deployments(all), { stable: 5, canary: 5 });
  const images = all.filter(({ kind }) => kind === "Deployment")
    .map(({ spec }) => spec.template.spec.containers[0]!.image);
  assert.deepEqual(images, ["orrery/pingpong-server:0.1.0", "orrery/pingpong-server:next"]);
  const service = all.find(({ kind }) => kind === "Service")!;
  assert.ok(!("orrery/track" in service.spec.selector));
  assert.ok(service.spec.ports.some(({ protocol, port }) => protocol === "UDP" && port === 4433));
});

testWithStack("with a token nobody comes in without one, whatever the image says", async () => {
  const denied = async (values: Values) =>
    (await objects(values)).filter(({ kind }) => kind === "Deployment")
      .map(({ spec }) =>
        spec.template.spec.containers[0]!.env.filter(({ value }) => value === "false")
          .map(({ name }) => name)
      );
  assert.deepEqual(await denied({}), [["PINGPONG_SERVER_GENERATE_CERTIFICATE"]]);
  assert.deepEqual(await denied({ "token.secretName": "t" }), [[
    "PINGPONG_SERVER_GENERATE_CERTIFICATE",
    "PINGPONG_SERVER_ALLOW_REMOTE_WITHOUT_AUTH",
  ]]);
});

testWithStack("values that make no sense are refused by the chart's schema", async () => {
  const refused = [
    { "canary.weight": 101 },
    { "replicas": 0 },
    { "ports.webtransport": 80 },
    { "unknown": 1 },
  ];
  for (const values of refused) {
    await assert.rejects(objects(values), /schema|values/, JSON.stringify(values));
  }
});

testWithStack("our programs know the flags that the chart gives them", async () => {
  const all = await objects({ "token.secretName": "t" });
  const { args, readinessProbe } = all.find(({ kind }) => kind === "Deployment")!.spec.template.spec
    .containers[0]!;
  const { command } = readinessProbe.exec;
  const probe = command.slice(command.indexOf("pingpong-client.js") + 1);
  for (const [entry, given] of [["server.ts", args], ["client.ts", probe]] as const) {
    const path = fileURLToPath(new URL(entry, import.meta.url));
    const { stdout } = await new Deno.Command("deno", {
      args: await programArguments(path, ["--help"]),
    }).output();
    const help = new TextDecoder().decode(stdout);
    for (const flag of given.filter((word) => word.startsWith("--"))) {
      assert.ok(help.includes(flag.split("=")[0]!), `${entry} knows no ${flag}`);
    }
  }
});
