/**
 * The programs that the orb's benchmarks start: servers, the load generator, what it is measured against.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { programArguments } from "../service/program_file.ts";
import type { LoadResult, LoadRun } from "./orb_load.ts";

/** A child process that is killed at the end of the block. */
export interface Child extends AsyncDisposable {
  child: Deno.ChildProcess;
  /** Its stdout, line by line. */
  lines: AsyncIterator<string>;
}

function start(args: string[], env: Record<string, string> = {}): Child {
  const child = new Deno.Command(Deno.execPath(), {
    args,
    env: { OTEL_SDK_DISABLED: "true", ...env },
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  return {
    child,
    lines: linesOf(child.stdout),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.status;
    },
  };
}

async function* linesOf(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<string, never> {
  const decoder = new TextDecoderStream();
  let rest = "";
  for await (const chunk of stream.pipeThrough(decoder)) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
  throw new Error("the process ended");
}

const beside = (file: string) => fileURLToPath(new URL(file, import.meta.url));

/** The generator at work. */
export interface Load extends AsyncDisposable {
  /** Loads for a while. @throws {Error} a signup was not accepted */
  run(run: LoadRun): Promise<LoadResult>;
}

/** Starts the generator, `orb_load.ts`. */
export function startLoad(imageBytes: number, connections: number): Load {
  const generator = start([
    ...["run", "--allow-net=127.0.0.1", beside("orb_load.ts")],
    ...[String(imageBytes), String(connections)],
  ]);
  const stdin = generator.child.stdin.getWriter();
  return {
    async run(run) {
      await stdin.write(new TextEncoder().encode(`${JSON.stringify(run)}\n`));
      const result = JSON.parse((await generator.lines.next()).value) as LoadResult;
      if (result.accepted !== result.requests) {
        throw new Error(`${result.requests - result.accepted} signups were not accepted`);
      }
      return result;
    },
    [Symbol.asyncDispose]: () => generator[Symbol.asyncDispose](),
  };
}

/** Starts a helper that prints its port; with a folder to keep things in, its last argument, it may write. */
export async function startHelper(
  file: string,
  args: readonly string[] = [],
  folder?: string,
): Promise<Child & { port: number }> {
  const child = start(
    folder === undefined
      ? ["run", "--allow-net", beside(file), ...args]
      : ["run", "--allow-net", "--allow-read", "--allow-write", beside(file), ...args, folder],
  );
  return Object.assign(child, { port: Number((await child.lines.next()).value) });
}

/** A program whose output goes to nowhere; `ended` once it has. */
export function startProgram(
  path: string,
  args: string[],
  env: Record<string, string> = {},
): Child & { ended: Deno.CommandStatus | undefined } {
  const child = new Deno.Command(path, {
    args,
    env: { OTEL_SDK_DISABLED: "true", ...env },
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  const program = {
    child,
    ended: undefined as Deno.CommandStatus | undefined,
    lines: { next: () => Promise.reject(new Error("its log goes to nowhere")) },
    async [Symbol.asyncDispose]() {
      if (program.ended === undefined) child.kill("SIGKILL");
      await child.status;
    },
  };
  void child.status.then((status) => program.ended = status);
  return program;
}

/** Starts an orb server whose log goes to nowhere, with the permissions of its shebang. */
export async function startOrbServer(
  dataDir: string,
  env: Record<string, string> = {},
  more: readonly string[] = [],
): Promise<Child & { port: number }> {
  const port = freePort();
  const entry = beside("../orb/server.ts");
  const args = ["--orb-api-port", String(port), "--data-dir", dataDir, ...more];
  const server = startProgram(Deno.execPath(), await programArguments(entry, args), env);
  for (;;) {
    if (server.ended) {
      throw new Error(`the server ended with ${server.ended.code} before it was ready`);
    }
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/readyz`);
      await answer.body?.cancel();
      if (answer.ok) return Object.assign(server, { port });
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** A port that nobody has. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
