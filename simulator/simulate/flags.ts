/**
 * Flags that several commands of `simulate` share.
 *
 * @module
 */
import { InvalidArgumentError } from "commander";
import { flag, parseInteger } from "../../service/command_line.ts";
import type { RunOptions } from "../simulation/options.ts";
import { plants } from "../topology/plants.ts";

/** What a run is set to by hand. */
export interface WorldFlags {
  plant: number;
  orders?: number;
  pattern?: RunOptions["pattern"];
  ordering?: RunOptions["ordering"];
  store?: RunOptions["profile"];
}

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
    .argParser(parseInteger({ min: 1, max: 100_000 }));

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

/** The options that the flags give. */
export function givenBy({ orders, pattern, ordering, store }: WorldFlags): Partial<RunOptions> {
  return {
    ...(orders !== undefined && { orders }),
    ...(pattern && { pattern }),
    ...(ordering && { ordering }),
    ...(store && { profile: store }),
  };
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
export function commandOf(seed: number, plant: number, given: Partial<RunOptions>): string {
  const words = [`deno task simulate run --seed ${seed}`];
  if (plant > 0) words.push(`--plant ${plant}`);
  if (given.orders !== undefined) words.push(`--orders ${given.orders}`);
  if (given.pattern !== undefined) words.push(`--pattern ${given.pattern}`);
  if (given.ordering !== undefined) words.push(`--ordering ${given.ordering}`);
  if (given.profile !== undefined) words.push(`--store ${given.profile}`);
  return words.join(" ");
}
