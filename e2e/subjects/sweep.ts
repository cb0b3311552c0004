#!/usr/bin/env -S deno run --allow-env=SWEEP_SUBJECTS_*
/**
 * Sweeps seeds over our own services in virtual time: the signer, and ping-pong.
 *
 * ```sh
 * deno task sweep:subjects --seeds 1..10000            # both
 * deno task sweep:subjects --subject signer --seeds 7..7 --log
 * ```
 *
 * @module
 */
import { InvalidArgumentError } from "commander";
import { commandLine, flag } from "../../service/command_line.ts";
import { runCommand, StartError } from "../../service/life_cycle.ts";
import { runPingpong } from "./pingpong_subject.ts";
import { runSigner } from "./signer_subject.ts";
import { sendFaults, type SubjectRun } from "./swarm.ts";

/** The services that are swept. */
export const subjects = { signer: runSigner, pingpong: runPingpong } as const;

/** One of {@linkcode subjects}. */
export type SubjectName = keyof typeof subjects;

/** What every sweep has to come to. */
const rarePaths: Readonly<Record<SubjectName, readonly string[]>> = {
  signer: [
    ...[...sendFaults, "crash", "restart", "outage", "met-outage", "rotate", "disk-full"],
    ...["ended-timeout", "ended-unavailable"],
  ],
  pingpong: [
    ...[...sendFaults, "crash", "outage", "open-refused", "open-lost", "open-unanswered"],
    ...["disconnected", "lost", "mode-bidi", "mode-datagram"],
  ],
};

/** Options of {@linkcode sweepSubject}. */
export interface SweepSubjectOptions {
  readonly subject: SubjectName;
  readonly from: number;
  readonly to: number;
  /** Notified of each run that does not hold, or of all with `isEvery`. */
  readonly onRun: (run: SubjectRun) => void;
}

/** What a sweep has found. */
export interface SubjectSweep {
  readonly seeds: number;
  readonly failed: number;
  /** Rare paths that no seed has come to. */
  readonly unreached: readonly string[];
}

/**
 * Runs the seeds of a range.
 *
 * @example
 * ```ts
 * await sweepSubject({ subject: "signer", from: 1, to: 500, onRun: ({ violations }) => {} });
 * ```
 */
export async function sweepSubject(options: SweepSubjectOptions): Promise<SubjectSweep> {
  const { subject, from, to, onRun } = options;
  const missing = new Set(rarePaths[subject]);
  let failed = 0;
  for (let seed = from; seed <= to; seed++) {
    const run = await subjects[subject]({ seed });
    for (const what of run.reached.keys()) missing.delete(what);
    if (run.violations.length > 0) failed++;
    onRun(run);
  }
  return { seeds: to - from + 1, failed, unreached: [...missing] };
}

interface Flags {
  subject: SubjectName | "all";
  seeds: { from: number; to: number };
  log?: true;
}

async function main({ subject, seeds, log }: Flags): Promise<void> {
  const names = subject === "all" ? Object.keys(subjects) as SubjectName[] : [subject];
  let failed = 0;
  for (const name of names) {
    const beganMs = performance.now();
    const found = await sweepSubject({
      subject: name,
      ...seeds,
      onRun: (run) => {
        if (log) { for (const line of run.log) say(line); }
        for (const violation of run.violations) say(`${name} seed ${run.seed}: ${violation}`);
        if (run.violations.length === 0) return;
        const again = `--subject ${name} --seeds ${run.seed}..${run.seed} --log`;
        say(`  again with: deno task sweep:subjects ${again}`);
      },
    });
    failed += found.failed;
    const seconds = ((performance.now() - beganMs) / 1_000).toFixed(1);
    say(`${name}: ${found.seeds} seeds, ${found.failed} failed, in ${seconds} s`);
    if (found.unreached.length > 0) say(`${name}: never reached: ${found.unreached.join(" ")}`);
  }
  if (failed > 0) throw new StartError(`${failed} seeds do not hold`);
}

function parseSeeds(text: string): { from: number; to: number } {
  const [, from, to] = /^(\d+)\.\.(\d+)$/.exec(text) ?? [];
  const range = { from: Number(from), to: Number(to) };
  if (from === undefined || range.to < range.from || range.to >= 2 ** 31) {
    throw new InvalidArgumentError("Give a range of seeds such as 1..10000.");
  }
  return range;
}

function say(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}

if (import.meta.main) {
  await runCommand(
    commandLine({
      name: "sweep-subjects",
      summary: "Sweeps seeds over the signer and ping-pong in virtual time.",
      examples: [
        ["deno task sweep:subjects --seeds 1..10000", "both, every night"],
        ["deno task sweep:subjects --subject signer --seeds 7..7 --log", "one run, each event"],
      ],
    })
      .addOption(
        flag("--subject <name>", "which").choices(["signer", "pingpong", "all"] as const)
          .default("all" as const),
      )
      .addOption(
        flag("--seeds <range>", "such as 1..10000").argParser(parseSeeds)
          .default({ from: 1, to: 500 }, "1..500"),
      )
      .addOption(flag("--log", "print what happens"))
      .action(main),
  );
}
