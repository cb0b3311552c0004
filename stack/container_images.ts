/**
 * The images that no registry gives here, assembled from what this machine has: Debian by
 * debootstrap, and Deno under the names that the Dockerfile builds on. They are in the storage of
 * {@linkcode openPodman} only, so that nobody takes them for the real ones.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { buildOnce, type BuildOptions, type BuildRecipe, StackError } from "./build_cache.ts";
import type { Podman } from "./podman.ts";

/** Debian, as the real images of Deno have it. */
const DEBIAN_RELEASE = "bookworm";

/** The longest that an image may take to be built, in milliseconds. */
const BUILD_TIMEOUT_MS = 900_000;

/** The smallest Debian, with a shell, and Busybox for those who look into a container. */
export const DEBIAN_RECIPE: BuildRecipe = {
  name: "debian-rootfs",
  version: DEBIAN_RELEASE,
  tools: [{ command: "debootstrap", install: "apt-get install debootstrap, and be root" }],
  firstBuildTakes: "about 35 s",
  steps: [
    {
      run: ["debootstrap", "--variant=minbase", "--include=busybox,ca-certificates"]
        .concat(DEBIAN_RELEASE, "rootfs"),
    },
    // What the packages came in; it is a third of the whole.
    { run: ["rm", "-rf", "rootfs/var/cache/apt/archives", "rootfs/var/lib/apt/lists"] },
    { run: ["tar", "--numeric-owner", "-C", "rootfs", "-cf", "rootfs.tar", "."] },
  ],
  keep: ["rootfs.tar"],
};

/** An image to be assembled. */
export interface AssembledImage {
  /** The names it gets, each with a tag. */
  names: readonly string[];
  /** How, with `FROM` an image that is there. */
  containerfile: string;
  /**
   * The build's files: their name in it, and where they are on this machine.
   *
   * @default none
   */
  files?: Readonly<Record<string, string>>;
  /** What its files are of: a version, a recipe's stamp, a script's text. A change builds anew. */
  stamp: string;
}

/**
 * Runs what makes images while nobody else does, also in another process: two that build the same at
 * once make it twice, and one that tidies up takes away what the other is about to use.
 */
export async function whileNobodyBuilds<Result>(
  { folder }: Podman,
  build: () => Promise<Result>,
): Promise<Result> {
  // An operating system's lock: it goes with the process that held it.
  using lock = await Deno.open(join(folder, "build.lock"), { create: true, write: true });
  await lock.lock(true);
  return await build();
}

/**
 * Removes what builds have left that no name leads to; {@linkcode whileNobodyBuilds} has to be around
 * it. Each build looks through all images for each of its steps, so that hundreds make it slow.
 */
export async function removeUnnamed(podman: Podman): Promise<void> {
  const all = await podman.run(["ps", "--all", "--external", "--format", "{{.ID}} {{.Status}}"]);
  // So are those that only a builder knows: of a build that was cut off, as none is under way.
  const left = all.split("\n").filter((line) => line.endsWith(" Storage"));
  for (const line of left) await podman.attempt(["rm", "--force", line.split(" ")[0]!]);
  // What a container still uses stays.
  await podman.attempt(["image", "prune", "--force"]);
}

/**
 * Assembles an image unless it is there as it should be; {@linkcode whileNobodyBuilds} has to be around it.
 *
 * @throws {StackError} it cannot be built, with the builder's last lines
 */
export async function assembleImage(
  podman: Podman,
  { names, containerfile, files = {}, stamp }: AssembledImage,
  signal?: AbortSignal,
): Promise<void> {
  // Where files lie says nothing of what they are: another checkout has the same ones.
  const made = JSON.stringify({ containerfile, files: Object.keys(files), stamp });
  const hash = createHash("sha256").update(made).digest("hex").slice(0, 16);
  const stamped = `localhost/orrery-stack/assembled:${hash}`;
  if ((await podman.attempt(["image", "exists", stamped])).code !== 0) {
    const context = await Deno.makeTempDir({ dir: podman.folder, prefix: "context-" });
    try {
      for (const [name, source] of Object.entries(files)) {
        await Deno.mkdir(dirname(join(context, name)), { recursive: true });
        await copyTree(source, join(context, name));
      }
      await podman.run(
        ["build", "--quiet", "--pull=never", "--format", "docker", "--tag", stamped, "--file", "-"]
          .concat(context),
        { stdin: containerfile, timeoutMs: BUILD_TIMEOUT_MS, signal },
      );
    } finally {
      await Deno.remove(context, { recursive: true });
    }
  }
  for (const name of names) await podman.run(["tag", stamped, name]);
}

/** Debian's image, under a name that says what it was made by. */
export async function debianImage(podman: Podman, options: BuildOptions = {}): Promise<string> {
  const built = await buildOnce(DEBIAN_RECIPE, options);
  const hash = createHash("sha256").update(built).digest("hex").slice(0, 16);
  const name = `localhost/orrery-stack/debian:${hash}`;
  if ((await podman.attempt(["image", "exists", name])).code !== 0) {
    await podman.run(["import", "--quiet", join(built, "rootfs.tar"), name], {
      timeoutMs: BUILD_TIMEOUT_MS,
      signal: options.signal,
    });
  }
  return name;
}

/**
 * Deno's two images, of the version that the Dockerfile pins: the one with a shell, which builds, and
 * the one that holds nothing but Deno and what it is linked with.
 *
 * @throws {StackError} this Deno is of another version
 */
export async function denoImages(podman: Podman, options: BuildOptions = {}): Promise<void> {
  const dockerfile = await Deno.readTextFile(join(import.meta.dirname!, "..", "Dockerfile"));
  const [, wanted] = /^ARG DENO_VERSION=(\S+)$/m.exec(dockerfile) ?? [];
  if (wanted !== Deno.version.deno) {
    throw new StackError(
      `Cannot assemble images: the Dockerfile wants Deno ${wanted}, and this is ${Deno.version.deno}. ` +
        `Run it by npx -y deno@${wanted}`,
    );
  }
  const debian = await debianImage(podman, options);
  const files: Record<string, string> = { deno: Deno.execPath() };
  // A machine that reaches its registries by certificates of its own lends them to what builds.
  const certificates = Deno.env.get("DENO_CERT") ?? Deno.env.get("SSL_CERT_FILE");
  if (certificates !== undefined) files["host.pem"] = certificates;
  await assembleImage(podman, {
    names: [`docker.io/denoland/deno:${wanted}`],
    containerfile: [
      `FROM ${debian}`,
      "COPY deno /usr/bin/deno",
      ...(certificates === undefined ? [] : [
        "COPY host.pem /etc/ssl/certs/host.pem",
        "ENV DENO_CERT=/etc/ssl/certs/host.pem SSL_CERT_FILE=/etc/ssl/certs/host.pem",
      ]),
      'CMD ["/bin/bash"]',
    ].join("\n"),
    files,
    stamp: wanted,
  }, options.signal);
  await assembleImage(podman, {
    names: [`docker.io/denoland/deno:distroless-${wanted}`],
    containerfile: distroless(debian),
    files: { deno: Deno.execPath() },
    stamp: wanted,
  }, options.signal);
}

/** Deno, the libraries that it is linked with, and what names users, hosts and authorities. */
function distroless(debian: string): string {
  const [triple, loader] = Deno.build.arch === "aarch64"
    ? ["aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1"]
    : ["x86_64-linux-gnu", "/lib64/ld-linux-x86-64.so.2"];
  const libraries = ["c", "m", "dl", "rt", "pthread", "resolv"].map((name) => `lib${name}.so.*`)
    .concat("libgcc_s.so.1", "libnss_dns.so.2", "libnss_files.so.2");
  return `FROM ${debian} AS debian
FROM scratch
COPY --from=debian ${
    libraries.map((name) => `/usr/lib/${triple}/${name}`).join(" ")
  } /lib/${triple}/
COPY --from=debian ${loader} ${loader}
COPY --from=debian /etc/passwd /etc/group /etc/
COPY --from=debian /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=debian /tmp /tmp
COPY deno /bin/deno
ENTRYPOINT ["/bin/deno"]
`;
}

/** Copies a file, or a folder with all below it. */
async function copyTree(from: string, to: string): Promise<void> {
  if ((await Deno.stat(from)).isFile) return await Deno.copyFile(from, to);
  await Deno.mkdir(to, { recursive: true });
  for await (const { name } of Deno.readDir(from)) await copyTree(join(from, name), join(to, name));
}
