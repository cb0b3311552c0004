/**
 * Runs the tests of some files for one mutant after the other in one process: a start of Deno, and of all
 * that tests import, would take a hundred times as long as most tests. A program of its own, so that what
 * loops or ends the process costs no more than itself: `mutants.ts` begins a new one behind it.
 *
 * ```sh
 * deno run -A --no-check bench/mutation/driver.ts plan.json
 * ```
 *
 * @module
 */
import { pathToFileURL } from "node:url";
import { definitionOf } from "../../service/testing/test_definition.ts";
import type { Coverage, Plan, PlannedMutant, Report } from "./plan.ts";

/** After so many mutants it is looked whether they have left something behind that fails tests. */
const cleanEvery = 25;
/** Its exit code where a test was late: what it waits for may come when the next mutant is tried. */
const lateExitCode = 3;

/** StrykerJS's switches, as its instrumented code reads them. */
interface Switches {
  activeMutant?: string | undefined;
  hitCount?: number;
  hitLimit?: number;
  currentTestId?: string | undefined;
  mutantCoverage?: { static: Record<string, number>; perTest: Record<string, Coverage> };
}

const switches: Switches = {};
Object.assign(globalThis, { __stryker__: switches });

/** Those that have been declared, in their order, and which file each is of. */
const tests: Deno.TestDefinition[] = [];
const fileOf: string[] = [];

function declare(...args: readonly unknown[]): void {
  tests.push(definitionOf(...args));
}

const noHook = () => {};
Object.defineProperty(Deno, "test", {
  value: Object.assign(declare, {
    ignore: noHook,
    only: declare,
    ...{ beforeAll: noHook, beforeEach: noHook, afterEach: noHook, afterAll: noHook },
  }),
});

/** Rejects with what nobody has caught, while a test runs. */
let uncaught = Promise.withResolvers<never>();

function onUncaught(event: ErrorEvent | PromiseRejectionEvent): void {
  event.preventDefault();
  uncaught.reject("reason" in event ? event.reason : event.error);
}
globalThis.addEventListener("error", onUncaught);
globalThis.addEventListener("unhandledrejection", onUncaught);

/** How a test has ended. */
interface Outcome {
  failure?: string;
  isLate?: boolean;
}

const { setTimeout, clearTimeout } = globalThis;

async function outcomeOf(test: Deno.TestDefinition, limitMs: number): Promise<Outcome> {
  if (test.ignore) return {};
  uncaught = Promise.withResolvers<never>();
  uncaught.promise.catch(() => {});
  const late = Promise.withResolvers<"late">();
  const timer = setTimeout(() => late.resolve("late"), limitMs);
  try {
    const run = Promise.resolve(test.fn(contextOf(test.name)));
    const first = await Promise.race([run, uncaught.promise, late.promise]);
    return first === "late" ? { failure: `not done within ${limitMs} ms`, isLate: true } : {};
  } catch (error) {
    return { failure: String(error).slice(0, 500) };
  } finally {
    clearTimeout(timer);
  }
}

/** Of a test's context its steps are used; one that fails, fails the test. */
function contextOf(name: string): Deno.TestContext {
  const step = async (...args: readonly unknown[]): Promise<boolean> => {
    const fn = args.find((one) => typeof one === "function") as Deno.TestStepDefinition["fn"];
    const given = args.find((one) => typeof one === "object") as Deno.TestStepDefinition;
    if (!given?.ignore) await (fn ?? given.fn)(contextOf(name));
    return true;
  };
  return { name, origin: "", step } as unknown as Deno.TestContext;
}

function report(path: string, line: Report): void {
  Deno.writeTextFileSync(path, `${JSON.stringify(line)}\n`, { append: true });
}

async function tryWithout(plan: Plan): Promise<void> {
  for (const [number, test] of tests.entries()) {
    switches.currentTestId = String(number);
    const began = performance.now();
    const { failure } = await outcomeOf(test, 120_000);
    const tookMs = performance.now() - began;
    report(plan.reports, { of: "test", file: fileOf[number]!, name: test.name, tookMs, failure });
  }
  switches.currentTestId = undefined;
  const { static: loading = {}, perTest = {} } = switches.mutantCoverage ?? {};
  report(plan.reports, { of: "coverage", loading, tests: perTest });
}

/** False where the process is of no more use. */
async function tryMutant(plan: Plan, mutant: PlannedMutant): Promise<boolean> {
  report(plan.reports, { of: "begin", id: mutant.id });
  for (const number of mutant.tests ?? tests.keys()) {
    const test = tests[number]!;
    report(plan.reports, { of: "alive" });
    Object.assign(switches, { activeMutant: mutant.id, hitCount: 0, hitLimit: mutant.maxHits });
    const { failure, isLate = false } = await outcomeOf(test, plan.limitsMs?.[number] ?? 60_000);
    if (failure === undefined) continue;
    report(plan.reports, { of: "end", id: mutant.id, killedBy: test.name, isLate });
    return !isLate;
  }
  report(plan.reports, { of: "end", id: mutant.id });
  return true;
}

async function lookWhetherClean(plan: Plan): Promise<boolean> {
  switches.activeMutant = "";
  for (const [number, test] of tests.entries()) {
    report(plan.reports, { of: "alive" });
    const { failure } = await outcomeOf(test, plan.limitsMs?.[number] ?? 60_000);
    if (failure === undefined) continue;
    report(plan.reports, { of: "clean", failure: `${test.name}: ${failure}` });
    return false;
  }
  report(plan.reports, { of: "clean" });
  return true;
}

async function main(): Promise<void> {
  const plan = JSON.parse(await Deno.readTextFile(Deno.args[0]!)) as Plan;
  const [only] = plan.mutants ?? [];
  // Alone, it is there while modules are loaded.
  if (only && plan.mutants?.length === 1) {
    Object.assign(switches, { activeMutant: only.id, hitCount: 0, hitLimit: only.maxHits });
    report(plan.reports, { of: "begin", id: only.id });
  }
  for (const file of plan.files) {
    await import(pathToFileURL(file).href);
    while (fileOf.length < tests.length) fileOf.push(file);
  }
  if (!plan.mutants) return await tryWithout(plan);
  for (const [number, mutant] of plan.mutants.entries()) {
    if (!await tryMutant(plan, mutant)) Deno.exit(lateExitCode);
    const isLast = number === plan.mutants.length - 1;
    const isDue = isLast || (number + 1) % cleanEvery === 0;
    if (isDue && plan.mutants.length > 1 && !await lookWhetherClean(plan)) return;
  }
}

await main();
// What tests or mistakes have left behind does not keep it.
Deno.exit(0);
