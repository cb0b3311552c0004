import { loadAll } from "js-yaml";
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { StackError } from "../stack/build_cache.ts";
import { renderChart } from "../stack/helm.ts";
import { validateObjects } from "../stack/kubernetes_validate.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

const chart = fileURLToPath(new URL("../deploy/helm/orrery/charts/observer", import.meta.url));

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

testWithStack(
  "observer chart has a pod on each node, which is not root, with the socket",
  async () => {
    const manifests = await render({
      "runtime.socket": "/run/crio/crio.sock",
      "runtime.socketGroup": 999,
      tolerations: [{ operator: "Exists" }],
      "networkPolicy.from": [{ podSelector: {} }],
    });
    assert.deepEqual([...manifests.keys()].sort(), [
      "DaemonSet test-observer",
      "NetworkPolicy test-observer",
      "Service test-observer",
    ]);
    const { template } = manifests.get("DaemonSet test-observer")!.spec;
    const { containers: [container], volumes, securityContext, tolerations } = template.spec;
    assert.deepEqual(tolerations, [{ operator: "Exists" }]);
    const { runAsNonRoot, runAsUser, runAsGroup } = securityContext;
    assert.deepEqual([runAsNonRoot, runAsUser, runAsGroup], [true, 65532, 999]);
    assert.ok(container.args.includes("--endpoint=cri=unix:///run/crio/crio.sock"));
    assert.deepEqual(volumes[0].hostPath, { path: "/run/crio", type: "Directory" });
    assert.deepEqual(container.volumeMounts[0], {
      name: "runtime",
      mountPath: "/run/crio",
      readOnly: true,
    });
    assert.equal(manifests.get("Service test-observer")!.spec.clusterIP, "None");
  },
);

testWithStack("observer chart's objects are what Kubernetes takes", async () => {
  const file = await Deno.makeTempFile({ suffix: ".yaml" });
  try {
    await Deno.writeTextFile(file, await renderChart(chart));
    await validateObjects(file);
  } finally {
    await Deno.remove(file);
  }
});

testWithStack("observer chart refuses a value by its name", async () => {
  for (
    const [name, value] of [
      ["port", 80],
      ["runtime.socket", "containerd.sock"],
      ["runtime.socketGroup", "root"],
      ["interval", "30"],
      ["colour", "blue"],
    ] as const
  ) {
    await assert.rejects(renderChart(chart, { values: { [name]: value } }), (error) => {
      assert.ok(error instanceof StackError);
      // Helm names it by a path, `/ports/page`, or an unknown one in quotation marks.
      assert.match(error.message, new RegExp(name.split(".").at(-1)!));
      return true;
    });
  }
});
