/**
 * Starts an outside program and looks after it: a run folder, the child process with a log file of
 * bounded size, waiting until it is ready, and stopping it. The demo starts our programs with it,
 * `stack/` those of others.
 *
 * @module
 */
import { join } from "node:path";
import { StartError } from "./life_cycle.ts";
import { requireFreePort } from "./ports.ts";
import { pause, timeoutSignal } from "./resilience.ts";
import { realWorld, type World } from "./world/world.ts";

/** A process that is up. `await using` stops it at the end of the block. */
export interface RunningProcess extends AsyncDisposable {
  /** Its name, such as `jaeger`. */
  readonly name: string;
  /** Its process id. */
  readonly pid: number;
  /**
   * Everything it prints, below what is there from an earlier start in the same folder; removed with
   * the run folder when it stops, unless that was given.
   */
  readonly logFile: string;
  /** Settles when the process has ended, asked to or not. */
  readonly exited: Promise<Deno.CommandStatus>;
  /** Sends it a signal; false when it has ended already. */
  signal(signal: Deno.Signal): boolean;
  /** Asks the process to end, kills it when it does not, and returns once it is gone. */
  stop(): Promise<void>;
}

/** Options of {@linkcode startProcess}. */
export interface SupervisorOptions {
  /**
   * Where the process keeps its log and data.
   *
   * @default a temporary folder, removed on stop
   */
  runFolder?: string;
  /**
   * The longest the process may take until it is ready, in milliseconds.
   *
   * @default 60_000
   */
  readyTimeoutMs?: number;
  /**
   * The pause between two questions whether it is ready, in milliseconds.
   *
   * @default 100
   */
  readyPollMs?: number;
  /**
   * How long `stop()` waits between asking the process to end and killing it, in milliseconds.
   *
   * @default 10_000
   */
  stopTimeoutMs?: number;
  /**
   * The most that is kept of what the process prints, in bytes; one line says that the rest was cut.
   *
   * @default 67_108_864
   */
  maxLogBytes?: number;
  /**
   * Aborting it gives up waiting for readiness: the process is stopped before the call rejects.
   *
   * @default nothing does
   */
  signal?: AbortSignal;
  /**
   * Whose time the waits are in.
   *
   * @default the real world
   */
  world?: Pick<World, "setTimeout" | "clearTimeout">;
}

/** What {@linkcode startProcess} starts. */
export interface ProcessPlan {
  /** The process's name, for messages and the log file. */
  name: string;
  /** The program, a path or a name on the `PATH`. */
  command: string;
  /** Its arguments; `runFolder` is where it may write. */
  args: (runFolder: string) => readonly string[];
  /**
   * Added to the environment.
   *
   * @default nothing
   */
  env?: Readonly<Record<string, string>>;
  /**
   * Gives the process a stdin that ends when this process does, even by SIGKILL: a program started
   * with `--stop-with-stdin` then stops too.
   *
   * @default false
   */
  endsWithUs?: boolean;
  /**
   * Carried out in the run folder before the start, to lay down configuration files.
   *
   * @default nothing
   */
  prepare?: (runFolder: string) => Promise<void>;
  /** What the process will bind on 127.0.0.1, each port by its use; checked to be free first. */
  ports: Readonly<Record<string, number>>;
  /** True once the process can do its work; asked again and again until then. */
  ready: (signal: AbortSignal) => Promise<boolean>;
}

/**
 * Starts a process and returns when it is ready.
 *
 * @throws {StartError} when a port is taken, or the process ends or is not ready in time; the
 * message has the last lines of its log
 *
 * @example
 * ```ts
 * await using server = await startProcess({
 *   name: "server",
 *   command: "some-server",
 *   args: (runFolder) => ["--port", String(port), "--data", runFolder],
 *   ports: { http: port },
 *   ready: (signal) => answersOk(`http://127.0.0.1:${port}/`, signal),
 * });
 * ```
 */
export async function startProcess(
  plan: ProcessPlan,
  options: SupervisorOptions = {},
): Promise<RunningProcess> {
  const { stopTimeoutMs = 10_000, maxLogBytes = 67_108_864, world = realWorld } = options;
  for (const [use, port] of Object.entries(plan.ports)) requireFreePort(plan.name, use, port);

  await using undo = new AsyncDisposableStack();
  const runFolder = options.runFolder ?? await Deno.makeTempDir({ prefix: `${plan.name}-` });
  if (options.runFolder) await Deno.mkdir(runFolder, { recursive: true });
  else undo.defer(() => Deno.remove(runFolder, { recursive: true }));
  await plan.prepare?.(runFolder);

  const logFile = join(runFolder, `${plan.name}.log`);
  const child = spawn(plan, runFolder);
  const logged = writeLog(logFile, [child.stdout, child.stderr], maxLogBytes);
  undo.defer(async () => {
    await endProcess(child, stopTimeoutMs, world);
    if (plan.endsWithUs) await child.stdin.close();
    await logged;
  });
  await untilReady(plan, { exited: child.status, logFile, logged }, options);

  const resources = undo.move();
  let stopped: Promise<void> | undefined;
  const stop = () => stopped ??= resources.disposeAsync();
  return {
    name: plan.name,
    pid: child.pid,
    logFile,
    exited: child.status,
    signal: (signal) => kill(child, signal),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function spawn(plan: ProcessPlan, runFolder: string): Deno.ChildProcess {
  return new Deno.Command(plan.command, {
    args: [...plan.args(runFolder)],
    env: { ...plan.env },
    stdin: plan.endsWithUs ? "piped" : "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** A process that has been started, as seen from outside. */
interface StartedProcess {
  exited: Promise<Deno.CommandStatus>;
  logFile: string;
  logged: Promise<void>;
}

async function untilReady(
  { name, ready }: ProcessPlan,
  { exited, logFile, logged }: StartedProcess,
  { readyTimeoutMs = 60_000, readyPollMs = 100, signal, world = realWorld }: SupervisorOptions,
): Promise<void> {
  using timeout = timeoutSignal(readyTimeoutMs, { world });
  const giveUp = signal ? AbortSignal.any([signal, timeout.signal]) : timeout.signal;
  let ended: Deno.CommandStatus | undefined;
  exited.then((status) => ended = status);
  const refuse = async (why: string) =>
    new StartError(`Cannot start ${name}: it ${why}. ${await lastLines(logFile)}`);

  while (true) {
    signal?.throwIfAborted();
    if (ended) {
      await logged;
      const { signal: by, code } = ended;
      throw await refuse(by ? `was ended by ${by}` : `ended with code ${code}`);
    }
    if (giveUp.aborted) throw await refuse(`was not ready within ${readyTimeoutMs} ms`);
    try {
      if (await ready(giveUp)) return;
    } catch (error) {
      // A question that was cut off by the time is answered above, with the reason.
      if (!giveUp.aborted) throw error;
    }
    await pause(readyPollMs, { signal: giveUp, world });
  }
}

async function endProcess(
  child: Deno.ChildProcess,
  stopTimeoutMs: number,
  world: Pick<World, "setTimeout" | "clearTimeout">,
): Promise<void> {
  if (!kill(child, "SIGTERM")) return;
  const timer = world.setTimeout(() => kill(child, "SIGKILL"), stopTimeoutMs);
  await child.status;
  world.clearTimeout(timer);
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
  // A program that is started again in the same folder goes on below what it said before.
  using file = await Deno.open(logFile, { create: true, append: true });
  let left = maxBytes - (await file.stat()).size;
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

/** The end of what a process has printed, as a sentence for a message. */
export async function lastLines(logFile: string): Promise<string> {
  const lines = (await Deno.readTextFile(logFile)).trim().split("\n").slice(-12).join("\n");
  return lines === "" ? "It printed nothing" : `Its last lines:\n${lines}`;
}
