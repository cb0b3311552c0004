/**
 * Starts an installed containerd with its CRI image service, apart from any that the system runs:
 * own socket, own store, no network. It keeps images and starts no containers.
 *
 * @module
 */

import { join } from "node:path";
import { requireTool, StackError, type Tool } from "./build_cache.ts";
import { type RunningProcess, startProcess } from "../service/supervisor.ts";
import type { StartOptions } from "./start_options.ts";
import { ociArchive, type OciImage } from "./oci_archive.ts";

/** containerd is taken as the system has it. */
export const CONTAINERD: Tool = {
  command: "containerd",
  install: "apt-get install containerd (Debian, Ubuntu)",
};

const CTR: Tool = { command: "ctr", install: "it comes with containerd" };

/** The longest that containerd's own client may take, for an import too. */
const CTR_TIMEOUT_MS = 60_000;

/** The namespace that CRI shows. */
const NAMESPACE = "k8s.io";

/** A containerd that is up. */
export interface RunningContainerd extends RunningProcess {
  /** Its socket, an absolute path. */
  readonly socketPath: string;
  /** The socket as CRI clients want it: `unix:///…`. */
  readonly endpoint: string;
  /** Puts an image made here into the store; CRI shows it a moment later. */
  importImage(image: OciImage): Promise<void>;
  /** Removes an image with all its names, by one of them; CRI notices a moment later. */
  removeImage(name: string): Promise<void>;
  /** The names of the images in the store. */
  imageNames(): Promise<string[]>;
}

/**
 * Starts containerd with its store in the run folder. Needs root, as containerd does.
 *
 * @throws {ToolMissingError} when it is not installed
 * @throws {StackError} when it cannot be started
 */
export async function startContainerd(options: StartOptions = {}): Promise<RunningContainerd> {
  await requireTool(CONTAINERD, "the image store");
  await requireTool(CTR, "the image store");
  if (Deno.uid() !== 0) {
    throw new StackError("Cannot start containerd: it has to be root to keep its images. Use sudo");
  }
  let folder = "";
  const component = await startProcess({
    name: "containerd",
    command: CONTAINERD.command,
    args: (runFolder) => ["--config", join(runFolder, "config.toml")],
    prepare: async (runFolder) => {
      folder = runFolder;
      await Deno.writeTextFile(join(runFolder, "config.toml"), configuration(runFolder));
    },
    ports: {},
    ready: () =>
      ctr(socketIn(folder), ["plugins", "ls"]).then(
        (plugins) => /\bcri\b.*\bok\b/.test(plugins),
        () => false,
      ),
  }, options);
  const socketPath = socketIn(folder);
  return {
    ...component,
    socketPath,
    endpoint: `unix://${socketPath}`,
    async importImage(image) {
      const archive = await Deno.makeTempFile({ dir: folder, suffix: ".tar" });
      try {
        await Deno.writeFile(archive, ociArchive(image));
        await ctr(socketPath, ["images", "import", "--snapshotter", "native", archive]);
      } finally {
        await Deno.remove(archive);
      }
    },
    async removeImage(name) {
      const records = await imageRecords(socketPath);
      const target = records.find((record) => record.name === name)?.target;
      if (target === undefined) {
        throw new StackError(`Cannot remove image '${name}' from containerd: it is not there`);
      }
      // Also the record that CRI keeps of it, or CRI goes on showing it, nameless.
      const names = records.filter((record) => record.target === target).map(({ name }) => name);
      await ctr(socketPath, ["images", "remove", ...names]);
    },
    async imageNames() {
      const names = (await imageRecords(socketPath)).map(({ name }) => name);
      // CRI's own records are named by a digest; those are no names of people.
      return names.filter((name) => !name.startsWith("sha256:"));
    },
  };
}

/** What the store knows: names, and the digest each stands for. */
async function imageRecords(socketPath: string): Promise<{ name: string; target: string }[]> {
  const [_header, ...lines] = (await ctr(socketPath, ["images", "list"])).trim().split("\n");
  return lines.map((line) => {
    const [name = "", _type, target = ""] = line.split(/\s+/);
    return { name, target };
  });
}

function socketIn(folder: string): string {
  return join(folder, "containerd.sock");
}

/**
 * Only what the image service needs: the plain "native" snapshots work on every file system, and
 * nothing reaches for cgroups, AppArmor or a network.
 */
function configuration(runFolder: string): string {
  const quoted = (name: string) => JSON.stringify(join(runFolder, name));
  return `version = 2
root = ${quoted("root")}
state = ${quoted("state")}
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.overlayfs",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
]

[grpc]
  address = ${quoted("containerd.sock")}

[ttrpc]
  address = ${quoted("containerd.ttrpc.sock")}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "orrery.invalid/pause:1"
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_apparmor = true
  disable_cgroup = true
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"

  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = ${quoted("cni")}
`;
}

/** Runs containerd's own client and returns what it prints. */
async function ctr(socketPath: string, args: readonly string[]): Promise<string> {
  const output = await new Deno.Command(CTR.command, {
    args: ["--address", socketPath, "--namespace", NAMESPACE, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(CTR_TIMEOUT_MS),
  }).output();
  const decoder = new TextDecoder();
  if (output.success) return decoder.decode(output.stdout);
  throw new StackError(
    `Cannot do 'ctr ${args.join(" ")}': ${decoder.decode(output.stderr).trim()}`,
  );
}
