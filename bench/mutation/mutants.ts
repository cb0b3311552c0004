/**
 * Tries the mistakes of a file: in a copy of the project, whose tests run in one process for many of them
 * (`driver.ts`), each only by the tests that come by it. What no test notices there is tried once more by
 * `deno test`, whose sanitizers notice what a mistake leaves open.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { StartError } from "../../service/life_cycle.ts";
import type { Instrumented, Mutant } from "./instrument.ts";
import type { Coverage, Plan, PlannedMutant, Report } from "./plan.ts";

/** By exact version; no dependencies of the project. */
const stryker = "npm:@stryker-mutator/instrumenter@9.6.1";
const injector = "npm:typed-inject@5.0.0";
/** What a test may take, however quick it was; and how much longer than without a mistake. */
const leastLimitMs = 4_000;
const slower = 10;
/** What loading the tests may take on a busy machine. */
const loadingMs = 60_000;
/** A process that then reports nothing for so long, and ten times what a test takes, loops. */
const silentMs = 10_000;
const pollMs = 100;
/** What the files take together by which `deno test` tries a mistake that no test has noticed. */
const confirmMs = 2_000;
/** What the tests take together by which a mistake is tried, the quickest first. */
const triedMs = 2_000;

/** What came of the mistakes of a file. */
export interface Score {
  file: string;
  killed: number;
  of: number;
  survived: readonly Survivor[];
}

/** A mistake that no test has noticed; `isUncovered`: no test comes by it. */
export interface Survivor extends Mutant {
  isUncovered: boolean;
}

/** A copy of the project with one file whose mistakes can be switched on. */
interface Sandbox {
  root: string;
  tests: readonly string[];
}

/** What is known of the tests without a mistake; of each by its number. */
interface Baseline {
  files: readonly string[];
  tookMs: readonly number[];
  loading: Coverage;
  perTest: Readonly<Record<string, Coverage>>;
}

/**
 * Tries all mistakes of `file` by `tests`.
 *
 * @param concurrency how many processes run tests at once
 * @throws {StartError} a test fails without any, or the file cannot be read
 */
export async function tryMutants(
  file: string,
  tests: readonly string[],
  concurrency: number,
): Promise<Score> {
  const root = await Deno.realPath(await Deno.makeTempDir({ prefix: "mutate-" }));
  try {
    await copyProject(root);
    const { text, mutants: all } = await instrument(file);
    await Deno.writeTextFile(join(root, file), text);
    const mutants = all.filter(({ status }) => status === undefined);
    const sandbox = { root, tests };
    const baseline = await baselineOf(sandbox);
    const survived = await survivorsOf(mutants, sandbox, baseline, concurrency);
    return { file, killed: mutants.length - survived.length, of: mutants.length, survived };
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

async function survivorsOf(
  mutants: readonly Mutant[],
  sandbox: Sandbox,
  baseline: Baseline,
  concurrency: number,
): Promise<Survivor[]> {
  const planned = mutants.map(({ id }) => planOf(id, baseline));
  const killed = new Set<string>();
  const alone = planned.filter(({ tests }) => tests === undefined);
  const together = planned.filter(({ tests }) => tests !== undefined && tests.length > 0);
  await eachOf(partsOf(together, concurrency), concurrency, async (part) => {
    const result = await tryTogether(part, sandbox, baseline);
    for (const id of result.killed) killed.add(id);
    alone.push(...result.doubtful);
  });
  await eachOf(alone, concurrency, async (mutant) => {
    if ((await runOnce([mutant], sandbox, baseline)).killed.has(mutant.id)) killed.add(mutant.id);
  });
  const unnoticed = planned.filter(({ id, tests }) => !killed.has(id) && tests?.length !== 0);
  await eachOf(unnoticed, concurrency, async ({ id, tests }) => {
    if (!await denoTestPasses(id, filesOf(tests, baseline), sandbox)) killed.add(id);
  });
  return mutants.flatMap((mutant, number) =>
    killed.has(mutant.id) ? [] : [{ ...mutant, isUncovered: planned[number]!.tests?.length === 0 }]
  );
}

/** What is met while modules are loaded needs a process of its own, and may concern any test. */
function planOf(id: string, { tookMs, loading, perTest }: Baseline): PlannedMutant {
  const covering = tookMs.flatMap((_, number) => perTest[number]?.[id] ? [number] : []);
  const hits = covering.reduce((sum, number) => sum + perTest[number]![id]!, loading[id] ?? 0);
  const maxHits = 1_000 + hits * 100;
  if (loading[id]) return { id, maxHits };
  let sumMs = 0;
  const tests = covering.toSorted((a, b) => tookMs[a]! - tookMs[b]!)
    .filter((number, place) => (sumMs += tookMs[number]!) < triedMs || place === 0);
  return { id, maxHits, tests };
}

/** What came of some mutants; `doubtful`: killed in a process that was broken by one before. */
interface Tried {
  killed: Set<string>;
  doubtful: PlannedMutant[];
}

/** In one process after the other: behind one that was ended by a mutant the next goes on. */
async function tryTogether(
  mutants: readonly PlannedMutant[],
  sandbox: Sandbox,
  baseline: Baseline,
): Promise<Tried> {
  const tried: Tried = { killed: new Set(), doubtful: [] };
  for (let rest = mutants; rest.length > 0;) {
    const { killed, doubtful, done } = await runOnce(rest, sandbox, baseline);
    if (done === 0) throw new StartError(`The tests of ${sandbox.tests.join(", ")} do not begin`);
    for (const id of killed) tried.killed.add(id);
    tried.doubtful.push(...doubtful);
    rest = rest.slice(done);
  }
  return tried;
}

async function runOnce(
  mutants: readonly PlannedMutant[],
  sandbox: Sandbox,
  { tookMs }: Baseline,
): Promise<Tried & { done: number }> {
  const limitsMs = tookMs.map((ms) => Math.ceil(leastLimitMs + slower * ms));
  const reports = await runDriver(sandbox, { mutants, limitsMs }, Math.max(...limitsMs));
  const killed = new Set<string>();
  const byId = new Map(mutants.map((one) => [one.id, one]));
  const doubtful: PlannedMutant[] = [];
  let begun = "";
  let sinceClean: string[] = [];
  for (const one of reports) {
    if (one.of === "begin") begun = one.id;
    if (one.of === "end") {
      begun = "";
      if (one.killedBy !== undefined) {
        killed.add(one.id);
        sinceClean.push(one.id);
      }
    }
    if (one.of === "clean") {
      for (const id of one.failure === undefined ? [] : sinceClean) {
        killed.delete(id);
        doubtful.push(byId.get(id)!);
      }
      sinceClean = [];
    }
  }
  // It has ended the process, or it had to be ended.
  if (begun !== "") killed.add(begun);
  const done = new Set(reports.flatMap((one) => one.of === "begin" ? [one.id] : [])).size;
  return { killed, doubtful, done };
}

async function baselineOf(sandbox: Sandbox): Promise<Baseline> {
  const reports = await runDriver(sandbox, {}, 120_000);
  const tests = reports.filter((one) => one.of === "test");
  const failed = tests.filter(({ failure }) => failure !== undefined);
  const coverage = reports.find((one) => one.of === "coverage");
  if (failed.length > 0 || !coverage) {
    const what = failed.map(({ file, name, failure }) => `${file} ${name}: ${failure}`).join("; ");
    throw new StartError(`Tests fail without any mistake. ${what || "They do not end."}`);
  }
  return {
    files: tests.map(({ file }) => file),
    tookMs: tests.map(({ tookMs }) => tookMs),
    loading: coverage.loading,
    perTest: coverage.tests,
  };
}

/** Runs the driver to its end, or until it has said nothing for too long. */
async function runDriver(
  { root, tests }: Sandbox,
  plan: Omit<Plan, "files" | "reports">,
  longestMs: number,
): Promise<Report[]> {
  const folder = await Deno.makeTempDir({ dir: root });
  const reports = join(folder, "reports.jsonl");
  await Deno.writeTextFile(reports, "");
  const full: Plan = { ...plan, files: tests.map((path) => join(root, path)), reports };
  const planFile = join(folder, "plan.json");
  await Deno.writeTextFile(planFile, JSON.stringify(full));
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "bench/mutation/driver.ts", planFile],
    cwd: root,
    ...{ stdin: "null", stdout: "null", stderr: "null" },
  }).spawn();
  let hasEnded = false;
  const ended = child.status.then(() => hasEnded = true);
  let size = 0;
  let silentSinceMs = performance.now();
  while (!hasEnded) {
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, pollMs))]);
    const now = (await Deno.stat(reports)).size;
    if (now !== size) silentSinceMs = performance.now();
    size = now;
    const mostMs = (size === 0 ? loadingMs : silentMs) + longestMs;
    if (!hasEnded && performance.now() - silentSinceMs > mostMs) {
      child.kill("SIGKILL");
      await ended;
    }
  }
  const lines = (await Deno.readTextFile(reports)).split("\n").filter((line) => line !== "");
  await Deno.remove(folder, { recursive: true });
  return lines.map((line) => JSON.parse(line) as Report);
}

/** The files of tests, the quickest first, as far as they take no longer than it is worth. */
function filesOf(
  tests: readonly number[] | undefined,
  { files, tookMs }: Baseline,
): readonly string[] {
  const fileTookMs = new Map<string, number>();
  for (const [number, file] of files.entries()) {
    fileTookMs.set(file, (fileTookMs.get(file) ?? 0) + tookMs[number]!);
  }
  const theirs = new Set((tests ?? [...files.keys()]).map((number) => files[number]!));
  let sumMs = 0;
  return [...theirs].sort((a, b) => fileTookMs.get(a)! - fileTookMs.get(b)!)
    .filter((file, place) => (sumMs += fileTookMs.get(file)!) < confirmMs || place === 0);
}

async function denoTestPasses(
  id: string,
  tests: readonly string[],
  { root }: Sandbox,
): Promise<boolean> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", "-q", "--fail-fast", ...tests],
    cwd: root,
    env: { __STRYKER_ACTIVE_MUTANT__: id },
    ...{ stdin: "null", stdout: "null", stderr: "null" },
    signal: AbortSignal.timeout(120_000),
  }).output();
  return success;
}

/** What a test can need: all of the working tree that is not ignored, and what is built. */
async function copyProject(root: string): Promise<void> {
  const { stdout, success } = await new Deno.Command("git", {
    args: ["ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    ...{ stdin: "null", stderr: "inherit" },
  }).output();
  if (!success) throw new StartError("git cannot say which files there are");
  const built = ["node_modules", "dist"];
  // Where these are links themselves, git takes them for files.
  const paths = new TextDecoder().decode(stdout).split("\0")
    .filter((path) => path !== "" && !built.includes(path));
  for (const folder of new Set(paths.map((path) => join(root, dirname(path))))) {
    await Deno.mkdir(folder, { recursive: true });
  }
  for (const path of paths) {
    try {
      await Deno.copyFile(path, join(root, path));
    } catch (error) {
      // Removed, and not yet committed.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  for (const folder of built) {
    await Deno.symlink(await Deno.realPath(folder), join(root, folder));
  }
}

async function instrument(file: string): Promise<Instrumented> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "-q", "--no-lock", "--no-config", "--node-modules-dir=none"].concat(
      [join(import.meta.dirname!, "instrument.ts"), file, stryker, injector],
    ),
    ...{ stdin: "piped", stdout: "piped", stderr: "inherit" },
  }).spawn();
  const written = new Response(await Deno.readTextFile(file)).body!.pipeTo(child.stdin);
  const [{ stdout, success }] = await Promise.all([child.output(), written]);
  if (!success) throw new StartError(`Stryker cannot put mistakes into ${file}`);
  return JSON.parse(new TextDecoder().decode(stdout)) as Instrumented;
}

function partsOf<T>(all: readonly T[], count: number): T[][] {
  const parts = Array.from({ length: count }, (): T[] => []);
  for (const [number, one] of all.entries()) parts[number % count]!.push(one);
  return parts;
}

async function eachOf<T>(
  all: readonly T[],
  concurrency: number,
  run: (one: T) => Promise<void>,
): Promise<void> {
  const rest = all.values();
  await Promise.all(Array.from({ length: concurrency }, async () => {
    for (const one of rest) await run(one);
  }));
}
