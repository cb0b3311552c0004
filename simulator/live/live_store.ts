/**
 * What a live store offers beside the port that parts see: counts for whoever watches, and a way to
 * let go of what a killed part had under way.
 *
 * @module
 */
import {
  type Row,
  type Schema,
  type Store,
  StoreError,
  type TableSchema,
  transact,
  type Value,
} from "../topology/ports.ts";
import { type Step, toPromise } from "../topology/step.ts";
import type { World } from "../../service/world/world.ts";
import { forever, type LiveProcess } from "./live_process.ts";
import type { CountedTable } from "./row_counts.ts";

/** How full a box is. */
export interface BoxDepth {
  readonly box: "outbox" | "inbox";
  /** Rows that are still to be sent or handled, those that are parked included. */
  readonly depth: number;
  /** Rows whose handler has given up. */
  readonly parked: number;
  /** When the oldest of them was stored, by the store's clock; `undefined` where there is none. */
  readonly oldestAtMs: number | undefined;
}

/** What a store has, for whoever watches. */
export interface StoreStatus {
  readonly boxes: readonly BoxDepth[];
  /** Orders that were placed. */
  readonly orders: number;
  /** Effects by consumer. */
  readonly effects: Readonly<Record<string, number>>;
  /** By the store's own clock. */
  readonly nowMs: number;
}

/** A store of the live topology. */
export interface LiveStore {
  readonly system: "sqlite" | "postgresql";
  /** The store as a process sees it. */
  connect(process: LiveProcess): Store;
  /** Rolls back whatever a killed process had under way. */
  abandon(process: LiveProcess): void;
  /** Puts rows in that are not there yet, in one transaction. */
  load(
    rows: Iterable<readonly [table: string, row: Readonly<Record<string, Value>>]>,
  ): Promise<void>;
  /** Counts what it has. */
  status(): Promise<StoreStatus>;
  /** The newest rows of a table, newest first. */
  newest(table: string, limit: number): Promise<readonly Row[]>;
  close(): Promise<void>;
}

/** Options that every live store has. */
export interface LiveStoreOptions {
  readonly schema: Schema;
  /** How long a writer waits for its turn, in milliseconds. @default 5_000 */
  readonly busyMs?: number;
  /** What happens to a process that is doomed to crash at its commit. @default it does not crash */
  readonly crash?: (process: LiveProcess) => void;
  /** Notified of each new row of {@linkcode observedTables}, once it is committed. @default nobody is */
  readonly onInserted?: (
    table: string,
    row: Readonly<Record<string, Value>>,
    process: LiveProcess,
  ) => void;
  readonly world: World;
}

/** Tables whose new rows are of interest beyond the part that writes them. */
export const observedTables: readonly string[] = ["orders", "effects"];

/** What `CREATE TABLE` needs that SQL dialects differ in. */
export interface Dialect {
  /** The column `id`: given by the database, never given twice. */
  readonly id: string;
  readonly text: string;
  readonly number: string;
}

/** A name as SQL wants it. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/**
 * The statements that make the tables, if they are not there.
 *
 * @throws {TypeError} a table does not say what columns it has
 */
export function tableStatements(schema: Schema, dialect: Dialect): string[] {
  return Object.entries(schema).flatMap(([table, { columns, unique = [], index }]) => {
    if (columns === undefined) throw new TypeError(`Table ${table} does not say its columns`);
    const defined = Object.entries(columns)
      .map(([column, type]) => `${quoted(column)} ${dialect[type]}`);
    const indexed = (kind: string, of: readonly string[]) =>
      `CREATE ${kind} IF NOT EXISTS ${
        quoted(`${table}_${of.join("_")}${kind === "INDEX" ? "_i" : "_u"}`)
      } ` +
      `ON ${quoted(table)} (${of.map(quoted).join(", ")})`;
    return [
      `CREATE TABLE IF NOT EXISTS ${quoted(table)} (${
        [`id ${dialect.id}`, ...defined].join(", ")
      })`,
      indexed("INDEX", [index]),
      ...unique.map((of) => indexed("UNIQUE INDEX", of)),
    ];
  });
}

/** A row as parts know it: what is null was never given. */
export function rowOf(columns: Readonly<Record<string, unknown>>): Row {
  const row: Record<string, Value> = {};
  for (const [column, value] of Object.entries(columns)) {
    if (value !== null) row[column] = column === "id" ? Number(value) : value as Value;
  }
  return row as Row;
}

/** @throws {Error} the table is not in the schema, or the index is not given: a defect of a part */
export function checkWhere(
  schema: Schema,
  table: string,
  where: Readonly<Record<string, Value>>,
): void {
  const { index } = tableOf(schema, table);
  if (where[index] === undefined) throw new Error(`Give '${index}' to find rows of ${table}`);
}

function tableOf(schema: Schema, table: string): TableSchema {
  const found = schema[table];
  if (found === undefined) throw new Error(`The store has no table '${table}'`);
  return found;
}

/** What counts only ever grows: see {@linkcode RowCounts}. */
export const countedTables = {
  orders: { table: "orders" },
  effects: { table: "effects", by: "consumer" },
} as const satisfies Readonly<Record<string, CountedTable>>;

/** What counts the rows of a box: those that are still open, by the index, and the oldest of them. */
export const statusQueries = {
  outbox:
    `SELECT count(*) AS depth, 0 AS parked, min("storedAtMs") AS oldest FROM "outbox" WHERE "queue" IN ('shard-0', 'shard-1')`,
  inbox: `SELECT count(*) AS depth, count(CASE WHEN "state" = 'parked' THEN 1 END) AS parked, ` +
    `min("storedAtMs") AS oldest FROM "inbox" WHERE "queue" IN ('open', 'parked')`,
} as const;

/** A depth as a query for it has answered. */
export function depthOf(box: "outbox" | "inbox", row: Readonly<Record<string, unknown>>): BoxDepth {
  return {
    box,
    depth: Number(row["depth"]),
    parked: Number(row["parked"]),
    oldestAtMs: row["oldest"] === null ? undefined : Number(row["oldest"]),
  };
}

/** Puts rows into a store; those that are there already stay as they are. */
export async function loadRows(
  store: Store,
  rows: Iterable<readonly [table: string, row: Readonly<Record<string, Value>>]>,
): Promise<void> {
  await toPromise(transact(store, function* (tx) {
    for (const [table, row] of rows) {
      try {
        yield* tx.insert(table, row);
      } catch (error) {
        if (!(error instanceof StoreError) || error.kind !== "duplicate") throw error;
      }
    }
  }));
}

/** A commit, of a process that may be doomed to crash before it or after it. */
export function* commitAs(
  process: LiveProcess,
  crash: LiveStoreOptions["crash"],
  commit: () => Step<void>,
): Step<void> {
  if (process.doom === "before-commit" && crash !== undefined) {
    process.doom = "none";
    crash(process);
    return yield* forever();
  }
  yield* commit();
  if (process.doom === "after-commit" && crash !== undefined) {
    process.doom = "none";
    crash(process);
    yield* forever();
  }
}
