/**
 * The life of every program, from its flags to its exit code:
 *
 * parse → telemetry → start → ready → (SIGTERM or SIGINT) → readiness off → stop accepting →
 * drain, with a deadline → flush telemetry → exit 0.
 *
 * Exit codes: 0 ended as asked, 1 could not start or died (the reason is on stderr or in the
 * log), 2 wrong use, 130 a second SIGINT while draining.
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
  stdoutLines,
} from "./log.ts";
import { startTelemetry, type Telemetry } from "./telemetry.ts";
import { realWorld, type World } from "./world/world.ts";

/** A reason not to start that a person can mend: shown without a stack, exit code 1. */
export class StartError extends Error {
  override name = "StartError";
}

/** What a program gets from its life cycle. */
export interface ServiceContext {
  /** Aborted when shutdown begins. Long-lived answers (streams, sockets) end with it. */
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
  /** `service.name` where it is not the command's name. */
  serviceName?: string;
  /** False for a program that sends no telemetry of its own. @default true */
  telemetry?: boolean;
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
  command: Command<[], Options>,
  start: (options: Options, context: ServiceContext) => Promise<Service>,
  { serviceName = command.name(), telemetry = true }: RunServiceOptions = {},
): Promise<void> {
  const whole = command
    .addOption(
      flag("--log-format <format>", "how log lines look on stdout")
        .choices(["text", "json"] as const).default("text" as const),
    )
    .addOption(
      flag("--log-level <level>", "the least important level that is logged")
        .choices(logLevels).default("info" as const),
    )
    .addOption(
      flag("--drain-timeout-ms <ms>", "how long a shutdown waits for what is under way")
        .argParser(parseDuration({ unit: "ms", minMs: 0, maxMs: 600_000 })).default(10_000),
    )
    .addOption(
      flag(
        "--stop-with-stdin",
        "stop when stdin ends, so that the program never outlives its parent",
      ),
    );
  whole.action(async (options) => {
    await live(serviceName, telemetry, options as unknown as Options & SharedOptions, start);
  });
  await runCommand(whole);
}

interface SharedOptions {
  logFormat: LogFormat;
  logLevel: LogLevel;
  drainTimeoutMs: number;
  stopWithStdin?: true;
}

/** Parses and runs a command that is not a service (a tool that ends by itself), with the same exit codes. */
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

async function live<Options>(
  name: string,
  withTelemetry: boolean,
  options: Options & SharedOptions,
  start: (options: Options, context: ServiceContext) => Promise<Service>,
): Promise<void> {
  const stop = new AbortController();
  listenForSignals(stop);
  if (options.stopWithStdin) stopWithStdin(stop);

  const log = createLog({ name, format: options.logFormat, level: options.logLevel });
  const telemetry = startTelemetry({
    serviceName: name,
    enabled: withTelemetry,
    warn: (message) => log.warn(message),
  });
  const health = new Health();
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    die(event.reason);
  });
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    die(event.error);
  });

  /** Nothing dies silently: an error nobody caught ends the process, with its reason in the log. */
  async function die(error: unknown): Promise<void> {
    tellDeath(error);
    await telemetry.shutdown(1_000);
    await stdoutLines.flush();
    Deno.exit(1);
  }

  function tellDeath(error: unknown): void {
    health.fail("unexpected error");
    if (error instanceof StartError) return log.error(error.message);
    const cause = error instanceof Error ? error : new Error(String(error));
    log.error("Unexpected error, the process ends", {
      "exception.type": cause.name,
      "exception.message": cause.message,
      "exception.stacktrace": cause.stack,
    });
  }

  let service: Service;
  try {
    service = await start(options, {
      stopping: stop.signal,
      health,
      log,
      telemetry,
      world: realWorld,
    });
  } catch (error) {
    await telemetry.shutdown(1_000);
    return await exitWithReason(name, error);
  }

  const stopped = new Promise<number>((resolve) => {
    if (stop.signal.aborted) resolve(0);
    else stop.signal.addEventListener("abort", () => resolve(0), { once: true });
  });
  let exitCode = 0;
  try {
    exitCode = (await Promise.race([stopped, service.finished ?? stopped])) ?? 0;
  } catch (error) {
    // The service's own work has failed; what else it holds is still given back in order.
    tellDeath(error);
    exitCode = 1;
  }
  health.stop();
  stop.abort();
  await drain(service, options.drainTimeoutMs, log);
  if (exitCode === 0 && service.finished) {
    // Only if it has ended: what was cut at the deadline is not waited for.
    exitCode = await Promise.race([service.finished, Promise.resolve()]).catch(() => 1) ?? 0;
  }
  await telemetry.shutdown(3_000);
  await stdoutLines.flush();
  Deno.exit(exitCode);
}

async function drain(service: Service, timeoutMs: number, log: Log): Promise<void> {
  const deadline = new AbortController();
  const timer = setTimeout(() => {
    log.warn("The drain deadline has passed, what is still open is cut", { timeoutMs });
    deadline.abort();
  }, timeoutMs);
  // A service that ignores its deadline is not waited for much longer.
  let hardTimer: ReturnType<typeof setTimeout> | undefined;
  const hard = new Promise<void>((resolve) => hardTimer = setTimeout(resolve, timeoutMs + 2_000));
  try {
    await Promise.race([service.stop(deadline.signal), hard]);
  } catch (error) {
    log.error("The service failed while stopping", { reason: String(error) });
  } finally {
    clearTimeout(timer);
    clearTimeout(hardTimer);
  }
}

function listenForSignals(stop: AbortController): void {
  const onSignal = () => {
    if (stop.signal.aborted) Deno.exit(130);
    stop.abort();
  };
  Deno.addSignalListener("SIGINT", onSignal);
  // Windows knows SIGINT and SIGBREAK only.
  if (Deno.build.os !== "windows") {
    // Asked twice by SIGTERM is still an orderly stop: supervisors repeat themselves.
    Deno.addSignalListener("SIGTERM", () => stop.abort());
  }
}

/** A pipe from the parent ends when the parent does, even by SIGKILL. */
async function stopWithStdin(stop: AbortController): Promise<void> {
  const buffer = new Uint8Array(64);
  try {
    while (await Deno.stdin.read(buffer) !== null);
  } catch {
    // An unreadable stdin is as good as an ended one.
  }
  stop.abort();
}

async function exitWithReason(name: string, error: unknown): Promise<void> {
  await stdoutLines.flush();
  const text = error instanceof StartError
    ? `${name}: ${error.message}`
    : `${name}: unexpected error: ${error instanceof Error ? error.stack : String(error)}`;
  await Deno.stderr.write(new TextEncoder().encode(`${text}\n`));
  Deno.exit(1);
}
