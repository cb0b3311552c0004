/**
 * `simulate run` and `simulate replay`: one run, printed, exported, or run twice and compared.
 *
 * @module
 */
import type { Command } from "@commander-js/extra-typings";
import { flag } from "../../service/command_line.ts";
import { stderrLines } from "../../service/log.ts";
import { compareRuns } from "../simulation/comparison.ts";
import type { LogEntry } from "../simulation/event_loop.ts";
import { type ExportForm, exportForms, exportLog } from "../simulation/exports/exports.ts";
import { drawOptions } from "../simulation/options.ts";
import { inputOf, recordOf } from "../simulation/record.ts";
import { type RunInput, type RunResult, runSimulation } from "../simulation/run.ts";
import {
  commandOf,
  givenBy,
  maxEventsFlag,
  noSwarmFlag,
  optionsFlag,
  orderingFlag,
  ordersFlag,
  patternFlag,
  plantFlag,
  seedFlag,
  storeFlag,
  swarmFlag,
} from "./flags.ts";
import { codeOfResult, type End, exitCodes, type Output, type OutputFlags } from "./output.ts";
import { otlpEndpointFlag, otlpEpochFlag, type OtlpFlags, withExport } from "./otlp_export.ts";
import { readRecord, writeRecord } from "./record_files.ts";

const exportFlag = () =>
  flag("--export <form>", "print the run in this form, and nothing else").choices(exportForms);

/** Adds `run`. */
export function addRun(command: Command, output: Output, end: End): void {
  command.command("run").description("run one seed")
    .addOption(seedFlag().makeOptionMandatory())
    .addOption(plantFlag())
    .addOption(ordersFlag())
    .addOption(patternFlag())
    .addOption(orderingFlag())
    .addOption(storeFlag())
    .addOption(swarmFlag())
    .addOption(noSwarmFlag())
    .addOption(optionsFlag())
    .addOption(
      flag("--check-determinism", "run twice and compare the event logs").conflicts("otlpEndpoint"),
    )
    .addOption(maxEventsFlag())
    .addOption(flag("--record <file>", "keep what the run decided, for replay and shrink"))
    .addOption(flag("--json", "a line of JSON for the options, each event and the verdict"))
    .addOption(flag("--quiet", "leave out the events"))
    .addOption(exportFlag())
    .addOption(otlpEndpointFlag())
    .addOption(otlpEpochFlag())
    .action(async (flags) => {
      const { seed, plant } = flags;
      const input = {
        seed,
        plant,
        given: await givenBy(flags),
        isSwarm: flags.swarm,
        record: flags.record !== undefined,
        ...(flags.maxEvents !== undefined && { maxEvents: flags.maxEvents }),
      };
      if (flags.checkDeterminism) return end(checkDeterminism(input, output));
      const result = await printRun(input, flags, output, commandOf(seed, flags));
      if (flags.record !== undefined) await writeRecord(flags.record, recordOf(result, true));
      end(codeOfResult(result));
    });
}

/** Adds `replay`. */
export function addReplay(command: Command, output: Output, end: End): void {
  command.command("replay").description("run a recorded run again")
    .argument("<file>", "what run --record or shrink has written")
    .addOption(flag("--json", "a line of JSON for the options, each event and the verdict"))
    .addOption(flag("--quiet", "leave out the events"))
    .addOption(exportFlag())
    .addOption(otlpEndpointFlag())
    .addOption(otlpEpochFlag())
    .action(async (file, flags) => {
      const record = await readRecord(file);
      const result = await printRun(inputOf(record), flags, output);
      // A live run has no hash: its time was real.
      if (record.hash !== "" && result.hash !== record.hash) {
        stderrLines.write(`simulate: the record says ${record.hash}: another version has made it`);
      }
      end(codeOfResult(result));
    });
}

/**
 * Runs and prints, and sends the spans where they are asked for.
 *
 * @param again what runs it again, by default nothing but a replay
 */
async function printRun(
  input: RunInput,
  flags: RunFlags,
  output: Output,
  again?: string,
): Promise<RunResult> {
  return await withExport(flags, (watch) => {
    const result = printOnly({ ...input, ...watch }, flags, output, again);
    // What is printed does not wait for what is sent.
    output.flush();
    return result;
  });
}

/** Runs and prints: the options drawn, the events, the verdict, and the hash as the last line. */
function printOnly(
  input: RunInput,
  flags: RunFlags,
  output: Output,
  again: string | undefined,
): RunResult {
  const { json, quiet } = flags;
  if (flags.export !== undefined) return printExport(input, flags.export, output);
  const options = optionsOf(input);
  output.line(json ? JSON.stringify({ options }) : `options ${JSON.stringify(options)}`);
  const onLine = (line: string) => output.line(json ? JSON.stringify(eventOf(line)) : line);
  const result = runSimulation({ ...input, ...(!quiet && { onLine }) });
  printVerdict(result, json === true, again, output);
  output.line(result.hash);
  return result;
}

interface RunFlags extends OutputFlags, OtlpFlags {
  export?: ExportForm;
}

function printExport(input: RunInput, form: ExportForm, output: Output): RunResult {
  const entries: LogEntry[] = [];
  const result = runSimulation({
    ...input,
    onEntry: (entry) => {
      entries.push(entry);
      input.onEntry?.(entry);
    },
  });
  output.text(exportLog(entries, form));
  return result;
}

function optionsOf(
  { seed, plant = 0, given = {}, isSwarm = true }: RunInput,
): Record<string, unknown> {
  return { seed, plant, ...drawOptions({ seed, given, isSwarm }) };
}

function printVerdict(
  result: RunResult,
  json: boolean,
  again: string | undefined,
  output: Output,
): void {
  const { verdict, violations, events, lines, virtualMs } = result;
  if (json) {
    output.line(JSON.stringify({ verdict, violations, events, lines, virtualMs }));
    return;
  }
  for (const { invariant, kind, atMs, text } of violations) {
    output.line(`${kind.toUpperCase()} ${invariant} at ${(atMs / 1_000).toFixed(3)} s: ${text}`);
  }
  const seconds = (virtualMs / 1_000).toFixed(1);
  const stopped = verdict === "unknown" ? ", stopped before its end" : "";
  output.line(
    `verdict ${verdict}: ${events} events, ${lines} lines, ${seconds} s of virtual time${stopped}`,
  );
  if (violations.length > 0 && again !== undefined) output.line(`again with: ${again}`);
}

function eventOf(line: string): Record<string, string | number> {
  const [, us, event, part, subject, detail] = /^ *(\d+) (\S+) +(\S+) +(\S*) *(.*)$/.exec(line)!;
  return { atUs: Number(us), event: event!, part: part!, subject: subject!, detail: detail! };
}

/** Runs twice; says which event differs first. */
function checkDeterminism(input: RunInput, output: Output): number {
  const { lines, hash, difference } = compareRuns(input, runSimulation);
  if (difference === undefined) output.line(`the same ${lines} lines twice`);
  else {
    output.line(`event ${difference.event} differs, line ${difference.line}:`);
    for (const text of difference.texts) output.line(`  ${text ?? "(none)"}`);
  }
  output.line(hash);
  return difference === undefined ? exitCodes.pass : exitCodes.safety;
}
