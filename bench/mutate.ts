#!/usr/bin/env -S deno run --allow-read --allow-write --allow-run --allow-env
/**
 * Mutation testing: puts mistakes into files, one at a time, and says which of them their tests do not
 * notice. The mistakes are StrykerJS's, by its instrumenter: by the syntax tree, so that none lands in a
 * comment. Its own runner starts a process for each; `mutation/mutants.ts` tries many in one.
 *
 * ```sh
 * deno task mutate service/base64.ts           # by the unit tests that reach it
 * deno task mutate signer/work/audit_log.ts --tests signer/work/audit_log_test.ts signer/revocation_test.ts
 * ```
 *
 * By hand, not in `ok`: seconds to minutes a file. The last scores are in `bench/README.md`.
 *
 * @module
 */
import { commandLine, flag, parseInteger, parseNumber } from "../service/command_line.ts";
import { exists } from "../service/found_files.ts";
import { runCommand, StartError } from "../service/life_cycle.ts";
import { stdoutLines } from "../service/log.ts";
import { type Score, tryMutants } from "./mutation/mutants.ts";
import { testsOf } from "./mutation/tests_of.ts";

interface MutateOptions {
  tests?: string[] | undefined;
  concurrency: number;
  min: number;
}

async function mutate(files: readonly string[], options: MutateOptions): Promise<void> {
  const scores: Score[] = [];
  for (const file of files) {
    if (!await exists(file)) throw new StartError(`There is no ${file}`);
    const tests = options.tests ?? await testsOf(file);
    if (tests.length === 0) throw new StartError(`Name the tests of ${file} with --tests`);
    const score = await tryMutants(file, tests, options.concurrency);
    scores.push(score);
    for (const { location: { start }, mutatorName, replacement, isUncovered } of score.survived) {
      const shown = replacement.replace(/\s+/g, " ").slice(0, 100);
      const where = `${file}:${start.line + 1}:${start.column + 1}`;
      stdoutLines.write(
        `${where} survived${isUncovered ? " (no test)" : ""}: ${mutatorName} → ${shown}`,
      );
    }
    stdoutLines.write(shownScore(score));
    await stdoutLines.flush();
  }
  if (scores.length > 1) {
    stdoutLines.write(shownScore({
      file: "all",
      killed: scores.reduce((sum, { killed }) => sum + killed, 0),
      of: scores.reduce((sum, { of }) => sum + of, 0),
    }));
  }
  await stdoutLines.flush();
  const below = scores.filter(({ killed, of }) => percent(killed, of) < options.min);
  if (below.length > 0) {
    throw new StartError(`Below ${options.min} %: ${below.map(({ file }) => file).join(", ")}`);
  }
}

function shownScore({ file, killed, of }: Pick<Score, "file" | "killed" | "of">): string {
  return `${file}: ${killed} of ${of} mutants killed (${percent(killed, of)} %)`;
}

function percent(killed: number, of: number): number {
  return of === 0 ? 100 : Math.floor(killed / of * 1_000) / 10;
}

async function main(): Promise<void> {
  const command = commandLine({
    name: "mutate",
    summary: "Says which mistakes in a file its tests do not notice.",
    examples: [
      ["deno task mutate service/base64.ts", "by the unit tests that reach it"],
      ["deno task mutate a.ts --tests a_test.ts b_test.ts", "by these"],
    ],
  })
    .argument("<file...>", "the files to put mistakes into, from the project's root")
    .addOption(flag("--tests <file...>", "the tests that should notice"))
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
