/** The chart over all parts, rendered. Each part's own chart is tested beside its program. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { loadAll } from "js-yaml";
import { renderChart } from "../../stack/helm.ts";
import { entrypoint, programStages } from "../../stack/test_compose.ts";
import { testWithStack } from "../../stack/test_with_stack.ts";

const chart = fileURLToPath(new URL("orrery", import.meta.url));

testWithStack("the whole chart has every part, and leaves out what is not enabled", async () => {
  const sources = async (values: Record<string, unknown>) =>
    new Set((await renderChart(chart, { values })).match(/(?<=^# Source: orrery\/charts\/)\w+/gm));
  const parts = ["console", "observer", "orb", "pingpong", "signer", "simulator"];
  assert.deepEqual([...await sources({})].sort(), parts);
  for (const part of parts) {
    const left = await sources({ [`${part}.enabled`]: false });
    assert.equal(left.size, parts.length - 1);
    assert.ok(!left.has(part), part);
  }
});

testWithStack(
  "a pod behind a Service serves on for 5 s before it stops, and has the time",
  async () => {
    interface Deployment {
      kind: string;
      spec: {
        template: {
          spec: {
            terminationGracePeriodSeconds: number;
            containers: { name: string; args: string[] }[];
          };
        };
      };
    }
    const pods = async (values: Record<string, unknown>) =>
      (loadAll(await renderChart(chart, { values })) as (Deployment | null)[])
        .filter((one) => one?.kind === "Deployment")
        .map((one) => {
          const { terminationGracePeriodSeconds, containers: [container] } =
            one!.spec.template.spec;
          const delay = container!.args.find((arg) => arg.startsWith("--shutdown-delay="));
          return [container!.name, delay, terminationGracePeriodSeconds];
        }).sort();
    assert.deepEqual(await pods({}), [
      ["console", "--shutdown-delay=5s", 20],
      ["pingpong-server", "--shutdown-delay=5s", 20],
      ["signer-api", "--shutdown-delay=5s", 25],
      ["simulator", "--shutdown-delay=5s", 20],
    ]);
    assert.deepEqual(
      await pods({
        "console.shutdownDelaySeconds": 2,
        "pingpong.shutdownDelaySeconds": 0,
        "signer.api.shutdownDelaySeconds": 30,
        "simulator.shutdownDelaySeconds": 1,
      }),
      [
        ["console", "--shutdown-delay=2s", 17],
        ["pingpong-server", "--shutdown-delay=0s", 15],
        ["signer-api", "--shutdown-delay=30s", 50],
        ["simulator", "--shutdown-delay=1s", 16],
      ],
    );
  },
);

testWithStack("what the charts mount, the images' programs may read", async () => {
  interface Workload {
    spec?: {
      template?: {
        spec: {
          containers: { name: string; image: string; volumeMounts?: { mountPath: string }[] }[];
        };
      };
    };
  }
  const values = {
    "pingpong.token.secretName": "token",
    "signer.kafka.sasl.mechanism": "PLAIN",
    "signer.kafka.sasl.username": "signer",
    "signer.kafka.sasl.passwordSecret": "password",
    "simulator.sweep.enabled": true,
  };
  const stages = await programStages();
  const workloads = loadAll(await renderChart(chart, { values })) as (Workload | null)[];
  const containers = workloads.flatMap((one) => one?.spec?.template?.spec.containers ?? []);
  const mounted: string[] = [];
  for (const { image, volumeMounts = [] } of containers) {
    const [, program = ""] = /^orrery\/([\w-]+):/.exec(image) ?? [];
    const read = entrypoint(stages.get(program)!).find((word) => word.startsWith("--allow-read="));
    const folders = read?.slice("--allow-read=".length).split(",") ?? [];
    for (const { mountPath } of volumeMounts) {
      // Deno's own cache goes there, not the program's files.
      if (mountPath === "/tmp") continue;
      mounted.push(mountPath);
      const readable = folders.some((one) => mountPath === one || mountPath.startsWith(`${one}/`));
      assert.ok(readable, `${program} may not read ${mountPath}: its image grants ${read}`);
    }
  }
  for (const path of ["/certificate", "/token", "/kafka-password", "/data", "/run/containerd"]) {
    assert.ok(mounted.includes(path), path);
  }
});
