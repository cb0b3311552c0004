/**
 * Docker's own engine and compose, beside Podman, which stands for them everywhere else: the engine as
 * Debian has it, compose from its Go module. Its images and containers are in a folder of its own below
 * the cache of `stack/`, its socket in the run folder, and it leaves this machine's firewall alone: what
 * is published is passed on by a process.
 *
 * @module
 */
import { join } from "node:path";
import {
  buildOnce,
  type BuildOptions,
  type BuildRecipe,
  GO,
  stackCacheFolder,
  StackError,
  type Tool,
  whyNoTools,
} from "./build_cache.ts";
import { programs } from "../programs.ts";
import { type RunningProcess, startProcess } from "../service/supervisor.ts";
import { compose, root } from "./compose_file.ts";
import { denoImages, whileNobodyBuilds } from "./container_images.ts";
import {
  commandError,
  type CommandOptions,
  type CommandResult,
  type Podman,
  runCommand,
  whyNoContainers,
} from "./podman.ts";
import type { StartOptions } from "./start_options.ts";

/** The version of compose's Go module: the last that speaks to engines of before version 25. */
export const DOCKER_COMPOSE_VERSION = "v2.40.3";

const COMPOSE_PACKAGE = "github.com/docker/compose/v2/cmd";

/** Its go.mod excludes versions, which Go honours in the main module only: so one of our own. */
export const DOCKER_COMPOSE_RECIPE: BuildRecipe = {
  name: "docker-compose",
  version: DOCKER_COMPOSE_VERSION,
  tools: [GO],
  firstBuildTakes: "about 5 minutes on 2 cores",
  steps: [
    { write: "go.mod", text: "module orrery.invalid/stack/docker-compose\n\ngo 1.24.0\n" },
    {
      write: "tools.go",
      text: `//go:build tools\n\npackage tools\n\nimport _ "${COMPOSE_PACKAGE}"\n`,
    },
    { run: ["go", "get", `${COMPOSE_PACKAGE}@${DOCKER_COMPOSE_VERSION}`] },
    {
      run: ["go", "build", "-trimpath", "-buildvcs=false", "-o", "bin/docker-compose"].concat(
        `-ldflags=-s -w -X github.com/docker/compose/v2/internal.Version=${DOCKER_COMPOSE_VERSION}`,
        COMPOSE_PACKAGE,
      ),
    },
  ],
  keep: ["bin/docker-compose"],
};

/** Both are in one package of Debian. */
const TOOLS: readonly Tool[] = ["dockerd", "docker"].map((command) => ({
  command,
  install: "apt-get install docker.io (Debian, Ubuntu)",
}));

/** The longest that images may take to be built: everything is downloaded, bundled and copied. */
const BUILD_TIMEOUT_MS = 900_000;

/** Says why Docker's engine cannot run on this machine; nothing when it can. */
export async function whyNoDocker(): Promise<string | undefined> {
  return await whyNoContainers() ?? await whyNoTools(TOOLS, "Docker's engine");
}

/** A Docker engine that is up. */
export interface RunningDocker extends RunningProcess {
  /** Runs `docker`. @throws {StackError} it ended with a code other than 0 */
  docker(args: readonly string[], options?: CommandOptions): Promise<string>;
  /** Runs `docker compose` with compose.yaml. @throws {StackError} it ended with a code other than 0 */
  compose(args: readonly string[], options?: CommandOptions): Promise<string>;
}

/** Options of {@linkcode startDocker}. */
export interface DockerOptions extends StartOptions {
  /** What containers, networks and volumes of compose.yaml begin with. @default "orrery" */
  project?: string;
  /** Values of compose.yaml's variables. @default none */
  env?: Readonly<Record<string, string>>;
  /** Further compose files, which add to the first or replace parts of it. @default none */
  files?: readonly string[];
}

/**
 * Starts an engine of its own.
 *
 * @throws {StackError} it cannot run here, or compose cannot be built
 */
export async function startDocker(options: DockerOptions = {}): Promise<RunningDocker> {
  const { project = "orrery", env = {}, files = [], ...start } = options;
  const reason = await whyNoDocker();
  if (reason !== undefined) throw new StackError(`Cannot run Docker: ${reason}`);
  const program = join(await buildOnce(DOCKER_COMPOSE_RECIPE, start), "bin", "docker-compose");
  const client = await clientOfEngine();
  const data = join(stackCacheFolder(), "docker");
  let host = "";
  const run = async (name: string, args: readonly string[], options: CommandOptions = {}) => {
    const result: CommandResult = await runCommand(name, args, {
      ...options,
      env: { DOCKER_HOST: host, DOCKER_BUILDKIT: "1", ...env, ...options.env },
    });
    if (result.code === 0) return result.stdout;
    throw commandError(name, args, result);
  };
  const engine = await startProcess({
    name: "docker",
    command: "dockerd",
    args: (runFolder) => {
      host = `unix://${join(runFolder, "docker.sock")}`;
      return [
        ...["--data-root", data, "--exec-root", join(runFolder, "exec")],
        ...["--pidfile", join(runFolder, "docker.pid"), "--host", host],
        ...["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"],
      ];
    },
    ports: {},
    ready: async () =>
      (await runCommand(client, ["version"], { env: { DOCKER_HOST: host } })).code === 0,
  }, { stopTimeoutMs: 30_000, ...start });
  const own = ["--project-name", project, "--file", join(root, "compose.yaml")]
    .concat(files.flatMap((file) => ["--file", file]));
  return {
    ...engine,
    docker: (args, options) => run(client, args, options),
    compose: (args, options) => run(program, [...own, ...args], options),
  };
}

/**
 * The client of the engine's own package where it is there: another one that comes first on the `PATH` may
 * be of a version that builds with a plug-in only.
 */
async function clientOfEngine(): Promise<string> {
  const packaged = "/usr/bin/docker";
  try {
    await Deno.stat(packaged);
    return packaged;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "docker";
    throw error;
  }
}

/** Gives an engine the images that the Dockerfile builds on, assembled by Podman. */
export async function moveBaseImages(podman: Podman, docker: RunningDocker): Promise<void> {
  await whileNobodyBuilds(podman, async () => {
    await denoImages(podman);
    const deno = "docker.io/denoland/deno";
    const { deno: version } = Deno.version;
    await moveImages(podman, docker, [`${deno}:${version}`, `${deno}:distroless-${version}`]);
  });
}

/** Gives an engine images that Podman has, under their own names. */
async function moveImages(
  podman: Podman,
  docker: RunningDocker,
  names: readonly string[],
): Promise<void> {
  const there = (await docker.docker(["images", "--no-trunc", "--format", "{{.ID}}"])).split("\n");
  const missing: string[] = [];
  for (const name of names) {
    const id = (await podman.run(["image", "inspect", "--format", "{{.Id}}", name])).trim();
    if (!there.includes(`sha256:${id}`)) missing.push(name);
  }
  if (missing.length === 0) return;
  const file = await Deno.makeTempFile({ dir: podman.folder, suffix: ".tar" });
  try {
    const flags = ["--quiet", "--format", "docker-archive", "--multi-image-archive"];
    await podman.run(["save", ...flags, "--output", file, ...missing], {
      timeoutMs: BUILD_TIMEOUT_MS,
    });
    await docker.docker(["load", "--quiet", "--input", file], { timeoutMs: BUILD_TIMEOUT_MS });
  } finally {
    await Deno.remove(file);
  }
}

/** Builds every program's image by BuildKit, Docker's own builder, on the base images that are there. */
export async function buildByDocker(
  docker: RunningDocker,
  options: BuildOptions = {},
): Promise<void> {
  const text = await Deno.readTextFile(join(root, "Dockerfile"));
  // Its first line names a front end to be pulled; the one that is built in does as well.
  const stdin = text.replace(/^# syntax=.*\n/, "");
  const { version } = JSON.parse(await Deno.readTextFile(join(root, "deno.json"))) as {
    version: string;
  };
  for (const { name } of programs) {
    await docker.docker(
      ["build", "--quiet", "--network", "host", "--target", name, "--file", "-"]
        .concat("--tag", `orrery/${name}:${version}`, root),
      { stdin, timeoutMs: BUILD_TIMEOUT_MS, signal: options.signal },
    );
  }
}

/**
 * Engines before version 25 know no interval of its own for the start: a further compose file, in that
 * folder, that makes it the only one.
 */
export async function writeForOldEngine(folder: string): Promise<string> {
  const names = Object.entries((await compose()).services)
    .filter(([, { healthcheck }]) => healthcheck?.start_interval !== undefined)
    .map(([name]) => name);
  const path = join(folder, "old_engine.yaml");
  await Deno.writeTextFile(
    path,
    "services:\n" +
      names.map((name) =>
        `  ${name}: { healthcheck: { start_interval: !reset null, interval: 2s } }\n`
      ).join(""),
  );
  return path;
}
