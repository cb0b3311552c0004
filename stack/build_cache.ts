/**
 * Builds outside programs once and keeps them.
 *
 * A {@link BuildRecipe} is plain data: which files to write, which commands to run, what to keep.
 * {@link buildOnce} carries it out in the cache folder and returns the folder of the kept results;
 * the next call finds them there. The name of that folder ends in a hash over the whole recipe
 * (versions, files, commands) and the platform, so changing any of them builds anew, and nothing
 * else does.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { exists } from "../service/found_files.ts";
import { StartError } from "../service/life_cycle.ts";

/** A program that must be installed on the machine, and how to get it. */
export interface Tool {
  /** The command's name, looked up on the `PATH`. */
  command: string;
  /** What to do when it is missing, as a command or a short sentence. */
  install: string;
}

/** One step of a build. Every step works in the build folder. */
export type BuildStep =
  /** Writes a text file. */
  | { write: string; text: string }
  /** Runs a command (`./name`: one of the build folder's), in a sub-folder if `in` names one. */
  | { run: readonly string[]; in?: string; env?: Readonly<Record<string, string>> }
  /** Copies one file of a Go module (checked by its sum in the checksum database) here. */
  | { copyFromGoModule: string; file: string; to: string };

/** How one component is built: data only, so that its hash says all. */
export interface BuildRecipe {
  /** Names the cache folder. */
  name: string;
  /** What is built, for people: `v0.155.0`. */
  version: string;
  /** Programs the steps need. */
  tools: readonly Tool[];
  /** Carried out in order. */
  steps: readonly BuildStep[];
  /** Files or folders, relative to the build folder, that are kept. */
  keep: readonly string[];
  /** What the first build costs, for the message that announces it. */
  firstBuildTakes: string;
}

/** Options of {@link buildOnce}. */
export interface BuildOptions {
  /**
   * The folder of all builds.
   * @default stackCacheFolder()
   */
  cacheFolder?: string;
  /**
   * Gets a line for people when a build starts, waits or ends.
   * @default a line on standard error
   */
  report?: (line: string) => void;
  /**
   * The longest a single command may run, in milliseconds.
   * @default 1_800_000
   */
  stepTimeoutMs?: number;
  /** Aborting it gives up: what was begun is stopped and removed before the call rejects. */
  signal?: AbortSignal;
}

/** Why a component cannot be had or started: a message a person can act on. */
export class StackError extends StartError {
  override name = "StackError";
}

/** A required program is not installed. */
export class ToolMissingError extends StackError {
  override name = "ToolMissingError";
  /** The missing program. */
  readonly tool: Tool;

  constructor(tool: Tool, neededFor: string) {
    super(`Cannot find '${tool.command}', which ${neededFor} needs: ${tool.install}`);
    this.tool = tool;
  }
}

/** A build step failed; `logFile` holds everything the steps printed. */
export class BuildError extends StackError {
  override name = "BuildError";
  /** The log of the whole build. */
  readonly logFile: string;

  constructor(message: string, logFile: string) {
    super(message);
    this.logFile = logFile;
  }
}

const WORK_PREFIX = "building-";

/** The Go tool chain, which most components are built with. */
export const GO: Tool = {
  command: "go",
  install: "install Go 1.25 or newer from https://go.dev/dl/",
};

/**
 * The folder of everything that is built once: `ORRERY_STACK_CACHE`, or `orrery/stack` in the
 * operating system's cache folder.
 *
 * @throws {Error} when the environment names no home folder
 */
export function stackCacheFolder(): string {
  const own = Deno.env.get("ORRERY_STACK_CACHE");
  if (own) return own;
  return join(osCacheFolder(), "orrery", "stack");
}

/**
 * Returns the folder with the recipe's kept files, building them first when the cache has none.
 * Two callers at once, also in two processes, build once: the second waits for the first.
 *
 * @throws {ToolMissingError} when a required program is not installed
 * @throws {BuildError} when a step fails, with the last lines it printed
 */
export async function buildOnce(recipe: BuildRecipe, options: BuildOptions = {}): Promise<string> {
  const { cacheFolder = stackCacheFolder(), report = reportOnStderr, signal } = options;
  const folder = join(cacheFolder, recipe.name);
  const result = join(folder, recipeStamp(recipe));
  if (await exists(result)) return result;

  for (const tool of recipe.tools) await requireTool(tool, `building ${recipe.name}`);
  await Deno.mkdir(folder, { recursive: true });
  // An operating system's lock, not a file's existence: it goes with the process that held it.
  using lock = await Deno.open(join(folder, "lock"), { create: true, write: true });
  await lock.lock(true);
  if (await exists(result)) return result;

  await removeLeftovers(folder);
  report(
    `building ${recipe.name} ${recipe.version}, once (${recipe.firstBuildTakes}); log: ${
      join(folder, "build.log")
    }`,
  );
  const startedAt = performance.now();
  const work = await Deno.makeTempDir({ dir: folder, prefix: WORK_PREFIX });
  try {
    await carryOut(recipe, work, join(folder, "build.log"), options);
    signal?.throwIfAborted();
    await keepOnly(recipe, work, result);
  } finally {
    await removeTree(work);
  }
  report(`built ${recipe.name} in ${Math.round((performance.now() - startedAt) / 1000)} s`);
  return result;
}

/**
 * Checks that a program is installed.
 *
 * @param neededFor who wants it, for the message: `"building jaeger"`
 * @throws {ToolMissingError} when it is not on the `PATH`
 */
export async function requireTool(tool: Tool, neededFor: string): Promise<void> {
  try {
    // Any answer will do, also a refusal of the flag: only its absence matters.
    await new Deno.Command(tool.command, {
      args: ["--version"],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new ToolMissingError(tool, neededFor);
    throw error;
  }
}

/**
 * Says which of some programs is not installed, and how to get it; nothing when all are.
 *
 * @param neededFor as in {@linkcode requireTool}
 */
export async function whyNoTools(
  tools: readonly Tool[],
  neededFor: string,
): Promise<string | undefined> {
  for (const tool of tools) {
    try {
      await requireTool(tool, neededFor);
    } catch (error) {
      if (error instanceof StackError) return error.message;
      throw error;
    }
  }
}

/** The name of a recipe's result folder: its version and a hash over recipe and platform. */
export function recipeStamp(recipe: BuildRecipe): string {
  const { steps, keep, version } = recipe;
  const all = JSON.stringify({ steps, keep, version, os: Deno.build.os, arch: Deno.build.arch });
  const hash = createHash("sha256").update(all).digest("hex");
  return `${version}-${hash.slice(0, 16)}`;
}

async function carryOut(
  recipe: BuildRecipe,
  work: string,
  logFile: string,
  options: BuildOptions,
): Promise<void> {
  using log = await Deno.open(logFile, { create: true, write: true, truncate: true });
  for (const step of recipe.steps) {
    options.signal?.throwIfAborted();
    if ("write" in step) {
      const path = join(work, step.write);
      await Deno.mkdir(dirname(path), { recursive: true });
      await Deno.writeTextFile(path, step.text);
    } else if ("run" in step) {
      const cwd = join(work, step.in ?? ".");
      await runStep(step.run, { cwd, work, log, logFile, env: step.env ?? {} }, recipe, options);
    } else {
      await copyFromGoModule(step, { cwd: work, work, log, logFile, env: {} }, recipe, options);
    }
  }
}

interface StepPlace {
  cwd: string;
  work: string;
  log: Deno.FsFile;
  logFile: string;
  env: Readonly<Record<string, string>>;
}

/** Runs one command, all it prints going to the log; returns its standard output. */
async function runStep(
  command: readonly string[],
  place: StepPlace,
  recipe: BuildRecipe,
  options: BuildOptions,
): Promise<string> {
  const { stepTimeoutMs = 1_800_000, signal } = options;
  const [program = "", ...args] = command;
  const timeout = AbortSignal.timeout(stepTimeoutMs);
  await place.log.write(new TextEncoder().encode(`$ ${command.join(" ")}\n`));
  const output = await new Deno.Command(
    program.startsWith("./") ? join(place.cwd, program) : program,
    {
      args,
      cwd: place.cwd,
      // Tools that a step installs land in the build folder, never among the user's own.
      env: { CGO_ENABLED: "0", GOBIN: join(place.work, "bin"), GOWORK: "off", ...place.env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    },
  ).output();
  await place.log.write(output.stdout);
  await place.log.write(output.stderr);
  if (output.success) return new TextDecoder().decode(output.stdout);

  signal?.throwIfAborted();
  const why = timeout.aborted
    ? `took longer than ${stepTimeoutMs} ms`
    : `ended with code ${output.code}`;
  const printed = new TextDecoder().decode(output.stderr).trim() ||
    new TextDecoder().decode(output.stdout).trim();
  throw new BuildError(
    `Cannot build ${recipe.name} ${recipe.version}: '${command.join(" ")}' ${why}. ` +
      `Its last lines:\n${printed.split("\n").slice(-12).join("\n")}\nWhole log: ${place.logFile}`,
    place.logFile,
  );
}

async function copyFromGoModule(
  step: { copyFromGoModule: string; file: string; to: string },
  place: StepPlace,
  recipe: BuildRecipe,
  options: BuildOptions,
): Promise<void> {
  const command = ["go", "mod", "download", "-json", step.copyFromGoModule];
  const withoutSums = { ...place, env: { GOFLAGS: "-mod=mod" } };
  const answer: unknown = JSON.parse(await runStep(command, withoutSums, recipe, options));
  if (
    typeof answer !== "object" || answer === null || !("Dir" in answer) ||
    typeof answer.Dir !== "string"
  ) {
    throw new BuildError(
      `Cannot build ${recipe.name}: '${command.join(" ")}' named no folder`,
      place.logFile,
    );
  }
  // Read and write, not copy: files of the module cache are read-only and a copy would stay so.
  await Deno.writeFile(join(place.work, step.to), await Deno.readFile(join(answer.Dir, step.file)));
}

/** Removes build folders of builders that were killed; the caller holds the lock, so none is alive. */
async function removeLeftovers(folder: string): Promise<void> {
  for await (const entry of Deno.readDir(folder)) {
    if (entry.name.startsWith(WORK_PREFIX)) await removeTree(join(folder, entry.name));
  }
}

/** Moves what is kept into place in one rename, so that no reader sees half of it. */
async function keepOnly(recipe: BuildRecipe, work: string, result: string): Promise<void> {
  const kept = join(work, ".kept");
  for (const path of recipe.keep) {
    await Deno.mkdir(dirname(join(kept, path)), { recursive: true });
    await Deno.rename(join(work, path), join(kept, path));
  }
  await Deno.rename(kept, result);
}

async function removeTree(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function osCacheFolder(): string {
  const home = Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE");
  const folder = Deno.build.os === "windows"
    ? Deno.env.get("LOCALAPPDATA")
    : Deno.build.os === "darwin"
    ? home && join(home, "Library", "Caches")
    : Deno.env.get("XDG_CACHE_HOME") || (home && join(home, ".cache"));
  if (folder) return folder;
  throw new Error(
    "Cannot tell the cache folder as the environment names no home: set ORRERY_STACK_CACHE",
  );
}

function reportOnStderr(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`stack: ${line}\n`));
}
