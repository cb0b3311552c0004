/**
 * Memory of a process and all that it started, as the kernel accounts for it (Linux only).
 *
 * @module
 */

/** Bytes of a process tree. */
export interface TreeMemory {
  /** Proportional set size: pages shared by n processes count 1/n each. */
  pssBytes: number;
  /** Resident set size, added up: shared pages count in each process. */
  rssBytes: number;
  /** PSS of each process, by pid. */
  processes: { pid: number; name: string; pssBytes: number }[];
}

/** Reads `/proc/<pid>/smaps_rollup` of a process and its descendants. */
export async function treeMemory(rootPid: number): Promise<TreeMemory> {
  const total: TreeMemory = { pssBytes: 0, rssBytes: 0, processes: [] };
  for (const pid of await descendants(rootPid)) {
    try {
      const rollup = await Deno.readTextFile(`/proc/${pid}/smaps_rollup`);
      const bytes = (field: string) =>
        1024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1] ?? 0);
      const commandLine = await Deno.readTextFile(`/proc/${pid}/cmdline`);
      total.pssBytes += bytes("Pss");
      total.rssBytes += bytes("Rss");
      total.processes.push({
        pid,
        name: commandLine.split("\0").find((part) => part.endsWith(".ts")) ??
          commandLine.replaceAll("\0", " ").slice(0, 60),
        pssBytes: bytes("Pss"),
      });
    } catch (error) {
      // It ended between the listing and the reading.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return total;
}

async function descendants(rootPid: number): Promise<number[]> {
  const parents = new Map<number, number>();
  for await (const entry of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(entry.name)) continue;
    try {
      const stat = await Deno.readTextFile(`/proc/${entry.name}/stat`);
      // pid (name) state ppid …: the name may hold anything, so look behind its last parenthesis.
      const ppid = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      parents.set(Number(entry.name), ppid);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  const found = [rootPid];
  for (let at = 0; at < found.length; at++) {
    for (const [pid, ppid] of parents) if (ppid === found[at]) found.push(pid);
  }
  return found;
}
