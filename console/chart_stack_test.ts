import assert from "node:assert/strict";
import { StackError } from "../stack/build_cache.ts";
import { chartObjects, type ChartValues, validateChart } from "../stack/test_chart.ts";
import { testWithStack } from "../stack/test_with_stack.ts";

const render = (values: ChartValues = {}) => chartObjects("console", values);

testWithStack(
  "console chart has one pod with both ports, and passes on where it is told",
  async () => {
    const manifests = await render({
      forward: ["http://collector:4318"],
      allowedHosts: ["console.example"],
      "networkPolicy.from": [{ podSelector: {} }],
    });
    assert.deepEqual([...manifests.keys()].sort(), [
      "Deployment test-console",
      "NetworkPolicy test-console",
      "Service test-console",
    ]);
    const { replicas, strategy, template } = manifests.get("Deployment test-console")!.spec;
    assert.deepEqual([replicas, strategy.type], [1, "Recreate"]);
    const [container] = template.spec.containers;
    assert.ok(container.args.includes("--forward=http://collector:4318"));
    assert.ok(container.args.includes("--allowed-host=console.example"));
    assert.ok(container.args.some((arg: string) => /^--allowed-host=test-console,/.test(arg)));
    const { ports } = manifests.get("Service test-console")!.spec;
    assert.deepEqual(ports.map(({ port }: { port: number }) => port).sort(), [4318, 8080]);
    const [rule] = manifests.get("NetworkPolicy test-console")!.spec.ingress;
    assert.deepEqual(rule.from, [{ podSelector: {} }]);
  },
);

testWithStack("console chart's objects are what Kubernetes takes", async () => {
  await validateChart("console");
});

testWithStack("console chart refuses a value by its name", async () => {
  for (
    const [name, value] of [
      ["ports.page", 80],
      ["forward", ["collector:4318"]],
      ["maxSpans", 0],
      ["shutdownDelaySeconds", -1],
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
