/**
 * `simulate sweep`, `simulate explore` and `simulate matrix`: many runs.
 *
 * @module
 */
import type { Command } from "@commander-js/extra-typings";
import { flag, parseInteger } from "../../service/command_line.ts";
import { realWorld } from "../../service/world/world.ts";
import { explore } from "../simulation/explore.ts";
import { findMatrix, seedsToFind } from "../simulation/matrix.ts";
import { faultKinds } from "../simulation/options.ts";
import { recordOf } from "../simulation/record.ts";
import { sweep } from "../simulation/sweep.ts";
import { type Failure, type SweepResult, unreached } from "../simulation/sweep_job.ts";
import {
  commandOf,
  givenBy,
  noSwarmFlag,
  optionsFlag,
  orderingFlag,
  ordersFlag,
  parseSeeds,
  parseShard,
  patternFlag,
  plantFlag,
  storeFlag,
  swarmFlag,
  type WorldFlags,
} from "./flags.ts";
import { codeOfViolations, type End, exitCodes, type Output, type OutputFlags } from "./output.ts";
import { writeRecord } from "./record_files.ts";

/** Adds `sweep`. */
export function addSweep(command: Command, output: Output, end: End): void {
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
    .addOption(swarmFlag())
    .addOption(noSwarmFlag())
    .addOption(optionsFlag())
    .addOption(flag("--json", "a line of JSON for each failure and for the whole"))
    .action(async (flags) => {
      const began = realWorld.monotonicMs();
      const given = await givenBy(flags);
      const result = await sweep({
        ...flags.seeds,
        ...(flags.shard && { shard: flags.shard }),
        plant: flags.plant,
        given,
        isSwarm: flags.swarm,
        workers: flags.workers ?? navigator.hardwareConcurrency,
        onFailure: (failure) => printFailure(failure, flags, output),
      });
      printSweep(result, (realWorld.monotonicMs() - began) / 1_000, flags, output);
      end(codeOfViolations(result.failures.flatMap(({ violations }) => violations)));
    });
}

/** Adds `explore`. */
export function addExplore(command: Command, output: Output, end: End): void {
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

/** Adds `matrix`. */
export function addMatrix(command: Command, output: Output, end: End): void {
  command.command("matrix").description("how often each planted bug is found, and by what")
    .addOption(
      flag("--seeds <range>", "seeds for each plant").argParser(parseSeeds)
        .default({ from: 1, to: 100 }, "1..100"),
    )
    .addOption(ordersFlag())
    .addOption(
      flag("--workers <number>", "worker threads (default: one for each core)")
        .argParser(parseInteger({ min: 1, max: 256 })),
    )
    .addOption(flag("--json", "a line of JSON for each plant"))
    .action(async ({ seeds, orders, workers, json }) => {
      let isWhole = true;
      for await (
        const row of findMatrix({
          ...seeds,
          given: { ...(orders !== undefined && { orders }) },
          workers: workers ?? navigator.hardwareConcurrency,
        })
      ) {
        const { plant: { number, mechanism, invariants: [named] }, rates } = row;
        const rate = rates[named!] ?? 0;
        isWhole &&= number === 0 ? Object.keys(rates).length === 0 : rate > 0;
        if (json) output.line(JSON.stringify({ plant: number, named, rates }));
        else {
          const others = Object.entries(rates).filter(([name]) => name !== named)
            .map(([name, share]) => `${name} ${percent(share!)}`).join(", ");
          const found = named === undefined
            ? "nothing planted"
            : `${named} ${percent(rate)}, ${seedsToFind(rate)} seeds to 99 %`;
          const also = others === "" ? "" : `; also ${others}`;
          output.line(`${String(number).padStart(2)} ${mechanism}: ${found}${also}`);
        }
        output.flush();
      }
      end(isWhole ? exitCodes.pass : exitCodes.safety);
    });
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

function printFailure(
  { seed, violations }: Failure,
  flags: WorldFlags & OutputFlags,
  output: Output,
): void {
  const again = commandOf(seed, flags);
  if (flags.json) output.line(JSON.stringify({ seed, violations, again }));
  else {
    for (const { invariant, text } of violations) {
      output.line(`seed ${seed}: ${invariant}: ${text}`);
    }
    output.line(`  again with: ${again}`);
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
