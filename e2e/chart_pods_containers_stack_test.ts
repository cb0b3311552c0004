/** Each workload of the charts, as a pod with its real image: it starts, its probes pass, it drains. */
import assert from "node:assert/strict";
import { choosePorts } from "../service/ports.ts";
import { eventually } from "../service/testing/eventually.ts";
import { openCompose } from "../stack/compose.ts";
import { startContainerd } from "../stack/containerd.ts";
import { startKafka } from "../stack/kafka.ts";
import {
  type KubeObject,
  type PlayedPod,
  type PlayOptions,
  playPod,
  podOf,
  type PodOptions,
} from "../stack/kube_pods.ts";
import { openPodman, type Podman } from "../stack/podman.ts";
import { chartObjects } from "../stack/test_chart.ts";
import { testWithContainers } from "../stack/test_containers.ts";
import { generateCertificates } from "../pingpong/gen_certs.ts";

/** A chart's workloads by their names. */
async function workloads(
  part: string,
  values: Record<string, unknown> = {},
): Promise<Map<string, KubeObject>> {
  const objects = [...(await chartObjects(part, values)).values()];
  return new Map(
    objects.filter((one) => one.spec?.template !== undefined).map((
      one,
    ) => [one.metadata.name, one]),
  );
}

/** Plays the one pod of a workload, asks its probes, ends it. */
async function proveWorkload(
  podman: Podman,
  workload: KubeObject,
  options: PodOptions & PlayOptions = {},
  work: (played: PlayedPod) => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const pod = podOf(workload, options);
  await using played = await playPod(podman, pod, options);
  const [container] = pod.spec.containers;
  const { startupProbe, readinessProbe, livenessProbe } = container!;
  const said = async () => (await played.logs(container!.name)).slice(-2_000);
  try {
    await eventually(
      `${pod.metadata.name}, started`,
      async () => await played.probe(container!, startupProbe!) || undefined,
    );
    assert.ok(await played.probe(container!, readinessProbe!), "ready");
    assert.ok(await played.probe(container!, livenessProbe!), "alive");
    await work(played);
    await played.terminate(container!.name);
    assert.equal(await played.exitCode(container!.name), 0);
    // Where it serves on for a while it had said so before it stopped.
    if (JSON.stringify(container).includes("--shutdown-delay=")) {
      assert.match(await said(), /Not ready any more/);
    }
  } catch (error) {
    throw new Error(`${pod.metadata.name}:\n${await said()}`, { cause: error });
  }
}

testWithContainers(
  "charts' pods start with their images, pass their probes and drain",
  async (t) => {
    const podman = await openPodman();
    await (await openCompose(podman)).build();
    const delay = { shutdownDelaySeconds: 1 };

    await t.step("console", async () => {
      const all = await workloads("console", delay);
      await proveWorkload(podman, all.get("test-console")!);
    });
    await t.step("orb, on a volume", async () => {
      const all = await workloads("orb", delay);
      await proveWorkload(podman, all.get("test-orb")!, {}, async ({ address }) => {
        const answer = await fetch(`http://${address}:4242/api/signup`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ id: "1", image_base64: btoa("an iris") }),
        });
        assert.equal(answer.status, 200, await answer.text());
      });
    });
    await t.step("simulator", async () => {
      const all = await workloads("simulator", delay);
      await proveWorkload(podman, all.get("test-simulator")!);
    });
    await t.step("simulator's sweep", () => proveSweep(podman));
    await t.step("observer, with the socket of a containerd", () => proveObserver(podman));
    await t.step("pingpong, stable and canary", () => provePingpong(podman));
    await t.step("signer, with a Kafka", () => proveSigner(podman));
  },
);

async function proveSweep(podman: Podman): Promise<void> {
  const sweep = { "sweep.enabled": true, "sweep.seeds": "1..20", "sweep.shards": 2 };
  const all = await workloads("simulator", { ...sweep, "sweep.orders": 3 });
  const job = [...all.values()].find(({ kind }) => kind === "Job")!;
  const pod = podOf(job, {
    name: "test-sweep-1",
    annotations: { "batch.kubernetes.io/job-completion-index": "1" },
  });
  await using played = await playPod(podman, pod);
  const code = await podman.run(["wait", played.container("simulate")]);
  const said = await played.logs("simulate");
  assert.equal(Number(code), 0, said);
  assert.match(said, /"seeds":10/);
}

async function proveObserver(podman: Podman): Promise<void> {
  const runFolder = await Deno.makeTempDir({ dir: "/run", prefix: "orrery-test-" });
  try {
    await using containerd = await startContainerd({ runFolder });
    await Deno.chmod(runFolder, 0o755);
    await containerd.importImage({
      name: "orrery.invalid/one:1",
      files: { one: new Uint8Array(9) },
    });
    const values = { "runtime.socket": containerd.socketPath, "interval": "1s" };
    const all = await workloads("observer", { ...values, shutdownDelaySeconds: 1 });
    await proveWorkload(podman, all.get("test-observer")!, {}, async ({ address }) => {
      await eventually("the image in the metrics", async () => {
        const metrics = await (await fetch(`http://${address}:33333/metrics`)).text();
        return /cri.* 1$/m.test(metrics) || undefined;
      });
    });
  } finally {
    await Deno.remove(runFolder, { recursive: true });
  }
}

/** Its probes ping, from inside, with the client in the server's image. */
async function provePingpong(podman: Podman): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const [certificatePath, keyPath] = [`${folder}/tls.crt`, `${folder}/tls.key`];
    await generateCertificates({ certificatePath, keyPath });
    const secrets = {
      "pingpong-tls": {
        "tls.crt": await Deno.readTextFile(certificatePath),
        "tls.key": await Deno.readTextFile(keyPath),
      },
    };
    const all = await workloads("pingpong", {
      ...{ shutdownDelaySeconds: 1, "canary.weight": 25, "canary.tag": "0.1.0" },
    });
    assert.deepEqual([...all.keys()], ["test-pingpong-stable", "test-pingpong-canary"]);
    for (const workload of all.values()) await proveWorkload(podman, workload, { secrets });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** On this machine's network: the Kafka listens on loopback. */
async function proveSigner(podman: Podman): Promise<void> {
  await using kafka = await startKafka();
  const [api, service] = choosePorts(undefined, undefined);
  const all = await workloads("signer", {
    "kafka.brokers": [kafka.bootstrapServer],
    ...{ "api.port": api, "service.port": service, "api.shutdownDelaySeconds": 1 },
  });
  const hostNetwork = true;
  await proveWorkload(podman, all.get("test-signer-service")!, { hostNetwork }, async () => {
    await proveWorkload(podman, all.get("test-signer-api")!, { hostNetwork }, async () => {
      const answer = await fetch(`http://127.0.0.1:${api}/sign`, {
        method: "POST",
        body: JSON.stringify({ message: "by way of Kafka" }),
      });
      const { algorithm } = await answer.json() as { algorithm: string };
      assert.equal(algorithm, "ed25519");
    });
  });
}
