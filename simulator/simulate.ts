#!/usr/bin/env -S deno run --v8-flags=--max-semi-space-size=8 --allow-read --allow-write --allow-env=SIMULATE_*
/**
 * Runs orders through two backends in virtual time, under faults that are drawn from a seed, and
 * judges what has become of them.
 *
 * ```sh
 * deno task simulate run --seed 7              # one run, a line an event, the log's hash at the end
 * deno task simulate sweep --seeds 1..10000    # many, on all cores
 * deno task simulate run --seed 8 --plant 14 --record failure.json
 * deno task simulate shrink failure.json --output small.json
 * deno task simulate replay small.json
 * ```
 *
 * Exit codes: 0 everything holds, 1 something bad has happened (safety), 2 something good has not
 * (liveness), 3 wrong use.
 *
 * @module
 */
import type { Command } from "@commander-js/extra-typings";
import { CommanderError, InvalidArgumentError } from "commander";
import { commandLine, flag, parseInteger } from "../service/command_line.ts";
import { stderrLines } from "../service/log.ts";
import type { Violation } from "./simulation/invariants.ts";
import { drawOptions, faultKinds, type RunOptions } from "./simulation/options.ts";
import { inputOf, parseRecord, recordOf, type RunRecord } from "./simulation/record.ts";
import { type RunInput, type RunResult, runSimulation } from "./simulation/run.ts";
import { shrink } from "./simulation/shrink.ts";
import { sweep } from "./simulation/sweep.ts";
import { type Failure, type SweepResult, unreached } from "./simulation/sweep_job.ts";
import { explore } from "./simulation/explore.ts";
import { explain } from "./simulation/why.ts";
import { type InvariantName, plants } from "./topology/plants.ts";

/** Exit codes, by what has happened. */
const exitCodes = { pass: 0, safety: 1, liveness: 2, usage: 3 } as const;

/** A reason for which a command cannot do its work, for people. */
class UsageError extends Error {
  override name = "UsageError";
}

interface WorldFlags {
  plant: number;
  orders?: number;
  pattern?: RunOptions["pattern"];
  ordering?: RunOptions["ordering"];
  store?: RunOptions["profile"];
}

interface OutputFlags {
  json?: true;
  quiet?: true;
}

async function main(): Promise<void> {
  const output = new Output();
  let exitCode: number = exitCodes.pass;
  const command = rootCommand();
  addRun(command, output, (code) => exitCode = code);
  addSweep(command, output, (code) => exitCode = code);
  addReplay(command, output, (code) => exitCode = code);
  addShrink(command, output);
  addWhy(command, output);
  addExplore(command, output, (code) => exitCode = code);
  try {
    await command.parseAsync(Deno.args, { from: "user" });
  } catch (error) {
    exitCode = codeOf(error);
  }
  output.flush();
  await stderrLines.flush();
  Deno.exit(exitCode);
}

function codeOf(error: unknown): number {
  if (error instanceof CommanderError) {
    return error.exitCode === 0 ? exitCodes.pass : exitCodes.usage;
  }
  if (!(error instanceof UsageError)) throw error;
  stderrLines.write(`simulate: ${error.message}`);
  return exitCodes.usage;
}

function rootCommand(): Command {
  const command = commandLine({
    name: "simulate",
    summary: "Runs orders through two backends in virtual time, under faults drawn from a seed.",
    examples: [
      ["deno task simulate run --seed 7", "one run; the last line is the hash of its event log"],
      ["deno task simulate run --seed 7 --check-determinism", "twice, compared line by line"],
      ["deno task simulate sweep --seeds 1..10000", "many runs, on all cores"],
      ["deno task simulate sweep --seeds 1..500 --plant 14", "with a bug planted"],
      ["deno task simulate replay failure.json", "a recorded run again"],
      ["deno task simulate shrink failure.json", "as few decisions as it takes to fail"],
      ["deno task simulate explore --faults 1", "every fault at every call of two orders"],
      ["deno task simulate why small.json", "the event after which it was bound to fail"],
    ],
  });
  // Sub-commands take this over: exit codes here are not those of other programs.
  return command.exitOverride() as Command;
}

const seedFlag = () =>
  flag("--seed <number>", "what the run follows from").argParser(
    parseInteger({ max: 2 ** 31 - 1 }),
  );

const plantFlag = () =>
  flag("--plant <number>", `bug to plant, 1 to ${plants.length}; 0 is none`)
    .argParser(parseInteger({ max: plants.length })).default(0);

const ordersFlag = () =>
  flag("--orders <number>", "orders that are placed (default: 40)")
    .argParser(parseInteger({ min: 1, max: 100_000 }));

const patternFlag = () =>
  flag("--pattern <name>", "how backends send (default: outbox)")
    .choices(["outbox", "dual-write", "fire-and-forget"] as const);

const orderingFlag = () =>
  flag("--ordering <name>", "what the order of a key rests on (default: drawn)")
    .choices(["queue", "sequence"] as const);

const storeFlag = () =>
  flag("--store <profile>", "what stores are like (default: drawn)")
    .choices(["one-writer", "mvcc"] as const);

function givenBy({ orders, pattern, ordering, store }: WorldFlags): Partial<RunOptions> {
  return {
    ...(orders !== undefined && { orders }),
    ...(pattern && { pattern }),
    ...(ordering && { ordering }),
    ...(store && { profile: store }),
  };
}

type End = (exitCode: number) => void;

function addRun(command: Command, output: Output, end: End): void {
  command.command("run").description("run one seed")
    .addOption(seedFlag().makeOptionMandatory())
    .addOption(plantFlag())
    .addOption(ordersFlag())
    .addOption(patternFlag())
    .addOption(orderingFlag())
    .addOption(storeFlag())
    .addOption(flag("--check-determinism", "run twice and compare the event logs"))
    .addOption(flag("--record <file>", "keep what the run decided, for replay and shrink"))
    .addOption(flag("--json", "a line of JSON for the options, each event and the verdict"))
    .addOption(flag("--quiet", "leave out the events"))
    .action(async (flags) => {
      const { seed, plant } = flags;
      const input = { seed, plant, given: givenBy(flags), record: flags.record !== undefined };
      if (flags.checkDeterminism) return end(checkDeterminism(input, output));
      const result = printRun(input, flags, output);
      if (flags.record !== undefined) await writeRecord(flags.record, recordOf(result, true));
      end(codeOfViolations(result.violations));
    });
}

function addSweep(command: Command, output: Output, end: End): void {
  command.command("sweep").description("run many seeds, on all cores")
    .addOption(
      flag("--seeds <range>", "such as 1..10000").argParser(parseSeeds).makeOptionMandatory(),
    )
    .addOption(
      flag("--shard <i/n>", "every n-th seed only, from the i-th (0 to n-1) of them")
        .argParser(parseShard),
    )
    .addOption(
      flag("--workers <number>", "worker threads (default: one for each core)")
        .argParser(parseInteger({ min: 1, max: 256 })),
    )
    .addOption(plantFlag())
    .addOption(ordersFlag())
    .addOption(patternFlag())
    .addOption(orderingFlag())
    .addOption(storeFlag())
    .addOption(flag("--json", "a line of JSON for each failure and for the whole"))
    .action(async (flags) => {
      const began = performance.now();
      const given = givenBy(flags);
      const result = await sweep({
        ...flags.seeds,
        ...(flags.shard && { shard: flags.shard }),
        plant: flags.plant,
        given,
        workers: flags.workers ?? navigator.hardwareConcurrency,
        onFailure: (failure) => printFailure(failure, flags, output),
      });
      printSweep(result, (performance.now() - began) / 1_000, flags, output);
      end(codeOfViolations(result.failures.flatMap(({ violations }) => violations)));
    });
}

function addReplay(command: Command, output: Output, end: End): void {
  command.command("replay").description("run a recorded run again")
    .argument("<file>", "what run --record or shrink has written")
    .addOption(flag("--json", "a line of JSON for the options, each event and the verdict"))
    .addOption(flag("--quiet", "leave out the events"))
    .action(async (file, flags) => {
      const record = await readRecord(file);
      const result = printRun(inputOf(record), flags, output);
      // A live run has no hash: its time was real.
      if (record.hash !== "" && result.hash !== record.hash) {
        stderrLines.write(`simulate: the record says ${record.hash}: another version has made it`);
      }
      end(codeOfViolations(result.violations));
    });
}

function addShrink(command: Command, output: Output): void {
  command.command("shrink").description("make a recorded failure as small as it gets")
    .argument("<file>", "what run --record has written")
    .addOption(flag("--output <file>", "where the small record goes (default: stdout)"))
    .addOption(
      flag("--max-executions <number>", "runs to try at most")
        .argParser(parseInteger({ min: 1, max: 1_000_000 })).default(500),
    )
    .action(async (file, flags) => {
      const record = await readRecord(file);
      const invariant = invariantOf(record, file);
      const { maxExecutions } = flags;
      const small = shrink(record, { maxExecutions, invariant });
      const [before, after] = [record, small.record].map(({ decisions, options }) =>
        `${decisions.length} decisions of ${options.orders} orders`
      );
      stderrLines.write(`${before} → ${after}, ${small.executions} executions`);
      if (flags.output === undefined) output.line(JSON.stringify(small.record, null, 2));
      else {
        await writeRecord(flags.output, small.record);
        stderrLines.write(`deno task simulate replay ${flags.output}`);
      }
    });
}

function addExplore(command: Command, output: Output, end: End): void {
  command.command("explore").description("every fault, and every pair of faults, at every call")
    .addOption(
      flag("--orders <number>", "orders that are placed")
        .argParser(parseInteger({ min: 1, max: 100 })).default(2),
    )
    .addOption(
      flag("--faults <number>", "faults at once, 1 or 2")
        .argParser(parseInteger({ min: 1, max: 2 })).default(2),
    )
    .addOption(plantFlag())
    .addOption(patternFlag())
    .addOption(storeFlag())
    .addOption(flag("--record <file>", "keep the smallest failure"))
    .addOption(flag("--json", "as JSON"))
    .action(async ({ orders, faults, plant, pattern, store, record, json }) => {
      const given = { ...(pattern && { pattern }), ...(store && { profile: store }) };
      const found = explore({ orders, faults: faults === 1 ? 1 : 2, plant, given });
      const { runs: [, single, pairs], calls, failures } = found;
      const shown = failures.map(({ input, result: { violations } }) => ({
        decisions: input.replay!,
        violations,
      }));
      if (json) output.line(JSON.stringify({ calls, single, pairs, failures: shown }));
      else {
        for (const { decisions, violations } of shown) {
          const words = decisions.map(([name, kind]) => `${name} ${faultKinds[kind - 1]}`);
          output.line(`${words.join(", ")}: ${violations.map((one) => one.text).join("; ")}`);
        }
        output.line(
          `${calls} calls: ${single} single faults and ${pairs} pairs covered, ` +
            `${failures.length} failed`,
        );
      }
      const [smallest] = failures;
      if (record !== undefined && smallest !== undefined) {
        await writeRecord(record, recordOf(smallest.result, false));
      }
      end(codeOfViolations(failures.flatMap(({ result }) => result.violations)));
    });
}

/** What a record is kept for: what its plant is to be noticed by, else what was broken first. */
function invariantOf({ plant, invariants }: RunRecord, file: string): InvariantName {
  const named = plants.find(({ number }) => number === plant)?.invariants;
  const invariant = named?.find((name) => invariants.includes(name)) ?? invariants[0];
  if (invariant === undefined) throw new UsageError(`${file} is of a run that holds`);
  return invariant;
}

function addWhy(command: Command, output: Output): void {
  command.command("why").description("at which event a recorded failure was bound to come")
    .argument("<file>", "what run --record or shrink has written")
    .addOption(
      flag("--instants <number>", "instants from which the future is drawn anew")
        .argParser(parseInteger({ min: 2, max: 10_000 })).default(40),
    )
    .addOption(
      flag("--rolls <number>", "futures drawn from each")
        .argParser(parseInteger({ min: 1, max: 100_000 })).default(50),
    )
    .addOption(flag("--json", "as JSON"))
    .action(async (file, { instants, rolls, json }) => {
      const record = await readRecord(file);
      const invariant = invariantOf(record, file);
      const found = explain(record, { instants, rolls, invariant });
      if (json) return output.line(JSON.stringify(found));
      for (const { atMs, probability } of found.instants) {
        const percent = `${Math.round(probability * 100)} %`.padStart(5);
        const bar = "#".repeat(Math.round(probability * 50));
        output.line(`${(atMs / 1_000).toFixed(3).padStart(9)} s ${percent} ${bar}`.trimEnd());
      }
      const [before, after] = found.jump.map(({ atMs }) => (atMs / 1_000).toFixed(3));
      output.line(`${found.invariant}: most is decided between ${before} s and ${after} s`);
      for (const line of found.lines) output.line(line);
    });
}

/** Runs and prints: the options drawn, the events, the verdict, and the hash as the last line. */
function printRun(input: RunInput, { json, quiet }: OutputFlags, output: Output): RunResult {
  const options = optionsOf(input);
  output.line(json ? JSON.stringify({ options }) : `options ${JSON.stringify(options)}`);
  const onLine = (line: string) => output.line(json ? JSON.stringify(eventOf(line)) : line);
  const result = runSimulation({ ...input, ...(!quiet && { onLine }) });
  printVerdict(result, json === true, input, output);
  output.line(result.hash);
  return result;
}

function optionsOf({ seed, plant = 0, given = {} }: RunInput): Record<string, unknown> {
  return { seed, plant, ...drawOptions({ seed, given }) };
}

function printVerdict(result: RunResult, json: boolean, input: RunInput, output: Output): void {
  const { verdict, violations, events, lines, virtualMs } = result;
  if (json) {
    output.line(JSON.stringify({ verdict, violations, events, lines, virtualMs }));
    return;
  }
  for (const { invariant, kind, atMs, text } of violations) {
    output.line(`${kind.toUpperCase()} ${invariant} at ${(atMs / 1_000).toFixed(3)} s: ${text}`);
  }
  const seconds = (virtualMs / 1_000).toFixed(1);
  output.line(`verdict ${verdict}: ${events} events, ${lines} lines, ${seconds} s of virtual time`);
  if (violations.length > 0 && input.replay === undefined) {
    output.line(`again with: ${commandOf(result.seed, result.plant, input.given ?? {})}`);
  }
}

/** What replays a seed. */
function commandOf(seed: number, plant: number, given: Partial<RunOptions>): string {
  const words = [`deno task simulate run --seed ${seed}`];
  if (plant > 0) words.push(`--plant ${plant}`);
  if (given.orders !== undefined) words.push(`--orders ${given.orders}`);
  if (given.pattern !== undefined) words.push(`--pattern ${given.pattern}`);
  if (given.ordering !== undefined) words.push(`--ordering ${given.ordering}`);
  if (given.profile !== undefined) words.push(`--store ${given.profile}`);
  return words.join(" ");
}

function eventOf(line: string): Record<string, string | number> {
  const [, us, event, part, subject, detail] = /^ *(\d+) (\S+) +(\S+) +(\S*) *(.*)$/.exec(line)!;
  return { atUs: Number(us), event: event!, part: part!, subject: subject!, detail: detail! };
}

/** Runs twice; says which event differs first. */
function checkDeterminism(input: RunInput, output: Output): number {
  const logs = [0, 1].map(() => {
    const lines: string[] = [];
    const { hash } = runSimulation({ ...input, onLine: (line) => lines.push(line) });
    return { lines, hash };
  });
  const [first, second] = logs as [typeof logs[0], typeof logs[0]];
  const at = first.lines.findIndex((line, index) => line !== second.lines[index]);
  if (first.hash === second.hash && at < 0) {
    output.line(`the same ${first.lines.length} lines twice`);
    output.line(first.hash);
    return exitCodes.pass;
  }
  output.line(`line ${at + 1} differs:`);
  output.line(`  ${first.lines[at] ?? "(none)"}`);
  output.line(`  ${second.lines[at] ?? "(none)"}`);
  output.line(first.hash);
  return exitCodes.safety;
}

function printFailure(
  { seed, violations }: Failure,
  flags: WorldFlags & OutputFlags,
  output: Output,
): void {
  if (flags.json) output.line(JSON.stringify({ seed, violations }));
  else {
    for (const { invariant, text } of violations) {
      output.line(`seed ${seed}: ${invariant}: ${text}`);
    }
    output.line(`  again with: ${commandOf(seed, flags.plant, givenBy(flags))}`);
  }
  output.flush();
}

function printSweep(
  result: SweepResult,
  seconds: number,
  { json }: OutputFlags,
  output: Output,
): void {
  const { seeds, failures, events, virtualMs } = result;
  const missed = unreached(result);
  if (json) {
    const failed = failures.length;
    output.line(JSON.stringify({ seeds, failed, events, virtualMs, seconds, unreached: missed }));
    return;
  }
  const perSecond = Math.round(events / seconds).toLocaleString("en");
  const faster = Math.round(virtualMs / 1_000 / seconds).toLocaleString("en");
  output.line(
    `${seeds} seeds, ${failures.length} failed, in ${seconds.toFixed(1)} s: ` +
      `${perSecond} events/s, ${faster} × real time`,
  );
  const all = "every rare path was reached";
  output.line(missed.length === 0 ? all : `never reached: ${missed.join(" ")}`);
}

function codeOfViolations(violations: readonly Violation[]): number {
  if (violations.length === 0) return exitCodes.pass;
  return violations.some(({ kind }) => kind === "safety") ? exitCodes.safety : exitCodes.liveness;
}

function parseSeeds(text: string): { from: number; to: number } {
  const [, from, to] = /^(\d+)\.\.(\d+)$/.exec(text) ?? [];
  const range = { from: Number(from), to: Number(to) };
  if (from === undefined || range.to < range.from || range.to >= 2 ** 31) {
    throw new InvalidArgumentError("Give a range of seeds such as 1..10000.");
  }
  return range;
}

function parseShard(text: string): { index: number; count: number } {
  const [, index, count] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  const shard = { index: Number(index), count: Number(count) };
  if (index === undefined || shard.index >= shard.count) {
    throw new InvalidArgumentError("Give the shard and their number such as 0/4.");
  }
  return shard;
}

async function readRecord(file: string): Promise<RunRecord> {
  try {
    return parseRecord(await Deno.readTextFile(file));
  } catch (error) {
    throw new UsageError(`Cannot read ${file}: ${(error as Error).message}`);
  }
}

async function writeRecord(file: string, record: RunRecord): Promise<void> {
  try {
    await Deno.writeTextFile(file, JSON.stringify(record, null, 2) + "\n");
  } catch (error) {
    throw new UsageError(`Cannot write ${file}: ${(error as Error).message}`);
  }
}

/** Stdout in large pieces: a system call a line would cost more than the event. */
class Output {
  readonly #encoder = new TextEncoder();
  #text = "";

  line(line: string): void {
    this.#text += line + "\n";
    if (this.#text.length > 65_536) this.flush();
  }

  flush(): void {
    let bytes = this.#encoder.encode(this.#text);
    this.#text = "";
    try {
      while (bytes.length > 0) bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
    } catch (error) {
      // Whoever reads has had enough, as `head` has; the exit code is still of use.
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    }
  }
}

if (import.meta.main) await main();
