import assert from "node:assert/strict";
import { StackError } from "../stack/build_cache.ts";
import { chartObjects, type ChartValues, validateChart } from "../stack/test_chart.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

const render = (values: ChartValues = {}) => chartObjects("observer", values);

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
  await validateChart("observer");
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
    await assert.rejects(render({ [name]: value }), (error) => {
      assert.ok(error instanceof StackError);
      // Helm names it by a path, `/ports/page`, or an unknown one in quotation marks.
      assert.match(error.message, new RegExp(name.split(".").at(-1)!));
      return true;
    });
  }
});
