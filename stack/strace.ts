/**
 * The system calls of a program, by strace: for tests of what a program promises to have asked the
 * system for, such as that bytes are on the disk.
 *
 * @module
 */
import { join } from "node:path";
import { requireTool, StackError, type Tool } from "./build_cache.ts";

/** A system call that has returned. */
export interface SystemCall {
  /** Such as `fdatasync`. */
  readonly name: string;
  /** Its arguments as strace shows them; a file descriptor with its path behind it, `7</tmp/file>`. */
  readonly args: string;
  /** Its place among the lines, where it began and where it had returned. */
  readonly began: number;
  readonly returned: number;
}

const STRACE: Tool = { command: "strace", install: "apt-get install strace" };

/** The longest that a program may take, in milliseconds. */
const timeoutMs = 180_000;

/**
 * Runs a command to its end and gives the system calls of these names that its threads made and that did not
 * fail, in the order in which they returned.
 *
 * @throws {ToolMissingError} strace is not installed
 * @throws {StackError} the command fails
 *
 * @example
 * ```ts
 * const calls = await systemCalls(["deno", "run", "-A", "writer.ts"], ["fsync", "rename"]);
 * ```
 */
export async function systemCalls(
  command: readonly string[],
  names: readonly string[],
): Promise<SystemCall[]> {
  await requireTool(STRACE, "counting system calls");
  const folder = await Deno.makeTempDir({ prefix: "strace-" });
  try {
    const file = join(folder, "calls");
    // Only what is asked for is stopped at; paths behind descriptors; enough of what is written to tell it by.
    const args = ["-f", "-y", "-qq", "--seccomp-bpf", "-s", "64", "-o", file];
    const { success, stderr } = await new Deno.Command("strace", {
      args: [...args, "-e", `trace=${names.join(",")}`, ...command],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      signal: AbortSignal.timeout(timeoutMs),
    }).output();
    if (!success) {
      throw new StackError(`${command.join(" ")} failed: ${new TextDecoder().decode(stderr)}`);
    }
    return callsOf(await Deno.readTextFile(file));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A call that another thread's line interrupts is `<unfinished ...>`, and later `resumed`. */
function callsOf(text: string): SystemCall[] {
  const calls: SystemCall[] = [];
  const unfinished = new Map<string, { name: string; args: string; began: number }>();
  for (const [at, line] of text.split("\n").entries()) {
    const [, thread, name, rest] = /^(\d+) +(?:<\.\.\. )?(\w+)(.*)$/.exec(line) ?? [];
    if (thread === undefined || name === undefined || rest === undefined) continue;
    const before = rest.startsWith(" resumed>") ? unfinished.get(thread) : undefined;
    const args = before === undefined ? rest.slice(1) : before.args + rest.slice(9);
    const began = before?.began ?? at;
    if (rest.endsWith("<unfinished ...>")) {
      unfinished.set(thread, { name, args: args.slice(0, -"<unfinished ...>".length), began });
      continue;
    }
    unfinished.delete(thread);
    if (!/\) += -1 /.test(args)) calls.push({ name, args, began, returned: at });
  }
  return calls;
}
