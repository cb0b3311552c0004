/**
 * Podman with settings, images, containers and networks of its own: nothing of the user's is read or
 * changed, and one folder below the cache of `stack/` holds all of it.
 *
 * Debian's Podman with runc does without a daemon and without systemd, so it runs where no Docker
 * engine can. Two things it leaves to systemd are done here when asked for: nobody else calls health
 * checks, and nobody else starts containers again after the machine was.
 *
 * @module
 */
import { join } from "node:path";
import { stackCacheFolder, StackError, type Tool, whyNoTools } from "./build_cache.ts";

/** All that is called by name; each is a package of Debian. */
const TOOLS: readonly Tool[] = ["podman", "buildah", "runc"].map((command) => ({
  command,
  install:
    "apt-get install podman buildah runc netavark aardvark-dns iptables catatonit debootstrap (Debian 12 or newer)",
}));

/** The longest that a command may take unless it says otherwise: it starts or asks something. */
const COMMAND_TIMEOUT_MS = 120_000;

/** Options of {@linkcode openPodman}. */
export interface PodmanOptions {
  /**
   * Where images, containers, volumes and settings are.
   *
   * @default `containers` in the stack's cache folder
   */
  folder?: string;
}

/** What a command said. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Options of a command. */
export interface CommandOptions {
  /**
   * The longest it may take, in milliseconds.
   *
   * @default 120_000
   */
  timeoutMs?: number;
  /**
   * What it reads.
   *
   * @default nothing
   */
  stdin?: string;
  /**
   * Its environment besides what it inherits and what names the settings.
   *
   * @default nothing
   */
  env?: Readonly<Record<string, string>>;
  /** Aborting it ends the command, and the call rejects. */
  signal?: AbortSignal | undefined;
}

/** Podman, ready to be called. */
export interface Podman {
  /** Where all of it is. */
  readonly folder: string;
  /** What makes another program, such as podman-compose, use the same settings. */
  readonly env: Readonly<Record<string, string>>;
  /**
   * Runs a command and gives what it printed.
   *
   * @throws {StackError} it ended with a code other than 0, or took too long
   */
  run(args: readonly string[], options?: CommandOptions): Promise<string>;
  /** Runs a command that may fail: its code is part of the answer. */
  attempt(args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
}

/**
 * Says why containers cannot run on this machine.
 *
 * @returns one sentence, or nothing when they can
 */
export async function whyNoContainers(): Promise<string | undefined> {
  if (Deno.build.os !== "linux") return "containers need Linux";
  if (Deno.uid() !== 0) {
    return "containers are started as root here: rootless Podman needs sub-ids and a user's systemd";
  }
  const missing = await whyNoTools(TOOLS, "containers");
  if (missing !== undefined) return missing;
  // What a container is made of, tried without one: namespaces, and a mount in them.
  const trial = await runCommand("unshare", [
    ...["--mount", "--net", "--pid", "--ipc", "--uts", "--fork"],
    ...["mount", "-t", "tmpfs", "none", "/mnt"],
  ]);
  if (trial.code === 0) return undefined;
  return `this machine lets root make no namespaces or mounts, so Podman cannot run: ${trial.stderr.trim()}`;
}

/**
 * Writes the settings and gives Podman with them.
 *
 * @throws {StackError} containers cannot run here, with the reason
 *
 * @example
 * ```ts
 * const podman = await openPodman();
 * await podman.run(["run", "--rm", "localhost/orrery-stack/debian", "true"]);
 * ```
 */
export async function openPodman(
  { folder = join(stackCacheFolder(), "containers") }: PodmanOptions = {},
): Promise<Podman> {
  const reason = await whyNoContainers();
  if (reason !== undefined) throw new StackError(`Cannot run containers: ${reason}`);
  const env = await writeSettings(folder);
  const attempt = (args: readonly string[], options: CommandOptions = {}) =>
    runCommand("podman", args, { ...options, env: { ...env, ...options.env } });
  return {
    folder,
    env,
    attempt,
    async run(args, options) {
      const result = await attempt(args, options);
      if (result.code === 0) return result.stdout;
      throw commandError("podman", args, result);
    },
  };
}

/** What to throw for a command that failed: its last lines, which say why. */
export function commandError(
  name: string,
  args: readonly string[],
  { code, stdout, stderr }: CommandResult,
): StackError {
  const said = (stderr.trim() || stdout.trim()).split("\n").slice(-20).join("\n");
  return new StackError(`'${name} ${args.join(" ")}' ended with code ${code}:\n${said}`);
}

/** Runs a program to its end and gives all it said. @throws {StackError} it took too long */
export async function runCommand(
  name: string,
  args: readonly string[],
  { timeoutMs = COMMAND_TIMEOUT_MS, stdin, env, signal }: CommandOptions = {},
): Promise<CommandResult> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const child = new Deno.Command(name, {
    args: [...args],
    env: { ...env },
    stdin: stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  }).spawn();
  if (stdin !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(stdin));
    await writer.close();
  }
  const output = await child.output();
  signal?.throwIfAborted();
  if (timeout.aborted) {
    throw new StackError(`'${name} ${args.join(" ")}' took longer than ${timeoutMs} ms`);
  }
  const decoder = new TextDecoder();
  return {
    code: output.code,
    stdout: decoder.decode(output.stdout),
    stderr: decoder.decode(output.stderr),
  };
}

/** Lays down the settings' files and says which variables name them. */
async function writeSettings(folder: string): Promise<Record<string, string>> {
  const path = (...names: string[]) => join(folder, ...names);
  await Deno.mkdir(path("networks"), { recursive: true });
  const quoted = (...names: string[]) => JSON.stringify(path(...names));
  const files: Record<string, string> = {
    // crun refuses hybrid cgroups; without explicit limits runc may not set them.
    "containers.conf": `[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = ${quoted("run", "libpod")}
[network]
network_backend = "netavark"
network_config_dir = ${quoted("networks")}
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
`,
    "storage.conf": `[storage]
driver = "overlay"
graphroot = ${quoted("storage")}
runroot = ${quoted("run", "storage")}
`,
    // No short name means anything elsewhere, and nothing is pulled.
    "registries.conf": `unqualified-search-registries = []\n`,
  };
  for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(path(name), text);
  return {
    CONTAINERS_CONF: path("containers.conf"),
    CONTAINERS_STORAGE_CONF: path("storage.conf"),
    CONTAINERS_REGISTRIES_CONF: path("registries.conf"),
    // Building needs no more than files: no container of its own, no network beside the host's.
    BUILDAH_ISOLATION: "chroot",
  };
}
