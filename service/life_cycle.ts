/**
 * The life of every program, from its flags to its exit code:
 *
 * parse → telemetry → start → ready → (SIGTERM or SIGINT) → readiness off → shutdown delay → stop
 * accepting → drain, with a deadline → flush telemetry → exit 0. The part from the start to the
 * drain is `service_run.ts`.
 *
 * Exit codes: 0 ended as asked (also during its start), 1 could not start, died or could not stop
 * (the reason is on stderr or in the log), 2 wrong use, 130 a further SIGINT while draining, at
 * least a second after the first. A second signal ends the shutdown delay.
 *
 * @module
 */
import type { Command, OptionValues } from "@commander-js/extra-typings";
import { CommanderError } from "commander";
import { flag, parseDuration } from "./command_line.ts";
import { Health } from "./health.ts";
import {
  createLog,
  type Log,
  type LogFormat,
  type LogLevel,
  logLevels,
  stderrLines,
  stdoutLines,
} from "./log.ts";
import { ServiceRun } from "./service_run.ts";
import type { Telemetry, TelemetryOptions } from "./telemetry.ts";
import { noTelemetry } from "./telemetry/no_telemetry.ts";
import { TelemetryVariableError } from "./telemetry/variable_error.ts";
import { realWorld, type World } from "./world/world.ts";

/** A reason not to start that a person can remove: shown without a stack, exit code 1. */
export class StartError extends Error {
  override name = "StartError";
}

/** What a program gets from its life cycle. */
export interface ServiceContext {
  /**
   * Aborted when the service stops accepting, after the shutdown delay, or when a start is to end.
   * Long-lived answers (streams, sockets) end with it.
   */
  readonly stopping: AbortSignal;
  /** The program's health, for `healthRoutes()`. */
  readonly health: Health;
  /** The program's log. */
  readonly log: Log;
  /** The program's telemetry. */
  readonly telemetry: Telemetry;
  /** Time and chance; the real one, but in simulations and tests. */
  readonly world: World;
}

/** What a started program gives back. */
export interface Service {
  /**
   * Ends by itself when the work is done, with the exit code if not 0; a rejection ends the process
   * with 1. Work that a stop cuts short has the last word, too, if it ends before `stop()` does.
   */
  readonly finished?: Promise<number | void>;
  /**
   * Stops accepting and waits for what is under way. `deadline` aborts when time is up: what is
   * still open then must be cut.
   */
  stop(deadline: AbortSignal): Promise<void>;
}

/** Options of {@linkcode runService}. */
export interface RunServiceOptions {
  /** `service.name` where it is not the command's name. @default the command's name */
  serviceName?: string;
  /**
   * False for a program that sends no telemetry of its own; `"if-wanted"` for a command that ends by
   * itself: it sends some when the environment names an endpoint, or the collector answers at once.
   *
   * @default true
   */
  telemetry?: boolean | "if-wanted";
  /**
   * What stdout is for. In a program that prints data (`data`) it is for nothing else: there the
   * log goes to stderr.
   *
   * @default "log"
   */
  stdout?: "log" | "data";
  /** Other services that the same command line starts. @default none */
  subcommands?: readonly ServiceSubcommand[];
}

/** A service under a name of its own on a program's command line, such as `simulator replay FILE`. */
export interface ServiceSubcommand {
  /** Made by `command()` of the program's command; the program's flags hold for it, too. */
  // deno-lint-ignore no-explicit-any -- a command of any arguments and options; nothing of it leaves
  command: Command<any, any, any>;
  /** Starts it, with its arguments, and its flags and the program's in one. */
  start(args: readonly string[], flags: OptionValues, context: ServiceContext): Promise<Service>;
}

/**
 * Parses the command line, starts the program and stays until it has ended; then exits the
 * process. Adds the flags every program has.
 *
 * @example
 * ```ts
 * if (import.meta.main) await runService(command, (options, context) => start(options, context));
 * ```
 */
export async function runService<Options extends OptionValues>(
  // deno-lint-ignore no-explicit-any -- a command of any arguments: it reads its own `args`
  command: Command<any, Options, any>,
  start: (options: Options, context: ServiceContext) => Promise<Service>,
  { serviceName = command.name(), telemetry = true, stdout = "log", subcommands = [] }:
    RunServiceOptions = {},
): Promise<void> {
  const whole = command
    .addOption(
      flag(
        "--log-format <format>",
        `how log lines look on ${stdout === "log" ? "stdout" : "stderr"}`,
      )
        .choices(["text", "json"] as const).default("text" as const),
    )
    .addOption(
      flag("--log-level <level>", "the least important level that is logged")
        .choices(logLevels).default("info" as const),
    )
    .addOption(
      flag(
        "--shutdown-delay <duration>",
        "how long to serve on, not ready any more, before a stop; a bare number is seconds",
      ).argParser(parseDuration({ unit: "s", maxMs: 600_000 })).default(0),
    )
    .addOption(
      flag("--drain-timeout-ms <ms>", "how long a stop waits for what is under way")
        .argParser(parseDuration({ unit: "ms", maxMs: 600_000 })).default(10_000),
    )
    .addOption(
      flag(
        "--stop-with-stdin",
        "stop when stdin ends, so that the program never outlives its parent",
      ),
    );
  whole.action(async () => {
    const flags = whole.opts() as unknown as Options & SharedOptions;
    await live({ serviceName, telemetry, stdout }, flags, (context) => start(flags, context));
  });
  for (const one of subcommands) {
    one.command.action(async () => {
      const flags = one.command.optsWithGlobals() as OptionValues & SharedOptions;
      const begin = (context: ServiceContext) => one.start(one.command.args, flags, context);
      await live({ serviceName, telemetry, stdout }, flags, begin);
    });
  }
  await runCommand(whole);
}

interface SharedOptions {
  logFormat: LogFormat;
  logLevel: LogLevel;
  shutdownDelay: number;
  drainTimeoutMs: number;
  stopWithStdin?: true;
}

/**
 * Parses and runs a command that is not a service (a tool that ends by itself), with the same exit
 * codes. What it prints on stdout is data: a reason to fail goes to stderr.
 *
 * @example
 * ```ts
 * await runCommand(commandLine({ … }).action((options) => generateCertificate(options)));
 * ```
 */
// deno-lint-ignore no-explicit-any -- a command of any arguments and options; nothing of it leaves
export async function runCommand(command: Command<any, any, any>): Promise<void> {
  throwInsteadOfExit(command);
  try {
    await command.parseAsync(Deno.args, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) Deno.exit(error.exitCode === 0 ? 0 : 2);
    await exitWithReason(command.name(), error);
  }
}

// deno-lint-ignore no-explicit-any -- as above
function throwInsteadOfExit(command: Command<any, any, any>): void {
  command.exitOverride();
  for (const child of command.commands) throwInsteadOfExit(child);
}

/** One process with one service. */
async function live(
  { serviceName, telemetry: withTelemetry, stdout }: Required<
    Omit<RunServiceOptions, "subcommands">
  >,
  flags: SharedOptions,
  start: (context: ServiceContext) => Promise<Service>,
): Promise<void> {
  const log = createLog({
    name: serviceName,
    format: flags.logFormat,
    level: flags.logLevel,
    write: (stdout === "log" ? stdoutLines : stderrLines).write,
  });
  const warn = (message: string) => log.warn(message);
  const telemetry = await openTelemetry(withTelemetry, { serviceName, warn });
  const health = new Health();
  const onFailure = (error: unknown) => logFailure(error, { log, health });
  const run = new ServiceRun({
    start,
    context: { health, log, telemetry, world: realWorld },
    shutdownDelayMs: flags.shutdownDelay,
    drainTimeoutMs: flags.drainTimeoutMs,
    onFailure,
  });
  listenForSignals(run);
  if (flags.stopWithStdin) stopWithStdin(run);
  listenForUncaughtErrors(async (error) => {
    onFailure(error);
    await telemetry.shutdown(1_000);
    await flushLines();
    Deno.exit(1);
  });

  let exitCode: number;
  try {
    exitCode = await run.run();
  } catch (error) {
    await telemetry.shutdown(1_000);
    return await exitWithReason(serviceName, error);
  }
  await telemetry.shutdown(3_000);
  await flushLines();
  Deno.exit(exitCode);
}

/** The SDK is loaded only here: who does without it, or ends with its help, saves 11 MB and 0.1 s. */
async function openTelemetry(
  wanted: boolean | "if-wanted",
  options: TelemetryOptions,
): Promise<Telemetry> {
  if (!wanted) return noTelemetry(options.serviceName);
  const { startTelemetry, telemetryIsWanted } = await import("./telemetry.ts");
  return startTelemetry({
    ...options,
    enabled: wanted === "if-wanted" ? await telemetryIsWanted() : true,
  });
}

function logFailure(error: unknown, { log, health }: Pick<ServiceContext, "log" | "health">): void {
  health.fail("unexpected error");
  if (error instanceof StartError) return log.error(error.message);
  const cause = error instanceof Error ? error : new Error(String(error));
  log.error("Unexpected error, the process ends", {
    "exception.type": cause.name,
    "exception.message": cause.message,
    "exception.stacktrace": cause.stack,
  });
}

/** Nothing dies silently: an error that nothing caught ends the process, with its reason in the log. */
function listenForUncaughtErrors(die: (error: unknown) => void): void {
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    die(event.reason);
  });
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    die(event.error);
  });
}

/**
 * One Ctrl-C arrives up to three times: the terminal sends SIGINT to every process of the group,
 * and `deno task` (2.9.6) passes each of its own on, twice. What comes this soon is the same press.
 */
const samePressMs = 1_000;

function listenForSignals(run: ServiceRun): void {
  let interruptedAtMs = -Infinity;
  Deno.addSignalListener("SIGINT", () => {
    const nowMs = realWorld.monotonicMs();
    if (nowMs - interruptedAtMs < samePressMs) return;
    if (run.stopping) Deno.exit(130);
    interruptedAtMs = nowMs;
    run.requestStop();
  });
  // Windows knows SIGINT and SIGBREAK only.
  if (Deno.build.os !== "windows") {
    // However often SIGTERM comes it is an orderly stop: supervisors repeat themselves.
    Deno.addSignalListener("SIGTERM", () => run.requestStop());
  }
}

/** A pipe from the parent ends when the parent does, even by SIGKILL. */
async function stopWithStdin(run: ServiceRun): Promise<void> {
  const buffer = new Uint8Array(64);
  try {
    while (await Deno.stdin.read(buffer) !== null);
  } catch {
    // An unreadable stdin is as good as an ended one.
  }
  run.requestStop();
}

async function flushLines(): Promise<void> {
  await Promise.all([stdoutLines.flush(), stderrLines.flush()]);
}

async function exitWithReason(name: string, error: unknown): Promise<void> {
  const wrongUse = error instanceof TelemetryVariableError;
  stderrLines.write(
    error instanceof StartError || wrongUse
      ? `${name}: ${error.message}`
      : `${name}: unexpected error: ${error instanceof Error ? error.stack : String(error)}`,
  );
  await flushLines();
  Deno.exit(wrongUse ? 2 : 1);
}
