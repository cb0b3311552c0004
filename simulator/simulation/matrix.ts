/**
 * How often each planted bug is found, and by which invariant: what a clean sweep is worth.
 *
 * @module
 */
import { type InvariantName, type Plant, plants } from "../topology/plants.ts";
import type { RunOptions } from "./options.ts";
import { sweep } from "./sweep.ts";

/** Options of {@linkcode findMatrix}. */
export interface MatrixOptions {
  readonly from: number;
  readonly to: number;
  readonly given?: Partial<RunOptions>;
  /** Workers; 0 runs in this thread. @default 0 */
  readonly workers?: number;
}

/** What has become of a plant. */
export interface MatrixRow {
  /** Number 0 is none. */
  readonly plant: Plant;
  /** The share of seeds in which each invariant was broken, from 0 to 1; none that never was. */
  readonly rates: Readonly<Partial<Record<InvariantName, number>>>;
}

const none: Plant = { number: 0, mechanism: "nothing", invariants: [] };

/** Sweeps each plant, and none. */
export async function* findMatrix(
  { from, to, given = {}, workers = 0 }: MatrixOptions,
): AsyncGenerator<MatrixRow> {
  for (const plant of [none, ...plants]) {
    const { seeds, failures } = await sweep({ from, to, given, workers, plant: plant.number });
    const counts = new Map<InvariantName, number>();
    for (const { invariant } of failures.flatMap(({ violations }) => violations)) {
      counts.set(invariant, (counts.get(invariant) ?? 0) + 1);
    }
    const shares = [...counts].sort(([, a], [, b]) => b - a)
      .map(([invariant, count]) => [invariant, count / seeds]);
    yield { plant, rates: Object.fromEntries(shares) };
  }
}

/** Seeds after which a bug that is found so often is found with 99 %. */
export function seedsToFind(rate: number): number {
  if (rate <= 0) return Infinity;
  return rate >= 1 ? 1 : Math.ceil(Math.log(0.01) / Math.log(1 - rate));
}
