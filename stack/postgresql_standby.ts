/**
 * A standby of a PostgreSQL that runs: it follows the primary's log, and takes its place when it is
 * promoted.
 *
 * @module
 */

import { join } from "node:path";
import { StackError } from "./build_cache.ts";
import {
  asUser,
  type Cluster,
  findPrograms,
  type PostgresqlOptions,
  run,
  type RunningPostgresql,
  startPostgresql,
  unprivilegedUser,
} from "./postgresql.ts";

/** A standby that is up. */
export interface RunningStandby extends RunningPostgresql {
  /** Makes it the primary: from then on it takes writes. Resolves once it does. */
  promote(): Promise<void>;
}

/** Copying an empty cluster takes some seconds; longer means that something is wrong. */
const COPY_TIMEOUT_MS = 120_000;

/**
 * Copies a primary (`pg_basebackup`) and follows it from there, by asynchronous replication unless the
 * primary's `synchronous_standby_names` says otherwise. Its password is the primary's.
 *
 * @throws {StackError} the primary cannot be copied, or the standby not be started
 */
export async function startPostgresqlStandby(
  primary: RunningPostgresql,
  options: PostgresqlOptions & { runFolder: string },
): Promise<RunningStandby> {
  const standby = await startPostgresql({
    ...options,
    prepareCluster: (cluster) => copyCluster(primary, cluster),
  });
  const [programs, owner] = [await findPrograms(), await unprivilegedUser()];
  return {
    ...standby,
    async promote() {
      const data = join(options.runFolder, "data");
      const { success, printed } = await run([
        ...asUser(owner),
        ...[programs.control, "promote", "--wait", "-D", data],
      ]);
      if (!success) throw new StackError(`Cannot promote the standby: ${printed}`);
    },
  };
}

async function copyCluster(
  primary: RunningPostgresql,
  { runFolder, owner, programs, signal }: Cluster,
): Promise<void> {
  const passwordFile = join(runFolder, "password");
  await Deno.copyFile(primary.passwordFile, passwordFile);
  if (owner !== undefined) {
    for (const path of [runFolder, passwordFile]) await Deno.chown(path, owner.uid, owner.gid);
  }
  const timeout = AbortSignal.timeout(COPY_TIMEOUT_MS);
  const { success, printed } = await run([
    ...asUser(owner),
    programs.baseBackup,
    `--dbname=${primary.databaseUrl}`,
    `--pgdata=${join(runFolder, "data")}`,
    ...["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast"],
  ], signal ? AbortSignal.any([signal, timeout]) : timeout);
  if (!success) throw new StackError(`Cannot copy the primary: ${printed}`);
}
