/**
 * Brings compose.yaml up with images built here, without a Docker engine.
 *
 * @module
 */
import { programs } from "../programs.ts";
import { pause } from "../service/resilience.ts";
import { type RunningProcess, startProcess } from "../service/supervisor.ts";
import { StackError } from "./build_cache.ts";
import { assembledServices, componentImages } from "./component_images.ts";
import { type Compose, type ComposeOptions, isHealthy, openCompose } from "./compose.ts";
import { openPodman, type Podman } from "./podman.ts";
import type { StartOptions } from "./start_options.ts";

/** The longest that a container may take until its health check passes, in milliseconds. */
const HEALTHY_TIMEOUT_MS = 120_000;

/** The pause between two health checks of a container, in milliseconds. */
const HEALTH_POLL_MS = 500;

/** Which of the projects of compose.yaml is meant. */
export type ProjectOptions = Pick<ComposeOptions, "project">;

/** Builds the images of every program; what has not changed is there already. */
export async function buildContainers(signal?: AbortSignal): Promise<void> {
  const compose = await openCompose(await openPodman(), signal === undefined ? {} : { signal });
  await compose.build();
}

/** Builds those too, and assembles the images of the components in compose.yaml's profiles. */
export async function buildAllContainers(signal?: AbortSignal): Promise<void> {
  await buildContainers(signal);
  const podman = await openPodman();
  await componentImages(podman, assembledServices, signal === undefined ? {} : { signal });
}

/**
 * Starts all that compose.yaml starts without a profile, on its usual ports, and returns once every
 * health check passes. The process is the one that reads the containers' logs; stopping it takes the
 * containers down, their volumes stay.
 *
 * @throws {StackError} containers cannot run here, an image cannot be built, or one is not healthy
 */
export async function startContainers(
  options: StartOptions & ProjectOptions = {},
): Promise<RunningProcess> {
  const { signal } = options;
  const podman = await openPodman();
  const compose = await openCompose(podman, options);
  await compose.build();
  await using undo = new AsyncDisposableStack();
  undo.defer(() => compose.down());
  await compose.up();
  await untilHealthy(podman, compose, signal);
  const { command, args, env } = compose.command(["logs", "--follow"]);
  const logs = undo.use(
    await startProcess({
      name: "containers",
      command,
      args: () => args,
      env,
      ports: {},
      ready: () => Promise.resolve(true),
    }, options),
  );
  const resources = undo.move();
  let stopped: Promise<void> | undefined;
  const stop = () => stopped ??= resources.disposeAsync();
  return { ...logs, stop, [Symbol.asyncDispose]: stop };
}

/** Takes down what {@linkcode startContainers} has left, such as after a kill. */
export async function removeContainers(
  { volumes = false, ...project }: ProjectOptions & { volumes?: boolean } = {},
): Promise<void> {
  const compose = await openCompose(await openPodman(), project);
  await compose.down({ volumes });
}

/** Nobody else asks the health checks: without systemd Podman does not. */
async function untilHealthy(
  podman: Podman,
  compose: Compose,
  signal: AbortSignal | undefined,
): Promise<void> {
  const checked = programs.filter(({ health }) => health !== undefined).map(({ name }) => name);
  for (const [service, { name }] of await compose.services()) {
    if (!checked.includes(service)) continue;
    const timeout = AbortSignal.timeout(HEALTHY_TIMEOUT_MS);
    const giveUp = signal ? AbortSignal.any([signal, timeout]) : timeout;
    while (!await isHealthy(podman, name)) {
      signal?.throwIfAborted();
      if (giveUp.aborted) {
        const { stdout, stderr } = await podman.attempt(["logs", "--tail", "12", name]);
        throw new StackError(
          `Cannot bring up ${service}: it was not healthy within ${HEALTHY_TIMEOUT_MS} ms. ` +
            `Its last lines:\n${(stdout + stderr).trim()}`,
        );
      }
      await pause(HEALTH_POLL_MS, { signal: giveUp });
    }
  }
}
