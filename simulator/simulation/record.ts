/**
 * What a failing run is kept as: seed, options and decisions, from which it can be replayed.
 *
 * @module
 */
import type { InvariantName } from "../topology/plants.ts";
import type { Decision } from "./decisions.ts";
import { areInterventions, type Intervention } from "./interventions.ts";
import type { RunOptions } from "./options.ts";
import { type RunInput, type RunResult } from "./run.ts";

/** The content of a file that `replay` takes, as JSON. */
export interface RunRecord {
  readonly version: 1;
  readonly seed: number;
  readonly plant: number;
  readonly options: RunOptions;
  /** Whether how long things take varies. */
  readonly jitter: boolean;
  readonly decisions: readonly Decision[];
  /** What was done to it by hand. @default nothing was */
  readonly interventions?: readonly Intervention[];
  /** What was broken, in the order in which it was noticed. */
  readonly invariants: readonly InvariantName[];
  readonly hash: string;
}

/** The record of a run whose decisions were recorded. */
export function recordOf(result: RunResult, jitter: boolean): RunRecord {
  const { seed, plant, options, decisions, interventions, violations, hash } = result;
  const invariants = violations.map(({ invariant }) => invariant);
  const whole = { version: 1, seed, plant, options, jitter, decisions, invariants, hash } as const;
  return interventions.length === 0 ? whole : { ...whole, interventions };
}

/** What to run to replay a record. */
export function inputOf(record: RunRecord): RunInput {
  const { seed, plant, options, jitter, decisions, interventions = [] } = record;
  return { seed, plant, given: options, jitter, replay: decisions, interventions };
}

/**
 * Reads a record.
 *
 * @throws {TypeError} it is not one
 */
export function parseRecord(text: string): RunRecord {
  let record: Partial<RunRecord>;
  try {
    record = JSON.parse(text);
  } catch (error) {
    throw new TypeError(`It is not JSON: ${(error as Error).message}`);
  }
  if (record?.version !== 1) throw new TypeError("It is not a record of version 1");
  const isWhole = Number.isSafeInteger(record.seed) && Number.isSafeInteger(record.plant) &&
    typeof record.options === "object" && typeof record.jitter === "boolean" &&
    (record.interventions === undefined || areInterventions(record.interventions)) &&
    Array.isArray(record.invariants) && Array.isArray(record.decisions) &&
    record.decisions.every((one: unknown) =>
      Array.isArray(one) && typeof one[0] === "string" && typeof one[1] === "number"
    );
  if (!isWhole) throw new TypeError("Something is missing in it");
  return record as RunRecord;
}
