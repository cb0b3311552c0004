/**
 * For tests, benchmarks and screenshots: a program of ours as a child process, with exactly the
 * permissions of its shebang.
 *
 * @module
 */
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { exists } from "../found_files.ts";
import { programArguments } from "../program_file.ts";

/** The variable that `deno task test:programs` gives the folder of bundles in. */
const bundlesVariable = "TEST_PROGRAMS_FOLDER";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** A program under test. `await using` kills it at the end of the block. */
export interface TestProgram extends AsyncDisposable {
  /** Its process. */
  readonly pid: number;
  /** What it has written to stdout and stderr so far, a line an entry. */
  readonly lines: readonly string[];
  /** Resolves once it has ended and all it wrote is in `lines`. */
  readonly status: Promise<Deno.CommandStatus>;
  /** Resolves with the match of the first line that fits; rejects when the program ends or the time is up. */
  line(pattern: RegExp, timeoutMs?: number): Promise<RegExpMatchArray>;
  /** Sends a signal to it, unless it has ended. */
  kill(signal: Deno.Signal): void;
  /** Ends its stdin. */
  endStdin(): Promise<void>;
}

/** A program that has said that it is ready. */
export interface ReadyProgram extends TestProgram {
  /** The fields of the log line that it was ready with: where it listens. */
  readonly fields: Readonly<Record<string, string>>;
  /** Ends it in order, or at once if `force`, and returns when it is gone. */
  stop(options?: { force?: boolean }): Promise<void>;
}

/** Options of {@linkcode startReadyProgram}. */
export interface StartReadyProgramOptions {
  /**
   * Its environment besides what it inherits.
   *
   * @default telemetry is off
   */
  env?: Record<string, string>;
  /**
   * Takes any first log line for readiness: a client has nowhere it listens.
   *
   * @default false
   */
  anyLine?: boolean;
  /**
   * The longest wait for readiness, in milliseconds.
   *
   * @default 60_000
   */
  readyTimeoutMs?: number;
  /**
   * File descriptors that it may have (`ulimit -n`).
   *
   * @default as many as the test
   */
  maxDescriptors?: number;
}

/**
 * Starts an entry file, given as a URL relative to the test. Where the task has made bundles of the
 * programs, the bundle starts in its place, as in the demo: that takes a third of the time.
 *
 * @example
 * ```ts
 * await using server = await startProgram(new URL("./server.ts", import.meta.url), ["--port", "0"]);
 * const [, url] = await server.line(/Listening url=(\S+)/);
 * ```
 */
export async function startProgram(
  entry: URL,
  args: readonly string[] = [],
  env: Record<string, string> = {},
  { maxDescriptors }: Pick<StartReadyProgramOptions, "maxDescriptors"> = {},
): Promise<TestProgram> {
  const own = await startArguments(entry, args);
  const limited = ["-c", `ulimit -n ${maxDescriptors} && exec deno "$@"`, "sh", ...own];
  return new ChildProgram(
    new Deno.Command(maxDescriptors === undefined ? "deno" : "sh", {
      args: maxDescriptors === undefined ? own : limited,
      env: { OTEL_SDK_DISABLED: "true", NO_COLOR: "1", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn(),
  );
}

/**
 * The arguments for `deno` that start an entry file as {@linkcode startProgram} does, for a test that
 * starts it in a way of its own: below a shell, or for what it prints until its end.
 *
 * @example
 * ```ts
 * const args = await startArguments(new URL("./simulate.ts", import.meta.url), ["run"]);
 * const { stdout } = await new Deno.Command("deno", { args }).output();
 * ```
 */
export async function startArguments(entry: URL, args: readonly string[] = []): Promise<string[]> {
  const path = fileURLToPath(entry);
  return await programArguments(path, args, await bundleOf(path));
}

/**
 * Starts an entry file, given from the project's root, and waits for its first log line with
 * fields. It ends with its starter, whatever happens to that.
 *
 * @throws {Error} it ended, or said nothing in time; the message has what it said.
 *
 * @example
 * ```ts
 * await using console = await startReadyProgram("console/server.ts", ["--page-port", "0"]);
 * await fetch(console.fields.page!);
 * ```
 */
export async function startReadyProgram(
  entry: string,
  args: readonly string[],
  { env = {}, anyLine = false, readyTimeoutMs = 60_000, maxDescriptors }: StartReadyProgramOptions =
    {},
): Promise<ReadyProgram> {
  const program = await startProgram(
    new URL(join("..", "..", entry), import.meta.url),
    [...args, "--log-format", "json", "--stop-with-stdin"],
    env,
    maxDescriptors === undefined ? {} : { maxDescriptors },
  ) as ChildProgram;
  try {
    const { input } = await program.line(anyLine ? /^\{/ : /^\{.*"fields":/, readyTimeoutMs);
    return Object.assign(program, { fields: JSON.parse(input!).fields ?? {} });
  } catch (error) {
    await program.stop({ force: true });
    throw error;
  }
}

/**
 * What the entry file is started as.
 *
 * @throws {Error} the task could not make the bundles: their sources would pass in their place.
 */
async function bundleOf(path: string): Promise<string> {
  const folder = Deno.env.get(bundlesVariable);
  if (folder === undefined) return path;
  if (!await exists(folder)) {
    throw new Error(
      `${bundlesVariable} names no folder: '${folder}'. Why is what the task said first`,
    );
  }
  // What a test has made itself, and what is no program, is in none of them.
  const bundle = join(folder, relative(root, path)).replace(/\.ts$/, ".js");
  return !relative(root, path).startsWith("..") && await exists(bundle) ? bundle : path;
}

/** What Deno itself says on stderr where many are started at once; no program of ours does. */
const denoWaits = "Blocking waiting for file lock on node_modules directory";

/** A child process whose output is kept by lines, each of which can be waited for. */
class ChildProgram implements TestProgram {
  readonly lines: string[] = [];
  readonly status: Promise<Deno.CommandStatus>;
  readonly #child: Deno.ChildProcess;
  /** Called whenever there are more lines, or none will come any more. */
  readonly #waiting = new Set<() => void>();
  #ended = false;

  constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.status = this.#untilEnd();
  }

  get pid(): number {
    return this.#child.pid;
  }

  line(pattern: RegExp, timeoutMs = 60_000): Promise<RegExpMatchArray> {
    const { promise, resolve, reject } = Promise.withResolvers<RegExpMatchArray>();
    let checked = 0;
    const settle = () => {
      clearTimeout(timer);
      this.#waiting.delete(check);
    };
    const fail = (why: string) => {
      settle();
      reject(new Error(`A line like ${pattern} ${why}. It wrote:\n${this.lines.join("\n")}`));
    };
    const check = () => {
      for (; checked < this.lines.length; checked++) {
        const match = this.lines[checked]!.match(pattern);
        if (match) {
          settle();
          return resolve(match);
        }
      }
      if (this.#ended) fail("never came, the program has ended");
    };
    const timer = setTimeout(() => fail(`did not come within ${timeoutMs} ms`), timeoutMs);
    this.#waiting.add(check);
    check();
    return promise;
  }

  kill(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch (error) {
      // It has ended, perhaps in this moment.
      if (!(error instanceof TypeError)) throw error;
    }
  }

  endStdin(): Promise<void> {
    return this.#child.stdin.close();
  }

  async stop({ force = false } = {}): Promise<void> {
    if (force) this.kill("SIGKILL");
    // It may have gone already, and its end of the pipe with it.
    await this.endStdin().catch(() => {});
    await this.status;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop({ force: true });
  }

  async #untilEnd(): Promise<Deno.CommandStatus> {
    const { stdout, stderr, status } = this.#child;
    const [ended] = await Promise.all([status, this.#collect(stdout), this.#collect(stderr)]);
    // Our end of the pipe; a test may have closed it.
    await this.endStdin().catch(() => {});
    this.#ended = true;
    this.#wake();
    return ended;
  }

  async #collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = parts.pop()!;
      this.lines.push(...parts.filter((line) => !line.startsWith(denoWaits)));
      this.#wake();
    }
    if (rest !== "") this.lines.push(rest);
  }

  #wake(): void {
    for (const check of this.#waiting) check();
  }
}
