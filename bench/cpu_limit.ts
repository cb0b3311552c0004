/**
 * Gives processes a part of a processor and no more, as a pod's limit does: a control group of Linux,
 * which takes its administrator.
 *
 * @module
 */
import { exists } from "../service/found_files.ts";

const root = "/sys/fs/cgroup";
const periodUs = 100_000;

/**
 * Limits processes, each by itself, until the end of the block.
 *
 * @param cpus how much of a processor each may have, such as 0.25
 * @throws {Error} no control groups may be made here, or a process has real-time priority: those have no limit
 */
export async function limitCpus(
  pids: readonly number[],
  cpus: number,
): Promise<AsyncDisposable> {
  await using undo = new AsyncDisposableStack();
  // Version 1 has a tree for each controller, version 2 one for all.
  const isFirst = await exists(`${root}/cpu/cgroup.procs`);
  const quotaUs = String(Math.round(cpus * periodUs));
  for (const pid of pids) {
    const group = `${root}/${isFirst ? "cpu/" : ""}orrery-bench-${pid}`;
    await Deno.mkdir(group);
    // It can go once nothing is in it.
    undo.defer(() => Deno.remove(group));
    undo.defer(() => Deno.writeTextFile(`${root}/${isFirst ? "cpu/" : ""}cgroup.procs`, `${pid}`));
    if (isFirst) {
      await Deno.writeTextFile(`${group}/cpu.cfs_period_us`, `${periodUs}`);
      await Deno.writeTextFile(`${group}/cpu.cfs_quota_us`, quotaUs);
    } else await Deno.writeTextFile(`${group}/cpu.max`, `${quotaUs} ${periodUs}`);
    await Deno.writeTextFile(`${group}/cgroup.procs`, `${pid}`);
  }
  return undo.move();
}
