/**
 * Flags that several commands of `simulate` share.
 *
 * @module
 */
import { InvalidArgumentError } from "commander";
import { flag, parseInteger } from "../../service/command_line.ts";
import { checkOptions } from "../simulation/option_bounds.ts";
import type { RunOptions } from "../simulation/options.ts";
import { plants } from "../topology/plants.ts";
import { UsageError } from "./output.ts";

/** What a run is set to by hand. */
export interface WorldFlags {
  plant: number;
  orders?: number;
  pattern?: RunOptions["pattern"];
  ordering?: RunOptions["ordering"];
  store?: RunOptions["profile"];
  options?: string;
  swarm: boolean;
}

/** More take minutes and gigabytes. */
const maxOrders = 100_000;

/** `--seed`. */
export const seedFlag = () =>
  flag("--seed <number>", "what the run follows from").argParser(
    parseInteger({ max: 2 ** 31 - 1 }),
  );

/** `--plant`, 0 for none. */
export const plantFlag = () =>
  flag("--plant <number>", `bug to plant, 1 to ${plants.length}; 0 is none`)
    .argParser(parseInteger({ max: plants.length })).default(0);

/** `--orders`. */
export const ordersFlag = () =>
  flag("--orders <number>", "orders that are placed (default: 40)")
    .argParser(parseInteger({ min: 1, max: maxOrders }));

/** `--pattern`. */
export const patternFlag = () =>
  flag("--pattern <name>", "how backends send (default: outbox)")
    .choices(["outbox", "dual-write", "fire-and-forget"] as const);

/** `--ordering`. */
export const orderingFlag = () =>
  flag("--ordering <name>", "what the order of a key rests on (default: drawn)")
    .choices(["queue", "sequence"] as const);

/** `--store`. */
export const storeFlag = () =>
  flag("--store <profile>", "what stores are like (default: drawn)")
    .choices(["one-writer", "mvcc"] as const);

/** `--max-events`. */
export const maxEventsFlag = () =>
  flag("--max-events <number>", "stop after so many, judged or not (default: 20000000)")
    .argParser(parseInteger({ min: 1 }));

/** `--swarm`. */
export const swarmFlag = () =>
  flag("--swarm", "each kind of trouble is absent in half of the seeds").default(true);

/** `--no-swarm`. */
export const noSwarmFlag = () =>
  flag("--no-swarm", "each kind of trouble is there in every seed").env("SIMULATE_NO_SWARM");

/** `--options`. */
export const optionsFlag = () =>
  flag(
    "--options <file>",
    "what is not drawn, as JSON: rates of faults, instances, leases and more",
  );

/**
 * The options that the flags give; each weighs more than what stands in the file of `--options`.
 *
 * @throws {UsageError} the file cannot be read, or one of its options is none
 */
export async function givenBy(flags: WorldFlags): Promise<Partial<RunOptions>> {
  const { orders, pattern, ordering, store, options } = flags;
  return {
    ...(options !== undefined && await readOptions(options)),
    ...(orders !== undefined && { orders }),
    ...(pattern && { pattern }),
    ...(ordering && { ordering }),
    ...(store && { profile: store }),
  };
}

async function readOptions(file: string): Promise<Partial<RunOptions>> {
  try {
    return checkOptions(JSON.parse(await Deno.readTextFile(file)), maxOrders);
  } catch (error) {
    throw new UsageError(`Cannot use ${file}: ${(error as Error).message}`);
  }
}

/** Reads `1..10000`. */
export function parseSeeds(text: string): { from: number; to: number } {
  const [, from, to] = /^(\d+)\.\.(\d+)$/.exec(text) ?? [];
  const range = { from: Number(from), to: Number(to) };
  if (from === undefined || range.to < range.from || range.to >= 2 ** 31) {
    throw new InvalidArgumentError("Give a range of seeds such as 1..10000.");
  }
  return range;
}

/** Reads `0/4`. */
export function parseShard(text: string): { index: number; count: number } {
  const [, index, count] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  const shard = { index: Number(index), count: Number(count) };
  if (index === undefined || shard.index >= shard.count) {
    throw new InvalidArgumentError("Give the shard and their number such as 0/4.");
  }
  return shard;
}

/** What replays a seed. */
export function commandOf(seed: number, flags: WorldFlags): string {
  const { plant, options, orders, pattern, ordering, store, swarm } = flags;
  const words = [`deno task simulate run --seed ${seed}`];
  if (plant > 0) words.push(`--plant ${plant}`);
  if (!swarm) words.push("--no-swarm");
  if (options !== undefined) words.push(`--options ${options}`);
  if (orders !== undefined) words.push(`--orders ${orders}`);
  if (pattern !== undefined) words.push(`--pattern ${pattern}`);
  if (ordering !== undefined) words.push(`--ordering ${ordering}`);
  if (store !== undefined) words.push(`--store ${store}`);
  return words.join(" ");
}
