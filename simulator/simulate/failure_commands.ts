/**
 * `simulate shrink` and `simulate why`: what a recorded failure comes from.
 *
 * @module
 */
import type { Command } from "@commander-js/extra-typings";
import { flag, parseInteger } from "../../service/command_line.ts";
import { stderrLines } from "../../service/log.ts";
import { shrink } from "../simulation/shrink.ts";
import { shrinkValues } from "../simulation/shrink_values.ts";
import { explain } from "../simulation/why.ts";
import type { Output } from "./output.ts";
import { invariantOf, readRecord, writeRecord } from "./record_files.ts";

/** Adds `shrink`. */
export function addShrink(command: Command, output: Output): void {
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
      const small = shrink(record, { maxExecutions, invariant, shrinkValues });
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

/** Adds `why`. */
export function addWhy(command: Command, output: Output): void {
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
