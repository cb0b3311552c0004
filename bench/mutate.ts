#!/usr/bin/env -S deno run --allow-read --allow-write --allow-run --allow-env
/**
 * Mutation testing: puts mistakes into files, one at a time, and says which of them their tests do not
 * notice. By StrykerJS with its command runner, got by `npx` (Node 20 or newer): it writes the mistakes
 * by the syntax tree, so that none lands in a comment, and each is one run of the tests.
 *
 * ```sh
 * deno task mutate service/base64.ts                          # its tests: service/base64_test.ts
 * deno task mutate signer/work/audit_log.ts --tests signer/work/audit_log_test.ts signer/revocation_test.ts
 * ```
 *
 * It takes a run of the tests for each mistake, some 10 to 300 of a file: by hand, not in `ok`. The last
 * scores are in `bench/README.md`.
 *
 * @module
 */
import { join, relative } from "node:path";
import { commandLine, flag, parseInteger, parseNumber } from "../service/command_line.ts";
import { runCommand, StartError } from "../service/life_cycle.ts";
import { stdoutLines } from "../service/log.ts";

/** The newest that runs on Node 20. */
const stryker = "@stryker-mutator/core@9.6.1";

/** What Stryker's JSON report has of a mutant (mutation-testing-report-schema). */
interface Mutant {
  status: string;
  mutatorName: string;
  replacement?: string;
  location: { start: { line: number; column: number } };
}

/** What came of the mutants of a file. */
interface Score {
  file: string;
  killed: number;
  of: number;
  survived: Mutant[];
}

interface MutateOptions {
  tests?: string[] | undefined;
  concurrency: number;
  min: number;
}

async function mutate(files: readonly string[], options: MutateOptions): Promise<void> {
  const scores: Score[] = [];
  for (const file of files) {
    const tests = options.tests ?? [file.replace(/\.tsx?$/, "_test.ts")];
    for (const path of [file, ...tests]) await mustBeThere(path);
    const score = await scoreOf(file, tests, options.concurrency);
    scores.push(score);
    for (const { location, mutatorName, replacement = "" } of score.survived) {
      const shown = replacement.replace(/\s+/g, " ").slice(0, 80);
      stdoutLines.write(`${file}:${location.start.line} survived: ${mutatorName} → ${shown}`);
    }
  }
  for (const { file, killed, of } of scores) {
    stdoutLines.write(`${file}: ${killed} of ${of} mutants killed (${percent(killed, of)} %)`);
  }
  await stdoutLines.flush();
  const below = scores.filter(({ killed, of }) => percent(killed, of) < options.min);
  if (below.length > 0) {
    throw new StartError(`Below ${options.min} %: ${below.map(({ file }) => file).join(", ")}`);
  }
}

function percent(killed: number, of: number): number {
  return of === 0 ? 100 : Math.floor(killed / of * 1_000) / 10;
}

async function mustBeThere(path: string): Promise<void> {
  try {
    await Deno.stat(path);
  } catch {
    throw new StartError(`There is no ${path}. Name the tests of a file with --tests.`);
  }
}

async function scoreOf(
  file: string,
  tests: readonly string[],
  concurrency: number,
): Promise<Score> {
  const folder = await Deno.makeTempDir({ prefix: "mutate-" });
  try {
    const report = join(folder, "report.json");
    const config = join(folder, "stryker.json");
    const command = `deno test -A --no-check -q ${tests.map((path) => `'${path}'`).join(" ")}`;
    await Deno.writeTextFile(
      config,
      JSON.stringify({
        testRunner: "command",
        commandRunner: { command },
        mutate: [file],
        coverageAnalysis: "off",
        concurrency,
        // What is of no use to a test is not copied for each run.
        ignorePatterns: ["**"].concat(
          ["ts", "tsx", "json", "md", "yaml"].map((kind) => `!**/*.${kind}`),
          ["!deno.lock", "!dist/**", "node_modules"],
        ),
        // Deno looks at no types here; Stryker would rewrite all files, and cannot read some.
        disableTypeChecks: false,
        symlinkNodeModules: true,
        tempDirName: join(folder, "sandbox"),
        // A mutant that loops is killed at this much more than the tests take.
        timeoutMS: 30_000,
        reporters: ["json", "progress-append-only"],
        jsonReporter: { fileName: report },
        allowConsoleColors: false,
      }),
    );
    const { success } = await new Deno.Command("npx", {
      args: ["-y", "-p", stryker, "stryker", "run", config],
      stdin: "null",
      stdout: "inherit",
      stderr: "inherit",
    }).output();
    if (!success) throw new StartError(`Stryker could not try the mutants of ${file}.`);
    const { files } = JSON.parse(await Deno.readTextFile(report)) as {
      files: Record<string, { mutants: Mutant[] }>;
    };
    const mutants = Object.entries(files)
      .filter(([path]) => path === relative(".", file))
      .flatMap(([, { mutants }]) => mutants)
      .filter(({ status }) => status !== "Ignored" && status !== "CompileError");
    const survived = mutants.filter(({ status }) => status === "Survived");
    return { file, killed: mutants.length - survived.length, of: mutants.length, survived };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function main(): Promise<void> {
  const command = commandLine({
    name: "mutate",
    summary: "Says which mistakes in a file its tests do not notice.",
    examples: [
      ["deno task mutate service/base64.ts", "by its own tests, service/base64_test.ts"],
      ["deno task mutate a.ts --tests a_test.ts b_test.ts", "by these"],
    ],
  })
    .argument("<file...>", "the files to put mistakes into, from the project's root")
    .addOption(flag("--tests <file...>", "the tests that should notice (default: FILE_test.ts)"))
    .addOption(
      flag("--concurrency <count>", "runs of the tests at once")
        .argParser(parseInteger({ min: 1, max: 64 })).default(1),
    )
    .addOption(
      flag("--min <percent>", "fails below this score")
        .argParser(parseNumber({ min: 0, max: 100 })).default(0),
    )
    .action((files, options) => mutate(files, options));
  await runCommand(command);
}

if (import.meta.main) await main();
