/**
 * What the kernel accounts for (Linux only): memory of a process and all that it started, its
 * processor time, and what a UDP socket had no room for.
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

/**
 * Reads `/proc/<pid>/smaps_rollup` of a process and its descendants. Deno gives `/proc` to nobody
 * without all permissions, so `ps` and `cat` read it.
 */
export async function treeMemory(rootPid: number): Promise<TreeMemory> {
  const total: TreeMemory = { pssBytes: 0, rssBytes: 0, processes: [] };
  for (const { pid, commandLine } of await descendants(rootPid)) {
    const rollup = await output("cat", `/proc/${pid}/smaps_rollup`);
    // It ended between the listing and the reading.
    if (rollup === undefined) continue;
    const bytes = (field: string) =>
      1024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1] ?? 0);
    total.pssBytes += bytes("Pss");
    total.rssBytes += bytes("Rss");
    const program = commandLine.split(" ").find((part) => part.endsWith(".ts"));
    const name = program?.split("/").slice(-2).join("/") ?? commandLine.slice(0, 60);
    total.processes.push({ pid, name, pssBytes: bytes("Pss") });
  }
  return total;
}

/**
 * A figure of `/proc/<pid>/status` in bytes, such as `VmRSS` (resident now) or `VmHWM` (at most so
 * far).
 */
export async function statusBytes(pid: number, field: string): Promise<number> {
  const status = await output("cat", `/proc/${pid}/status`) ?? "";
  return 1024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? NaN);
}

/** Processor time a process has used so far, of all its threads, in seconds. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await output("cat", `/proc/${pid}/stat`) ?? "";
  // Behind the name in brackets: utime and stime are the 12th and 13th, in hundredths (proc(5)).
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** The same of a process and its descendants that are still there. */
export async function treeCpuSeconds(rootPid: number): Promise<number> {
  const all = await Promise.all((await descendants(rootPid)).map(({ pid }) => cpuSeconds(pid)));
  // One may have ended meanwhile.
  return all.reduce((sum, seconds) => sum + (seconds || 0), 0);
}

/** Packets that an IPv4 UDP port's receive buffer had no room for, so far. */
export async function udpDrops(port: number): Promise<number> {
  const table = await output("cat", "/proc/net/udp") ?? "";
  const address = `:${port.toString(16).toUpperCase().padStart(4, "0")} `;
  const line = table.split("\n").find((one) => one.slice(0, 24).includes(address));
  return Number(line?.trim().split(/\s+/).at(-1) ?? NaN);
}

async function descendants(rootPid: number): Promise<{ pid: number; commandLine: string }[]> {
  const listing = await output("ps", "-ww", "-eo", "pid=,ppid=,args=") ?? "";
  const all = listing.trim().split("\n").map((line) => {
    const [, pid, ppid, commandLine] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
    return { pid: Number(pid), ppid: Number(ppid), commandLine: commandLine ?? "" };
  });
  const found = all.filter(({ pid }) => pid === rootPid);
  for (let at = 0; at < found.length; at++) {
    found.push(...all.filter(({ ppid }) => ppid === found[at]!.pid));
  }
  return found;
}

async function output(command: string, ...args: string[]): Promise<string | undefined> {
  const { success, stdout } = await new Deno.Command(command, { args, stderr: "null" }).output();
  return success ? new TextDecoder().decode(stdout) : undefined;
}
