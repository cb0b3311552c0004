/**
 * For tests: containers from the project's own images, run by Podman.
 *
 * @module
 */
import { programs } from "../programs.ts";
import { choosePorts } from "../service/ports.ts";
import { eventually } from "../service/testing/eventually.ts";
import { missingPermissions } from "../service/testing/permissions.ts";
import { type Compose, type ComposeOptions, isHealthy, openCompose } from "./compose.ts";
import { compose as composeFile } from "./compose_file.ts";
import { whyNoDocker } from "./docker.ts";
import { openPodman, type Podman, whyNoContainers } from "./podman.ts";

/** The longest that a container may take until its health check passes, on a machine with much else to do. */
const HEALTHY_TIMEOUT_MS = 300_000;

/** Why tests with containers are ignored here; nothing when they run. */
const reason = await (async () => {
  const missing = missingPermissions([
    ...["run", "read", "write", "env", "net"].map((
      name,
    ) => ({ name } as Deno.PermissionDescriptor)),
    { name: "sys", kind: "uid" },
  ]);
  if (missing.length > 0) return `needs ${missing.map((one) => `--allow-${one}`).join(" ")}`;
  return await whyNoContainers();
})();

/** `Deno.test` for a test that runs containers, ignored with the reason where none can run. */
export function testWithContainers(
  name: string,
  run: (t: Deno.TestContext) => Promise<void>,
): void {
  testUnless(reason, name, run);
}

/** The same for Docker's own engine. */
export async function testWithDocker(
  name: string,
  run: (t: Deno.TestContext) => Promise<void>,
): Promise<void> {
  testUnless(reason ?? await whyNoDocker(), name, run);
}

function testUnless(
  why: string | undefined,
  name: string,
  run: (t: Deno.TestContext) => Promise<void>,
): void {
  Deno.test({
    name: why === undefined ? name : `${name} (ignored: ${why})`,
    ignore: why !== undefined,
    // Images may have to be built, and many containers take long where others work, too.
    timeout: 1_800_000,
    // What Podman and Docker start outlives the command on purpose.
    sanitizeResources: false,
    fn: run,
  });
}

/** compose.yaml, up under a name of its own. `await using` takes it down, volumes and all. */
export interface TestProject extends AsyncDisposable {
  readonly podman: Podman;
  readonly compose: Compose;
  /** The host's port of each `HOST_PORT_…` variable. */
  readonly ports: Readonly<Record<string, number>>;
  /** Those as an environment, for who runs compose.yaml by another command. */
  readonly portVariables: Readonly<Record<string, string>>;
  /** The address on this machine of a variable's port: `url("CONSOLE")`. */
  url(port: string): string;
  /** Resolves once the services' own health checks pass, asked as an engine asks. */
  healthy(...services: string[]): Promise<void>;
  /** What a service has written so far. */
  logs(service: string): Promise<string>;
  /** What Podman says of a service's container. */
  inspect(service: string): Promise<ContainerFacts>;
}

/** The part of `podman inspect` that tests look at. */
export interface ContainerFacts {
  Id: string;
  Image: string;
  State: { Status: string; Pid: number; ExitCode: number; StartedAt: string; OOMKilled: boolean };
  RestartCount: number;
  EffectiveCaps: string[] | null;
  HostConfig: {
    ReadonlyRootfs: boolean;
    Memory: number;
    NanoCpus: number;
    SecurityOpt: string[];
    RestartPolicy: { Name: string };
    PortBindings: Record<string, { HostIp: string; HostPort: string }[] | null>;
  };
}

/** Options of {@linkcode openTestProject}. */
export interface TestProjectOptions extends Omit<ComposeOptions, "project"> {
  /** Distinguishes it from those of other tests. */
  name: string;
}

/** The services that have a health check of their own: those of programs that have `/readyz`. */
export const checkedServices = programs.filter(({ health }) => health !== undefined)
  .map(({ name }) => name);

/**
 * Builds the images, unless they are there, and gives the project, not yet up, on free ports.
 *
 * @throws {StackError} the images cannot be built
 */
export async function openTestProject(
  { name, env = {}, ...options }: TestProjectOptions,
): Promise<TestProject> {
  const podman = await openPodman();
  const names = await portNames();
  const free = choosePorts(...names.map(() => undefined));
  const ports = Object.fromEntries(names.map((name, at) => [name, free[at]!]));
  const portVariables = Object.fromEntries(
    names.map((name) => [`HOST_PORT_${name}`, String(ports[name])]),
  );
  const compose = await openCompose(podman, {
    ...options,
    project: `orrery-${name}`,
    env: { ...portVariables, ...env },
  });
  // What an interrupted run has left.
  await compose.down({ volumes: true });
  await buildImages(compose);
  const container = (service: string) => compose.container(service);
  return {
    podman,
    compose,
    ports,
    portVariables,
    url: (port) => `http://127.0.0.1:${ports[port]}`,
    async healthy(...services) {
      for (const service of services) {
        await eventually(
          `${service}, healthy`,
          async () => await isHealthy(podman, container(service)) || undefined,
          HEALTHY_TIMEOUT_MS,
        );
      }
    },
    async logs(service) {
      const { stdout, stderr } = await podman.attempt(["logs", container(service)]);
      return stdout + stderr;
    },
    async inspect(service) {
      const text = await podman.run(["container", "inspect", container(service)]);
      return (JSON.parse(text) as ContainerFacts[])[0]!;
    },
    [Symbol.asyncDispose]: () => compose.down({ volumes: true }),
  };
}

/** Once for all tests of a file: the second time Podman finds every layer in its cache, slowly. */
let images: Promise<void> | undefined;

function buildImages(compose: Compose): Promise<void> {
  return images ??= compose.build();
}

/** The variables of compose.yaml that choose a port on the host, without their prefix. */
export async function portNames(): Promise<string[]> {
  const { services } = await composeFile();
  const all = Object.values(services).flatMap(({ ports = [] }) => ports).join("\n");
  return [...new Set([...all.matchAll(/\$\{HOST_PORT_(\w+):-/g)].map(([, name]) => name!))];
}
