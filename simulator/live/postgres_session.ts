/**
 * A session of PostgreSQL as npm `pg` has it, what is asked in it, and what its errors mean.
 *
 * @module
 */
import { reasonOf } from "../../service/resilience.ts";
import { type SelectOptions, StoreError, type Value } from "../topology/ports.ts";
import { quoted } from "./live_store.ts";

/** A value of a statement: ids are one, as an array. */
export type Parameter = Value | readonly number[];

/** What of `pg` is used: it has no types of its own. */
export interface Client {
  query(text: string, values?: readonly Parameter[]): Promise<{
    rows: Record<string, unknown>[];
    rowCount: number | null;
  }>;
  /** Gives it back; with `true` it is closed instead. */
  release(destroy?: boolean): void;
  on(event: "error", listener: (error: Error) => void): void;
}

/** The server's clock, in milliseconds since the epoch. */
export const clockSql = "(extract(epoch FROM clock_timestamp()) * 1000)::double precision";

/** The rows of a table that fit, by their ids. */
export function selection(
  table: string,
  where: Readonly<Record<string, Value>>,
  { ids, limit }: Pick<SelectOptions, "ids" | "limit"> = {},
): { sql: string; values: Parameter[] } {
  const columns = Object.keys(where);
  const values: Parameter[] = columns.map((one) => where[one]!);
  let fits = columns.map((one, index) => `${quoted(one)} = $${index + 1}`).join(" AND ");
  if (ids !== undefined) fits += ` AND id = ANY($${values.push(ids)})`;
  const sql = `SELECT * FROM ${quoted(table)} WHERE ${fits} ORDER BY id`;
  if (limit === undefined) return { sql, values };
  return { sql: `${sql} LIMIT $${values.push(limit)}`, values };
}

/** SQLSTATE: https://www.postgresql.org/docs/15/errcodes-appendix.html */
const kindsBySqlState: Readonly<Record<string, "duplicate" | "deadlock" | "busy">> = {
  "23505": "duplicate",
  "40P01": "deadlock",
  "55P03": "busy",
  "57014": "busy",
  "53300": "busy",
};

/** What has gone wrong in PostgreSQL, as parts know it. */
export function storeError(error: unknown): unknown {
  if (error instanceof StoreError || !(error instanceof Error)) return error;
  const { code } = error as { code?: string };
  const kind = kindsBySqlState[code ?? ""];
  if (kind !== undefined) return new StoreError(kind, error.message);
  // A mistake in a statement is a defect of ours; all else is the server's or the network's state.
  const isDefect = code !== undefined && /^(42|22|23)/.test(code);
  return isDefect ? error : new StoreError("unavailable", reasonOf(error));
}
