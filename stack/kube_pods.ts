/**
 * Runs the pods of a chart without a cluster: `podman kube play` takes each, and what a kubelet does
 * beside is done here when asked for: its probes, and its end.
 *
 * A Deployment, StatefulSet, DaemonSet or Job becomes the one pod of its template, as the cluster's
 * controllers would make it; everything in the pod stays as the chart says.
 *
 * @module
 */
import { StackError } from "./build_cache.ts";
import type { Podman } from "./podman.ts";

/** The longest that a probe of ours waits where it does not say, in milliseconds: Kubernetes' second is for machines with nothing else to do. */
const PROBE_TIMEOUT_MS = 10_000;

/** An object of a chart. */
export interface KubeObject {
  kind: string;
  metadata: { name: string; labels?: Record<string, string> };
  // deno-lint-ignore no-explicit-any -- a manifest's specification is whatever its kind says
  spec?: any;
}

/** What is asked of a container. */
export interface Probe {
  httpGet?: { path: string; port: string | number };
  exec?: { command: string[] };
}

/** A container of a pod, as far as it is asked for. */
export interface KubeContainer {
  name: string;
  image: string;
  args?: string[];
  env?: { name: string; value?: string; valueFrom?: { fieldRef?: { fieldPath: string } } }[];
  ports?: { name: string; containerPort: number }[];
  startupProbe?: Probe;
  readinessProbe?: Probe;
  livenessProbe?: Probe;
}

/** A pod that can be played. */
export interface Pod {
  apiVersion: "v1";
  kind: "Pod";
  metadata: { name: string; labels: Record<string, string>; annotations: Record<string, string> };
  spec: {
    restartPolicy: "Never";
    hostNetwork?: boolean;
    terminationGracePeriodSeconds?: number;
    containers: KubeContainer[];
    volumes?: Volume[];
  };
}

/** A volume of a pod, as far as it is asked for. */
interface Volume {
  name: string;
  secret?: { secretName: string; optional?: boolean };
  persistentVolumeClaim?: { claimName: string };
}

/** Options of {@linkcode podOf}. */
export interface PodOptions {
  /** Its name, as the controllers choose one. @default the workload's, with `-0` */
  name?: string;
  /** Annotations that the controllers add. @default none */
  annotations?: Readonly<Record<string, string>>;
  /**
   * On this machine's network, where it reaches what listens on loopback only.
   *
   * @default false
   */
  hostNetwork?: boolean;
}

/** The pod that a controller makes of a workload; each claim of a StatefulSet is a volume of its name. */
export function podOf(workload: KubeObject, options: PodOptions = {}): Pod {
  const { name = `${workload.metadata.name}-0`, annotations = {}, hostNetwork = false } = options;
  const { template, volumeClaimTemplates = [] } = workload.spec;
  const claims = (volumeClaimTemplates as KubeObject[]).map(({ metadata }) => ({
    name: metadata.name,
    persistentVolumeClaim: { claimName: `${metadata.name}-${name}` },
  }));
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: template.metadata.labels, annotations: { ...annotations } },
    spec: {
      ...template.spec,
      // A container that has ended stays, with its code.
      restartPolicy: "Never",
      ...(hostNetwork && { hostNetwork }),
      volumes: [...template.spec.volumes ?? [], ...claims],
    },
  };
}

/** A pod that runs. `await using` removes it with its volumes. */
export interface PlayedPod extends AsyncDisposable {
  readonly pod: Pod;
  /** Its address. */
  readonly address: string;
  /** Podman's name of a container. */
  container(name: string): string;
  /** Asks as a kubelet does; true when the answer is a good one. */
  probe(container: KubeContainer, probe: Probe): Promise<boolean>;
  /** What the container has written. */
  logs(container: string): Promise<string>;
  /** Asks the container to end, as a kubelet does first. */
  terminate(container: string): Promise<void>;
  /** The code that the container ends with. @throws {StackError} it does not within its grace */
  exitCode(container: string): Promise<number>;
}

/** Options of {@linkcode playPod}. */
export interface PlayOptions {
  /** Secrets that the pod names, by their keys. @default none */
  secrets?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/**
 * Starts a pod; its images must be there.
 *
 * @throws {StackError} Podman refuses it
 */
export async function playPod(
  podman: Podman,
  pod: Pod,
  { secrets = {} }: PlayOptions = {},
): Promise<PlayedPod> {
  const { name } = pod.metadata;
  // Podman makes a volume of each claim and of each secret.
  const volumes = (pod.spec.volumes ?? []).flatMap(({ persistentVolumeClaim, secret }) =>
    persistentVolumeClaim?.claimName ?? secret?.secretName ?? []
  );
  const remove = async () => {
    await podman.attempt(["pod", "rm", "--force", "--time=1", name]);
    for (const volume of volumes) await podman.attempt(["volume", "rm", "--force", volume]);
    for (const secret of Object.keys(secrets)) await podman.attempt(["secret", "rm", secret]);
  };
  await remove(); // What an interrupted run has left.
  await using undo = new AsyncDisposableStack();
  undo.defer(remove);
  const encoded = await readsSecretsEncoded(podman);
  for (const [secret, values] of Object.entries(secrets)) {
    const data = Object.fromEntries(
      Object.entries(values).map(([key, value]) => [key, encoded ? btoa(value) : value]),
    );
    const object = { apiVersion: "v1", kind: "Secret", metadata: { name: secret }, data };
    await podman.run(["secret", "create", secret, "-"], { stdin: JSON.stringify(object) });
  }
  await podman.run(["kube", "play", "-"], { stdin: JSON.stringify(playable(pod)) });
  const address = pod.spec.hostNetwork ? "127.0.0.1" : await addressOf(podman, name);
  const container = (one: string) => `${name}-${one}`;
  const resources = undo.move();
  return {
    pod,
    address,
    container,
    probe: (one, probe) => ask(podman, { address, container: container(one.name) }, one, probe),
    async logs(one) {
      const { stdout, stderr } = await podman.attempt(["logs", container(one)]);
      return stdout + stderr;
    },
    async terminate(one) {
      await podman.run(["kill", "--signal=TERM", container(one)]);
    },
    async exitCode(one) {
      const graceMs = (pod.spec.terminationGracePeriodSeconds ?? 30) * 1_000;
      return Number(await podman.run(["wait", container(one)], { timeoutMs: graceMs }));
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Podman before 4.4 puts a secret's values into files as they stand, not decoded. */
async function readsSecretsEncoded(podman: Podman): Promise<boolean> {
  const version = await podman.run(["version", "--format", "{{.Client.Version}}"]);
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 4 || (major === 4 && minor >= 4);
}

/** A container's variables that arguments may name. */
function variablesOf({ env = [] }: KubeContainer, { metadata }: Pod): Map<string, string> {
  return new Map(env.flatMap(({ name, value, valueFrom }) => {
    const path = valueFrom?.fieldRef?.fieldPath;
    const [, annotation] = /^metadata\.annotations\['(.*)'\]$/.exec(path ?? "") ?? [];
    const known = path === "metadata.name"
      ? metadata.name
      : annotation === undefined
      ? value
      : metadata.annotations[annotation];
    return known === undefined ? [] : [[name, known]];
  }));
}

/** `$(NAME)` in an argument becomes the variable's value, as a kubelet has it; an unknown one stays. */
function expand(arg: string, variables: Map<string, string>): string {
  return arg.replace(/\$\((\w+)\)/g, (whole, name) => variables.get(name) ?? whole);
}

/**
 * The pod without what Podman 4.3 stumbles over: ports, which say nothing to it where none is the
 * host's, and a secret that does not say whether it may be missing; and with its arguments expanded,
 * which Podman does not.
 */
function playable(pod: Pod): unknown {
  const { containers, volumes = [] } = pod.spec;
  return {
    ...pod,
    spec: {
      ...pod.spec,
      containers: containers.map((one) => ({
        ...one,
        ports: [],
        args: one.args?.map((arg) => expand(arg, variablesOf(one, pod))) ?? [],
      })),
      volumes: volumes.map((volume) =>
        volume.secret ? { ...volume, secret: { optional: false, ...volume.secret } } : volume
      ),
    },
  };
}

async function addressOf(podman: Podman, pod: string): Promise<string> {
  const infra = await podman.run(["pod", "inspect", "--format", "{{.InfraContainerID}}", pod]);
  const text = await podman.run(["container", "inspect", infra.trim()]);
  const [{ NetworkSettings }] = JSON.parse(text) as [{
    NetworkSettings: { Networks: Record<string, { IPAddress: string }> };
  }];
  const [network] = Object.values(NetworkSettings.Networks);
  if (network === undefined) throw new StackError(`Pod ${pod} has no address`);
  return network.IPAddress;
}

async function ask(
  podman: Podman,
  where: { address: string; container: string },
  { ports = [] }: KubeContainer,
  { httpGet, exec }: Probe,
): Promise<boolean> {
  if (exec !== undefined) {
    const { code } = await podman.attempt(["exec", where.container, ...exec.command]);
    return code === 0;
  }
  const { path, port } = httpGet!;
  const number = ports.find(({ name }) => name === port)?.containerPort ?? port;
  try {
    const answer = await fetch(`http://${where.address}:${number}${path}`, {
      signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
    });
    await answer.body?.cancel();
    return answer.status >= 200 && answer.status < 400;
  } catch {
    // No answer is a bad one, to a kubelet too.
    return false;
  }
}
