/**
 * Runs the project's compose.yaml by podman-compose: images from the Dockerfile, containers,
 * networks and volumes as the file says, under a project's name.
 *
 * @module
 */
import { join } from "node:path";
import { buildOnce, type BuildOptions, type BuildRecipe } from "./build_cache.ts";
import { programs } from "../programs.ts";
import { contextHash } from "./build_context.ts";
import { compose, root } from "./compose_file.ts";
import { denoImages, removeUnnamed, whileNobodyBuilds } from "./container_images.ts";
import {
  commandError,
  type CommandOptions,
  type CommandResult,
  type Podman,
  runCommand,
} from "./podman.ts";

/** The version on PyPI; it is one file of Python and knows the compose specification well. */
export const PODMAN_COMPOSE_VERSION = "1.6.0";

/** podman-compose with what it needs, in a folder for `PYTHONPATH`. */
export const PODMAN_COMPOSE_RECIPE: BuildRecipe = {
  name: "podman-compose",
  version: PODMAN_COMPOSE_VERSION,
  tools: [{ command: "python3", install: "install Python 3.11 or newer, with pip" }],
  firstBuildTakes: "about 10 s",
  steps: [{
    run: ["python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
      .concat("--no-warn-script-location", "--target=site")
      .concat(`podman-compose==${PODMAN_COMPOSE_VERSION}`),
  }],
  keep: ["site"],
};

/** The longest that all images may take: everything is downloaded, bundled and copied. */
const BUILD_TIMEOUT_MS = 900_000;

/** The longest that the containers may take to be made and started, or stopped and removed. */
const UP_TIMEOUT_MS = 300_000;

/** Options of {@linkcode openCompose}. */
export interface ComposeOptions extends BuildOptions {
  /**
   * Prefix of containers, networks and volumes.
   *
   * @default "orrery"
   */
  project?: string;
  /**
   * Profiles that are on, besides what belongs to none.
   *
   * @default none
   */
  profiles?: readonly string[];
  /**
   * Values of compose.yaml's variables.
   *
   * @default none
   */
  env?: Readonly<Record<string, string>>;
  /**
   * Further compose files, which add to the first or replace parts of it.
   *
   * @default none
   */
  files?: readonly string[];
}

/** A project of compose.yaml. */
export interface Compose {
  /** The prefix of all that is its own. */
  readonly project: string;
  /** Builds the images of all programs, also of those in no profile that is on, or without a service. */
  build(): Promise<void>;
  /** Makes and starts the named services, or all; their images must be there. */
  up(services?: readonly string[]): Promise<void>;
  /** Stops and removes the containers and the networks, and the volumes if asked to. */
  down(options?: { volumes?: boolean }): Promise<void>;
  /** What runs podman-compose with `args`, for those who start it themselves. */
  command(args: readonly string[]): ComposeCommand;
  /** Runs a command of podman-compose. */
  run(args: readonly string[], options?: CommandOptions): Promise<string>;
  /** The name of a service's container. */
  container(service: string): string;
  /** The containers that there are, running or not, by their service. */
  services(): Promise<Map<string, ContainerState>>;
}

/** A command line with what its environment needs. */
export interface ComposeCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** A container as Podman has it. */
export interface ContainerState {
  readonly name: string;
  /** `running`, `exited` and so on. */
  readonly state: string;
}

/** Gets podman-compose, and gives the project. */
export async function openCompose(podman: Podman, options: ComposeOptions = {}): Promise<Compose> {
  const { project = "orrery", profiles = [], env = {}, files = [], ...build } = options;
  const { signal } = build;
  const site = join(await buildOnce(PODMAN_COMPOSE_RECIPE, build), "site");
  const flags = ["--project-name", project, "--file", join(root, "compose.yaml")]
    .concat("--file", await writeForPodman(podman))
    .concat(files.flatMap((file) => ["--file", file]))
    .concat(profiles.flatMap((profile) => ["--profile", profile]));
  const command = (args: readonly string[]): ComposeCommand => ({
    command: "python3",
    args: ["-m", "podman_compose", ...flags, ...args],
    env: { ...podman.env, PYTHONPATH: site, ...env },
  });
  const attempt = (
    args: readonly string[],
    options: CommandOptions = {},
  ): Promise<CommandResult> => {
    const { command: python, args: words, env } = command(args);
    return runCommand(python, words, { signal, ...options, env: { ...env, ...options.env } });
  };
  const run = async (args: readonly string[], options?: CommandOptions): Promise<string> => {
    const result = await attempt(args, options);
    if (result.code === 0) return result.stdout;
    throw commandError("podman-compose", args, result);
  };
  return {
    project,
    command,
    run,
    container: (service) => `${project}_${service}_1`,
    async build() {
      await whileNobodyBuilds(podman, () => buildImages(podman, build));
    },
    async up(services = []) {
      await run(["up", "--detach", "--no-build", ...services], { timeoutMs: UP_TIMEOUT_MS });
    },
    async down({ volumes = false } = {}) {
      await run(["down", ...(volumes ? ["--volumes"] : [])], { timeoutMs: UP_TIMEOUT_MS });
    },
    services: () => servicesOf(podman, project),
  };
}

/**
 * Builds each program's image, unless they are there of these files. The stage that all share comes
 * first, under a name of its own: it stays when what no name leads to is removed.
 */
async function buildImages(podman: Podman, options: BuildOptions): Promise<void> {
  const wanted = await contextHash(root);
  if (await isBuilt(podman, wanted)) return;
  // A build that is cut off leaves images of both.
  await Deno.writeTextFile(builtFile(podman), "");
  await denoImages(podman, options);
  // Dependencies come by the host's network.
  const flags = [
    "--isolation",
    "chroot",
    "--network",
    "host",
    "--pull=never",
    "--format",
    "docker",
  ];
  const build = (target: string, tag: string) =>
    podman.run(["build", "--quiet", ...flags, "--target", target, "--tag", tag, root], {
      timeoutMs: BUILD_TIMEOUT_MS,
      signal: options.signal,
    });
  await build("bundle", "localhost/orrery-stack/bundle");
  // One after the other: two at once would take as long on two cores.
  for (const { name } of programs) await build(name, await imageName(name));
  await Deno.writeTextFile(builtFile(podman), wanted);
  await removeUnnamed(podman);
}

/** Holds what the images that are there were built from. */
const builtFile = (podman: Podman) => join(podman.folder, "built-from");

/** Whether every program's image is there, of these files: to find that out layer by layer is slow. */
async function isBuilt(podman: Podman, wanted: string): Promise<boolean> {
  try {
    if (await Deno.readTextFile(builtFile(podman)) !== wanted) return false;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
  const there = (await podman.run(["images", "--format", "{{.Repository}}:{{.Tag}}"])).split("\n");
  const names = await Promise.all(programs.map(({ name }) => imageName(name)));
  return names.every((name) => there.includes(name));
}

/** What compose.yaml calls the image of a program, and would if it had a service. */
export async function imageName(program: string): Promise<string> {
  const file = new URL("../deno.json", import.meta.url);
  const { version } = JSON.parse(await Deno.readTextFile(file)) as { version: string };
  return `localhost/orrery/${program}:${version}`;
}

/**
 * Podman before 4.4 knows no interval of its own for the start, and podman-compose passes it on: a
 * file that takes it away again.
 */
async function writeForPodman(podman: Podman): Promise<string> {
  const names = Object.entries((await compose()).services)
    .filter(([, { healthcheck }]) => healthcheck?.start_interval !== undefined)
    .map(([name]) => name);
  const path = join(podman.folder, "compose.podman.yaml");
  await Deno.writeTextFile(
    path,
    "services:\n" +
      names.map((name) => `  ${name}: { healthcheck: { start_interval: !reset null } }\n`).join(""),
  );
  return path;
}

async function servicesOf(podman: Podman, project: string): Promise<Map<string, ContainerState>> {
  const label = "io.podman.compose.project";
  const text = await podman.run([
    ...["ps", "--all", "--filter", `label=${label}=${project}`, "--format"],
    `{{.Names}}\t{{.State}}\t{{index .Labels "com.docker.compose.service"}}`,
  ]);
  return new Map(
    text.split("\n").filter((line) => line !== "").map((line) => {
      const [name = "", state = "", service = ""] = line.split("\t");
      return [service, { name, state }];
    }),
  );
}

/**
 * Asks a container's own health check, as Docker's engine and systemd do by themselves.
 *
 * @returns whether it passed
 */
export async function isHealthy(podman: Podman, container: string): Promise<boolean> {
  return (await podman.attempt(["healthcheck", "run", container])).code === 0;
}
