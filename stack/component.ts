/**
 * What every starter of an outside program shares: free ports, a run folder, the child process
 * with its log file, waiting until it is ready, and stopping it.
 *
 * @module
 */

import { join } from "node:path";
import { type BuildOptions, StackError } from "./build_cache.ts";

/** A component that is up. `await using` stops it at the end of the block. */
export interface RunningComponent extends AsyncDisposable {
  /** The component's name, such as `jaeger`. */
  readonly name: string;
  /** Its process. */
  readonly pid: number;
  /** Everything it prints; removed with the run folder when it stops, unless that was given. */
  readonly logFile: string;
  /** Settles when the process has ended, asked to or not. */
  readonly exited: Promise<Deno.CommandStatus>;
  /** Asks the process to end, kills it when it does not, and returns once it is gone. */
  stop(): Promise<void>;
}

/** Options that every `start…()` has, beside those of the build that may come first. */
export interface StartOptions extends BuildOptions {
  /**
   * Where the component keeps its log and data.
   * @default a temporary folder, removed on stop
   */
  runFolder?: string;
  /**
   * The longest the component may take until it is ready, in milliseconds.
   * @default 60_000
   */
  readyTimeoutMs?: number;
  /**
   * The pause between two questions whether it is ready, in milliseconds.
   * @default 100
   */
  readyPollMs?: number;
  /**
   * How long `stop()` waits between asking the process to end and killing it, in milliseconds.
   * @default 10_000
   */
  stopTimeoutMs?: number;
  /**
   * The most that is kept of what the process prints, in bytes; one line says that the rest was cut.
   * @default 67_108_864
   */
  maxLogBytes?: number;
}

/** What {@link startComponent} starts. */
export interface ComponentProcess {
  /** The component's name, for messages and the log file. */
  name: string;
  /** The program, a path or a name on the `PATH`. */
  command: string;
  /** Its arguments; `runFolder` is where it may write. */
  args: (runFolder: string) => readonly string[];
  /** Added to the environment. */
  env?: Readonly<Record<string, string>>;
  /**
   * Gives the process a stdin that ends when this process does, even by SIGKILL: a program started
   * with `--stop-with-stdin` then stops too.
   * @default false
   */
  endsWithUs?: boolean;
  /** Carried out in the run folder before the start, to lay down configuration files. */
  prepare?: (runFolder: string) => Promise<void>;
  /** What the component will bind on 127.0.0.1, each port by its use; checked to be free first. */
  ports: Readonly<Record<string, number>>;
  /** True once the component can do its work; asked again and again until then. */
  ready: (signal: AbortSignal) => Promise<boolean>;
}

/**
 * Starts a process and returns when it is ready.
 *
 * @throws {StackError} when a port is taken, or the process ends or is not ready in time; the
 * message has the last lines of its log
 */
export async function startComponent(
  process: ComponentProcess,
  options: StartOptions = {},
): Promise<RunningComponent> {
  const {
    readyTimeoutMs = 60_000,
    readyPollMs = 100,
    stopTimeoutMs = 10_000,
    maxLogBytes = 67_108_864,
  } = options;
  for (const [use, port] of Object.entries(process.ports)) requireFreePort(process.name, use, port);

  await using undo = new AsyncDisposableStack();
  const runFolder = options.runFolder ?? await Deno.makeTempDir({ prefix: `${process.name}-` });
  if (options.runFolder) await Deno.mkdir(runFolder, { recursive: true });
  else undo.defer(() => Deno.remove(runFolder, { recursive: true }));
  await process.prepare?.(runFolder);

  const logFile = join(runFolder, `${process.name}.log`);
  const child = new Deno.Command(process.command, {
    args: [...process.args(runFolder)],
    env: { ...process.env },
    stdin: process.endsWithUs ? "piped" : "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const logged = writeLog(logFile, [child.stdout, child.stderr], maxLogBytes);
  const exited = child.status;
  undo.defer(async () => {
    await endProcess(child, stopTimeoutMs);
    if (process.endsWithUs) await child.stdin.close();
    await logged;
  });

  await untilReady(
    process,
    { exited, logFile, logged, timeoutMs: readyTimeoutMs, pollMs: readyPollMs },
    options.signal,
  );

  const resources = undo.move();
  let stopped: Promise<void> | undefined;
  const stop = () => stopped ??= resources.disposeAsync();
  return {
    name: process.name,
    pid: child.pid,
    logFile,
    exited,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/**
 * Finds TCP ports on 127.0.0.1 that nothing listens on.
 *
 * @param wanted a port to take as it is, or 0 or `undefined` for a free one
 * @returns as many ports, no two of the found ones the same
 */
export function choosePorts<Wanted extends (number | undefined)[]>(
  ...wanted: Wanted
): { [Index in keyof Wanted]: number } {
  const listeners: Deno.TcpListener[] = [];
  try {
    // All are held until the last is found, so that the system gives none twice.
    return wanted.map((port) => {
      if (port) return port;
      const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      listeners.push(listener);
      return listener.addr.port;
    }) as { [Index in keyof Wanted]: number };
  } finally {
    for (const listener of listeners) listener.close();
  }
}

/** Whether a GET of the URL is answered with a 2xx status. */
export async function answersOk(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    const response = await fetch(url, { signal });
    await response.body?.cancel();
    return response.ok;
  } catch (error) {
    // Nobody listens yet, or resets the connection while it starts: both are "not ready".
    if (error instanceof TypeError) return false;
    throw error;
  }
}

/** Whether something accepts TCP connections on the port. */
export async function acceptsTcp(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return false;
    throw error;
  }
}

function requireFreePort(name: string, use: string, port: number): void {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    throw new StackError(
      `Cannot start ${name}: port ${port} (${use}) is in use on 127.0.0.1. ` +
        "Stop what listens there or choose another port",
    );
  }
}

interface Waiting {
  exited: Promise<Deno.CommandStatus>;
  logFile: string;
  logged: Promise<void>;
  timeoutMs: number;
  pollMs: number;
}

async function untilReady(
  { name, ready }: ComponentProcess,
  { exited, logFile, logged, timeoutMs, pollMs }: Waiting,
  aborted: AbortSignal | undefined,
): Promise<void> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const giveUp = aborted ? AbortSignal.any([aborted, timeout]) : timeout;
  let ended: Deno.CommandStatus | undefined;
  exited.then((status) => ended = status);

  while (true) {
    aborted?.throwIfAborted();
    if (ended) {
      await logged;
      const how = ended.signal ? `was ended by ${ended.signal}` : `ended with code ${ended.code}`;
      throw new StackError(`Cannot start ${name}: it ${how}. ${await lastLines(logFile)}`);
    }
    if (timeout.aborted) {
      throw new StackError(
        `Cannot start ${name}: it was not ready within ${timeoutMs} ms. ${await lastLines(
          logFile,
        )}`,
      );
    }
    try {
      if (await ready(giveUp)) return;
    } catch (error) {
      if (!giveUp.aborted) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

async function endProcess(child: Deno.ChildProcess, stopTimeoutMs: number): Promise<void> {
  if (!kill(child, "SIGTERM")) return;
  const timer = setTimeout(() => kill(child, "SIGKILL"), stopTimeoutMs);
  await child.status;
  clearTimeout(timer);
}

/** False when the process has ended already. */
function kill(child: Deno.ChildProcess, signal: Deno.Signal): boolean {
  try {
    child.kill(signal);
    return true;
  } catch (error) {
    // Deno says TypeError for a child that it has seen end, NotFound for one it has not.
    if (error instanceof TypeError || error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Writes all streams to one file, at most `maxBytes`; reads on after that, so nobody blocks. */
async function writeLog(
  logFile: string,
  streams: readonly ReadableStream<Uint8Array>[],
  maxBytes: number,
): Promise<void> {
  using file = await Deno.open(logFile, { create: true, write: true, truncate: true });
  let left = maxBytes;
  const write = async (chunk: Uint8Array) => {
    if (left <= 0) return;
    const part = chunk.subarray(0, left);
    left -= part.length;
    for (let at = 0; at < part.length;) at += await file.write(part.subarray(at));
    if (left <= 0) {
      await file.write(new TextEncoder().encode(`\n[log cut here: more than ${maxBytes} bytes]\n`));
    }
  };
  await Promise.all(streams.map(async (stream) => {
    for await (const chunk of stream) await write(chunk);
  }));
}

/** The end of what a component has printed, as a sentence for a message. */
export async function lastLines(logFile: string): Promise<string> {
  const lines = (await Deno.readTextFile(logFile)).trim().split("\n").slice(-12).join("\n");
  return lines === "" ? "It printed nothing" : `Its last lines:\n${lines}`;
}
