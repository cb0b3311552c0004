/**
 * promtool, Prometheus's own checker of metrics and rules.
 *
 * @module
 */

import { StackError } from "./build_cache.ts";

/** The longest it may take, in milliseconds. */
const timeoutMs = 60_000;

/**
 * What promtool writes, whatever it thinks.
 *
 * @throws {StackError} it is not installed
 *
 * @example
 * ```ts
 * assert.match(await promtool(["check", "rules", "--lint=all", file]), /SUCCESS/);
 * ```
 */
export async function promtool(args: readonly string[], input = ""): Promise<string> {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command("promtool", {
      args: [...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      signal: AbortSignal.timeout(timeoutMs),
    }).spawn();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new StackError("Cannot find 'promtool': apt-get install prometheus");
  }
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input));
  await writer.close();
  const { stdout, stderr } = await child.output();
  return (new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr)).trim();
}
