import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { StackError } from "../stack/build_cache.ts";
import type { KubeObject } from "../stack/kube_pods.ts";
import { chartObjects, type ChartValues, validateChart } from "../stack/test_chart.ts";
import { testWithStack } from "../stack/test_with_stack.ts";
import { exitCodes } from "./simulate/output.ts";

const render = (values: ChartValues = {}) => chartObjects("simulator", values);

/** What a program says of its flags. */
async function helpOf(entry: string, ...command: string[]): Promise<string> {
  const { stdout } = await new Deno.Command("deno", {
    args: [
      ...["run", "--no-prompt", "--allow-env", "--allow-read"],
      ...[fileURLToPath(new URL(entry, import.meta.url)), ...command, "--help"],
    ],
    env: { NO_COLOR: "1" },
  }).output();
  return new TextDecoder().decode(stdout);
}

function assertHasFlags(help: string, args: readonly string[]): void {
  for (const arg of args) {
    const flag = arg.split("=")[0]!;
    assert.match(help, new RegExp(`^ +${flag}[ ,]`, "m"), `there is no ${flag}`);
  }
}

const podOf = (manifests: Map<string, KubeObject>) =>
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
    assertHasFlags(await helpOf("./server.ts"), container.args);
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

/** The one sweep among the manifests. */
function sweepOf(manifests: Map<string, KubeObject>): KubeObject {
  const [job, ...others] = [...manifests.values()].filter(({ kind }) => kind === "Job");
  assert.ok(job && others.length === 0, [...manifests.keys()].join());
  return job;
}

testWithStack("simulator chart's sweep is an indexed Job, a shard of the seeds a pod", async () => {
  const on = { "sweep.enabled": true, "sweep.seeds": "5..104", "sweep.shards": 8 };
  const manifests = await render({ ...on, "sweep.orders": 3 });
  const job = sweepOf(manifests);
  const { completionMode, completions, parallelism, template, podFailurePolicy } = job.spec;
  assert.deepEqual([completionMode, completions, parallelism], ["Indexed", 8, 4]);
  const { containers: [container], restartPolicy, securityContext, automountServiceAccountToken } =
    template.spec;
  const [command, ...flags] = container.args as string[];
  assert.equal(command, "sweep");
  assertHasFlags(await helpOf("./simulate.ts", "sweep"), flags);
  assert.deepEqual(flags, [
    ...["--seeds=5..104", "--shard=$(JOB_COMPLETION_INDEX)/8", "--orders=3", "--workers=1"],
    "--json",
  ]);
  assert.deepEqual(container.env, [{
    name: "JOB_COMPLETION_INDEX",
    valueFrom: {
      fieldRef: { fieldPath: "metadata.annotations['batch.kubernetes.io/job-completion-index']" },
    },
  }]);
  // Its rights are the server's, and it is not taken for one of the server's pods.
  const server = manifests.get("Deployment test-simulator")!.spec;
  assert.deepEqual(securityContext, server.template.spec.securityContext);
  assert.deepEqual(
    container.securityContext,
    server.template.spec.containers[0].securityContext,
  );
  assert.deepEqual([restartPolicy, automountServiceAccountToken], ["Never", false]);
  const { labels } = template.metadata;
  assert.notEqual(
    labels["app.kubernetes.io/name"],
    server.selector.matchLabels["app.kubernetes.io/name"],
  );
  const policy = manifests.get("NetworkPolicy test-simulator-sweep")!.spec;
  for (const [name, value] of Object.entries(policy.podSelector.matchLabels)) {
    assert.equal(labels[name], value, name);
  }
  assert.deepEqual([policy.ingress, policy.egress], [undefined, undefined]);
  // A seed that has failed fails again: its exit codes are those of simulate.
  const { onExitCodes } = podFailurePolicy.rules.find(({ action }: { action: string }) =>
    action === "FailIndex"
  );
  const { pass, ...failures } = exitCodes;
  assert.deepEqual(onExitCodes.values, Object.values(failures));
  assert.ok(!onExitCodes.values.includes(pass));
  assert.equal(onExitCodes.containerName, container.name);
  // A Job cannot be changed: what is the same keeps its name, what is not has another.
  assert.equal(
    sweepOf(await render({ ...on, "sweep.orders": 3, maxEvents: 9 })).metadata.name,
    job.metadata.name,
  );
  assert.notEqual(sweepOf(await render(on)).metadata.name, job.metadata.name);
});

testWithStack("simulator chart's objects are what Kubernetes takes", async () => {
  const checked = await validateChart("simulator", { "sweep.enabled": true });
  assert.match(checked, /passed for resource deployment/);
  assert.match(checked, /passed for resource job/);
});

testWithStack("simulator chart refuses values that cannot be meant", async () => {
  const wrong: Record<string, unknown>[] = [
    { replicas: 2 },
    { "ports.tcp": 80 },
    { allowedHosts: ["https://stage.example"] },
    { allowedOrigins: ["page.example"] },
    { consoleUrl: "console" },
    { maxEvents: 0 },
    { "sweep.enabled": "yes" },
    { "sweep.seeds": "1-100" },
    { "sweep.shards": 0 },
    { "sweep.orders": 0 },
    { "sweep.plant": 25 },
    { "sweep.index": 1 },
  ];
  for (const values of wrong) {
    await assert.rejects(render(values), StackError, JSON.stringify(values));
  }
});
