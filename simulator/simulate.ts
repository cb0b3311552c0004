#!/usr/bin/env -S deno run --v8-flags=--max-semi-space-size=16,--single-threaded-gc,--no-memory-pool,--no-incremental-marking,--heap-growing-percent=30,--no-maglev-destroy-on-background --allow-net --allow-read --allow-write --allow-env=OTEL_*,SIMULATE_*
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
 * (liveness) or the run was stopped before it could be judged, 3 wrong use.
 *
 * @module
 */
import type { Command } from "@commander-js/extra-typings";
import { CommanderError } from "commander";
import { commandLine } from "../service/command_line.ts";
import { stderrLines } from "../service/log.ts";
import { addShrink, addWhy } from "./simulate/failure_commands.ts";
import { exitCodes, Output, UsageError } from "./simulate/output.ts";
import { addReplay, addRun } from "./simulate/run_commands.ts";
import { addExplore, addMatrix, addSweep } from "./simulate/search_commands.ts";
import { inSweepWorker } from "./simulation/sweep_worker.ts";

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
  addMatrix(command, output, (code) => exitCode = code);
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
      ["deno task simulate run --seed 7 --orders 3 --export mermaid", "a sequence diagram"],
      [
        "deno task simulate run --seed 7 --otlp-endpoint http://127.0.0.1:4318",
        "each order as a trace, for the console",
      ],
      ["deno task simulate matrix --seeds 1..100", "how often each planted bug is found"],
      ["deno task simulate why small.json", "the event after which it was bound to fail"],
    ],
  });
  // Sub-commands take this over: exit codes here are not those of other programs.
  return command.exitOverride() as Command;
}

if (import.meta.main && !inSweepWorker) await main();
