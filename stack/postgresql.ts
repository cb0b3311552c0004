/**
 * Starts a real PostgreSQL of its own, an installed one's programs with a new cluster, without Docker.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import { dirname, join } from "node:path";
import { requireTool, StackError, type Tool } from "./build_cache.ts";
import { exists } from "../service/found_files.ts";
import { choosePorts } from "../service/ports.ts";
import { type RunningProcess, startProcess } from "../service/supervisor.ts";
import type { StartOptions } from "./start_options.ts";

/** Where Debian keeps the programs of each major version, away from the `PATH`. */
const DEBIAN_VERSIONS = "/usr/lib/postgresql";

const INSTALL = "apt-get install postgresql (Debian, Ubuntu), brew install postgresql (macOS)";

/** The superuser of the cluster, and the database that is there from the beginning. */
const [USER, DATABASE] = ["orrery", "postgres"];

/** Options of {@link startPostgresql}. */
export interface PostgresqlOptions extends StartOptions {
  /**
   * Where clients connect.
   * @default a free port
   */
  port?: number;
  /**
   * Clients at once.
   * @default 100
   */
  maxConnections?: number;
  /**
   * Makes the cluster in `data` of the run folder, and the file `password` beside it.
   * @default an empty one, with a password of its own
   */
  prepareCluster?: (cluster: Cluster) => Promise<void>;
}

/** A PostgreSQL that is up. Its data is durable: it survives `kill -9` in a run folder that stays. */
export interface RunningPostgresql extends RunningProcess {
  /** Where to connect, with user and password: `postgres://…`. Not for logs. */
  readonly databaseUrl: string;
  /** The same without the password. */
  readonly publicUrl: string;
  /** A file with the password and nothing else. */
  readonly passwordFile: string;
}

/**
 * Starts PostgreSQL with its cluster in the run folder. In a run folder that it was in before it goes
 * on with what is there. Started by root it runs as the user `postgres` or `nobody`, as it refuses to
 * be root; that user must be able to reach the run folder.
 *
 * @throws {ToolMissingError} it is not installed
 * @throws {StackError} it cannot be started
 */
export async function startPostgresql(options: PostgresqlOptions = {}): Promise<RunningPostgresql> {
  const { maxConnections = 100, prepareCluster = makeCluster, signal } = options;
  const programs = await findPrograms();
  const owner = await unprivilegedUser();
  const [port] = choosePorts(options.port);
  const [command, ...args] = [
    ...asUser(owner),
    programs.postgres.command,
    `--port=${port}`,
    "--listen_addresses=127.0.0.1",
    // Its folder may be longer than a socket's path can be, and nothing here uses one.
    "--unix_socket_directories=",
    `--max_connections=${maxConnections}`,
    "--shared_buffers=32MB",
  ];
  const component = await startProcess({
    name: "postgresql",
    command: command!,
    args: (runFolder) => [...args, "-D", join(runFolder, "data")],
    prepare: async (runFolder) => {
      if (await exists(join(runFolder, "data", "PG_VERSION"))) return;
      await prepareCluster({ runFolder, owner, programs, signal });
    },
    ports: { clients: port },
    ready: async () => {
      const args = ["--quiet", "--host=127.0.0.1", `--port=${port}`];
      return (await run([programs.isReady, ...args])).success;
    },
  }, options);
  const passwordFile = join(dirname(component.logFile), "password");
  const password = await Deno.readTextFile(passwordFile);
  const address = `127.0.0.1:${port}/${DATABASE}`;
  // SIGTERM waits until the last client has left; SIGINT ends their sessions.
  const stop = async () => {
    try {
      Deno.kill(component.pid, "SIGINT");
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound || error instanceof TypeError)) throw error;
    }
    await component.stop();
  };
  return {
    ...component,
    databaseUrl: `postgres://${USER}:${password}@${address}`,
    publicUrl: `postgres://${USER}@${address}`,
    passwordFile,
    stop: () => stop(),
    [Symbol.asyncDispose]: () => stop(),
  };
}

/** A tool for {@linkcode requireTool}, from the newest version that Debian has, or the `PATH`. */
export async function findPostgresql(): Promise<Tool> {
  return (await findPrograms()).postgres;
}

/** The programs of the newest version that is there. */
export async function findPrograms(): Promise<Programs> {
  let newest = 0;
  try {
    for await (const { name } of Deno.readDir(DEBIAN_VERSIONS)) {
      const version = Number(name);
      const isWhole = version > newest &&
        await exists(join(DEBIAN_VERSIONS, name, "bin", "postgres"));
      if (isWhole) newest = version;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const path = (program: string) =>
    newest === 0 ? program : join(DEBIAN_VERSIONS, String(newest), "bin", program);
  const postgres = { command: path("postgres"), install: INSTALL };
  await requireTool(postgres, "a PostgreSQL of our own");
  return {
    postgres,
    initdb: path("initdb"),
    isReady: path("pg_isready"),
    baseBackup: path("pg_basebackup"),
    control: path("pg_ctl"),
  };
}

/** What of PostgreSQL is called, each as a path or a name. */
export interface Programs {
  readonly postgres: Tool;
  readonly initdb: string;
  readonly isReady: string;
  readonly baseBackup: string;
  readonly control: string;
}

/** Who may own a cluster: nobody else than us, unless we are root. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Who owns what root starts. */
export async function unprivilegedUser(): Promise<Owner | undefined> {
  if (await idOf("-u") !== 0) return undefined;
  for (const name of ["postgres", "nobody"]) {
    const [uid, gid] = [await idOf("-u", name), await idOf("-g", name)];
    if (uid !== undefined && gid !== undefined) return { uid, gid };
  }
  throw new StackError(
    "Cannot start postgresql: it refuses to run as root, and there is neither a user 'postgres' nor 'nobody'",
  );
}

async function idOf(...args: string[]): Promise<number | undefined> {
  const { success, stdout } = await run(["id", ...args]);
  return success ? Number(stdout) : undefined;
}

/** What a command begins with to be run as that user; it stays the same process. */
export function asUser(owner: Owner | undefined): string[] {
  if (owner === undefined) return [];
  return ["setpriv", `--reuid=${owner.uid}`, `--regid=${owner.gid}`, "--clear-groups", "--"];
}

/** A cluster that is to be made. */
export interface Cluster {
  readonly runFolder: string;
  readonly owner: Owner | undefined;
  readonly programs: Programs;
  readonly signal: AbortSignal | undefined;
}

/** It takes two seconds; a minute means that something is wrong. */
const INIT_TIMEOUT_MS = 60_000;

/** Loopback is not authentication: each cluster has a password of its own. */
async function makeCluster({ runFolder, owner, programs, signal }: Cluster): Promise<void> {
  const passwordFile = join(runFolder, "password");
  const password = randomBytes(24).toString("base64url");
  await Deno.writeTextFile(passwordFile, password, { mode: 0o600 });
  if (owner !== undefined) {
    for (const path of [runFolder, passwordFile]) await Deno.chown(path, owner.uid, owner.gid);
  }
  const timeout = AbortSignal.timeout(INIT_TIMEOUT_MS);
  const { success, printed } = await run([
    ...asUser(owner),
    programs.initdb,
    `--pgdata=${join(runFolder, "data")}`,
    `--username=${USER}`,
    `--pwfile=${passwordFile}`,
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
  ], signal ? AbortSignal.any([signal, timeout]) : timeout);
  if (success) return;
  signal?.throwIfAborted();
  throw new StackError(`Cannot start postgresql: its cluster cannot be made: ${printed}`);
}

/** Runs a program to its end. */
export async function run(
  [command, ...args]: readonly string[],
  signal?: AbortSignal,
): Promise<{ success: boolean; stdout: string; printed: string }> {
  const output = await new Deno.Command(command!, {
    args,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    ...(signal && { signal }),
  }).output();
  const decoder = new TextDecoder();
  const stdout = decoder.decode(output.stdout).trim();
  const printed = `${stdout}\n${decoder.decode(output.stderr)}`.trim();
  return { success: output.success, stdout, printed };
}
