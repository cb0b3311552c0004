/**
 * Records of runs in files.
 *
 * @module
 */
import { parseRecord, type RunRecord } from "../simulation/record.ts";
import { type InvariantName, plants } from "../topology/plants.ts";
import { UsageError } from "./output.ts";

/** @throws {UsageError} it cannot be read, or is no record */
export async function readRecord(file: string): Promise<RunRecord> {
  try {
    return parseRecord(await Deno.readTextFile(file));
  } catch (error) {
    throw new UsageError(`Cannot read ${file}: ${(error as Error).message}`);
  }
}

/** @throws {UsageError} it cannot be written */
export async function writeRecord(file: string, record: RunRecord): Promise<void> {
  try {
    await Deno.writeTextFile(file, JSON.stringify(record, null, 2) + "\n");
  } catch (error) {
    throw new UsageError(`Cannot write ${file}: ${(error as Error).message}`);
  }
}

/** What a record is kept for: what its plant is to be noticed by, else what was broken first. */
export function invariantOf({ plant, invariants }: RunRecord, file: string): InvariantName {
  const named = plants.find(({ number }) => number === plant)?.invariants;
  const invariant = named?.find((name) => invariants.includes(name)) ?? invariants[0];
  if (invariant === undefined) throw new UsageError(`${file} is of a run that holds`);
  return invariant;
}
