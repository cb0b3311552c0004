/**
 * For tests: a program of ours as a child process, with exactly the permissions of its shebang.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { programArguments } from "../program_file.ts";

/** A program under test. `await using` kills it at the end of the block. */
export interface TestProgram extends AsyncDisposable {
  /** Its process. */
  readonly pid: number;
  /** What it has written to stdout and stderr so far, a line an entry. */
  readonly lines: readonly string[];
  /** Resolves once it has ended. */
  readonly status: Promise<Deno.CommandStatus>;
  /** Resolves with the match of the first line that fits; rejects when the program ends or the time is up. */
  line(pattern: RegExp, timeoutMs?: number): Promise<RegExpMatchArray>;
  /** Sends a signal to it. */
  kill(signal: Deno.Signal): void;
  /** Ends its stdin. */
  endStdin(): Promise<void>;
}

/** Starts an entry file, given as a URL relative to the test: `new URL("../server.ts", import.meta.url)`. */
export async function startProgram(
  entry: URL,
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<TestProgram> {
  const path = fileURLToPath(entry);
  const child = new Deno.Command("deno", {
    args: await programArguments(path, args),
    env: { OTEL_SDK_DISABLED: "true", NO_COLOR: "1", ...env },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const wake = () => waiting.forEach((look) => look());

  async function collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = parts.pop()!;
      lines.push(...parts);
      wake();
    }
    if (rest !== "") lines.push(rest);
  }
  let ended = false;
  const collected = Promise.all([collect(child.stdout), collect(child.stderr)]);
  const status = Promise.all([child.status, collected]).then(([status]) => {
    ended = true;
    wake();
    return status;
  });

  return {
    pid: child.pid,
    lines,
    status,
    line(pattern, timeoutMs = 20_000) {
      const { promise, resolve, reject } = Promise.withResolvers<RegExpMatchArray>();
      const timer = setTimeout(() => fail(`did not come within ${timeoutMs} ms`), timeoutMs);
      function fail(why: string): void {
        settle();
        reject(new Error(`A line like ${pattern} ${why}. It wrote:\n${lines.join("\n")}`));
      }
      function settle(): void {
        clearTimeout(timer);
        waiting.delete(look);
      }
      let seen = 0;
      function look(): void {
        for (; seen < lines.length; seen++) {
          const match = lines[seen]!.match(pattern);
          if (match) {
            settle();
            return resolve(match);
          }
        }
        if (ended) fail("never came, the program has ended");
      }
      waiting.add(look);
      look();
      return promise;
    },
    kill: (signal) => child.kill(signal),
    endStdin: () => child.stdin.close(),
    async [Symbol.asyncDispose]() {
      if (!ended) {
        try {
          child.kill("SIGKILL");
        } catch (error) {
          // It ended in this moment.
          if (!(error instanceof TypeError)) throw error;
        }
      }
      await status;
      await child.stdin.close().catch(() => {});
    },
  };
}
