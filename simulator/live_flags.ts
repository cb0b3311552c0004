/**
 * The flags of the live topology.
 *
 * @module
 */
import type { BusFlagValues } from "../service/bus/open_bus.ts";
import { flag, parseInteger, parseNumber } from "../service/command_line.ts";
import { parseFaultFlag } from "./live/faults.ts";
import type { LiveOptions } from "./live/live_service.ts";

/** The flags, each for one option of the live topology. */
export const liveFlags = {
  live: () =>
    flag("--live", "runs orders through two backends: POST /graphql, /api/live, /api/faults"),
  orderRate: () =>
    flag("--order-rate <n>", "with --live: orders a second that come by themselves")
      .argParser(parseNumber({ min: 0, max: 10_000 })).default(0),
  instances: () =>
    flag("--instances <n>", "with --live: instances of each relay, lambda and processor")
      .argParser(parseInteger({ min: 1, max: 3 })).default(2),
  keys: () =>
    flag("--keys <n>", "with --live: keys; orders of one key keep their order")
      .argParser(parseInteger({ min: 1, max: 64 })).default(8),
  pattern: () =>
    flag("--pattern <name>", "with --live: how messages get to the bus")
      .choices(["outbox", "dual-write", "fire-and-forget"] as const).default("outbox" as const),
  fault: () =>
    flag(
      "--fault <fault>",
      "with --live: point=2,kind=refuse,probability=0.3,min-duration=5s; may be repeated",
    ).argParser(parseFaultFlag),
  faults: () => flag("--faults <file>", "with --live: a file as PUT /api/faults takes it"),
  seed: () =>
    flag("--seed <n>", "with --live: what the chance of faults follows from (default: drawn)")
      .argParser(parseInteger({ min: 0, max: 2 ** 31 - 1 })),
  dataFolder: () =>
    flag("--data-folder <folder>", "with --live: keeps the stores (default: a temporary folder)"),
  databaseUrl: () =>
    flag("--database-url <url>", "with --live: PostgreSQL, in place of SQLite files"),
  databasePasswordFile: () =>
    flag("--database-password-file <file>", "with --live: the database's password, nothing else"),
  processes: () =>
    flag("--processes", "with --live: each part is a program of its own; needs deno run -A"),
  durability: () =>
    flag("--durability <what>", "with --live: what a commit to SQLite survives")
      .choices(["power-loss", "process-end"] as const).default("power-loss" as const),
  record: () =>
    flag("--record <file>", "with --live: writes what simulate replay takes, at the end"),
};

/** The flags' values. */
export interface LiveFlagValues
  extends Omit<LiveOptions, keyof BusFlagValues>, Omit<BusFlagValues, "maxMessageBytes"> {
  live?: boolean | undefined;
}

/** What the live topology is to be, where one is asked for. */
export function liveOptionsOf(flags: LiveFlagValues): LiveOptions | undefined {
  return flags.live ? flags : undefined;
}
