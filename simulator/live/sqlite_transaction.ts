/**
 * A transaction of the store in SQLite: a savepoint among others, whose group is committed at once.
 *
 * @module
 */
import type { StatementSync } from "node:sqlite";
import {
  type Row,
  type SelectOptions,
  StoreError,
  type Transaction,
  type Value,
} from "../topology/ports.ts";
import type { Step } from "../topology/step.ts";
import type { LiveProcess } from "./live_process.ts";
import {
  checkWhere,
  commitAs,
  type LiveStoreOptions,
  observedTables,
  quoted,
  rowOf,
} from "./live_store.ts";

/** What of its store a transaction uses. */
export interface TransactionStore {
  readonly options: LiveStoreOptions;
  nowMs(): number;
  /** A statement of the connection that writes, prepared once. */
  prepare(sql: string): StatementSync;
  /** Its savepoint is gone; what it has written lasts once the group is committed. */
  ended(transaction: SqliteTransaction, isKept: boolean): Step<void>;
}

/** See the module. */
export class SqliteTransaction implements Transaction {
  readonly process: LiveProcess;
  readonly inserted: [table: string, row: Readonly<Record<string, Value>>][] = [];
  readonly #store: TransactionStore;
  #isOver = false;

  constructor(store: TransactionStore, process: LiveProcess) {
    this.#store = store;
    this.process = process;
  }

  nowMs(): number {
    return this.#store.nowMs();
  }

  // deno-lint-ignore require-yield -- SQLite answers at once
  *insert(table: string, row: Readonly<Record<string, Value>>): Step<number> {
    const columns = Object.keys(row);
    const sql = `INSERT INTO ${quoted(table)} (${columns.map(quoted).join(", ")}) ` +
      `VALUES (${columns.map(() => "?").join(", ")})`;
    const { lastInsertRowid } = this.#do(() =>
      this.#store.prepare(sql).run(...columns.map((one) => row[one]!))
    );
    if (observedTables.includes(table)) this.inserted.push([table, row]);
    return Number(lastInsertRowid);
  }

  /** Nobody else can write meanwhile, so every row is locked. */
  // deno-lint-ignore require-yield -- SQLite answers at once
  *select(
    table: string,
    where: Readonly<Record<string, Value>>,
    { ids, limit = noLimit }: SelectOptions = {},
  ): Step<readonly Row[]> {
    checkWhere(this.#store.options.schema, table, where);
    const columns = Object.keys(where);
    const values = columns.map((one) => where[one]!);
    if (ids !== undefined) values.push(JSON.stringify(ids));
    const sql = selectSql(table, columns, ids !== undefined);
    return this.#do(() => this.#store.prepare(sql).all(...values, limit)).map(
      rowOf,
    );
  }

  // deno-lint-ignore require-yield -- SQLite answers at once
  *update(table: string, id: number, changes: Readonly<Record<string, Value>>): Step<boolean> {
    const columns = Object.keys(changes);
    const set = columns.map((one) => `${quoted(one)} = ?`).join(", ");
    const sql = `UPDATE ${quoted(table)} SET ${set} WHERE id = ?`;
    const values = columns.map((one) => changes[one]!);
    return this.#do(() => this.#store.prepare(sql).run(...values, id)).changes > 0;
  }

  // deno-lint-ignore require-yield -- SQLite answers at once
  *delete(table: string, id: number): Step<boolean> {
    const sql = `DELETE FROM ${quoted(table)} WHERE id = ?`;
    return this.#do(() => this.#store.prepare(sql).run(id)).changes > 0;
  }

  *commit(): Step<void> {
    this.#checkOpen();
    yield* commitAs(this.process, this.#store.options.crash, () => {
      this.#isOver = true;
      return this.#store.ended(this, true);
    });
  }

  // deno-lint-ignore require-yield -- SQLite answers at once
  *rollback(): Step<void> {
    this.end();
  }

  /** What it has written is gone. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#store.ended(this, false);
  }

  #checkOpen(): void {
    if (this.#isOver) throw new StoreError("ended", "The transaction has ended");
  }

  #do<T>(work: () => T): T {
    this.#checkOpen();
    try {
      return work();
    } catch (error) {
      throw storeError(error);
    }
  }
}

/**
 * The rows of a table that fit, by their ids.
 *
 * @param hasIds whether ids follow the columns' values, as one text of JSON
 */
export function selectSql(table: string, columns: readonly string[], hasIds = false): string {
  let where = columns.map((one) => `${quoted(one)} = ?`).join(" AND ");
  // However many they are, it is one statement, and prepared once.
  if (hasIds) where += " AND id IN (SELECT value FROM json_each(?))";
  return `SELECT * FROM ${quoted(table)} WHERE ${where} ORDER BY id LIMIT ?`;
}

/** All rows, as SQLite's LIMIT has it. */
export const noLimit = -1;

/** Whether another program writes. */
export function isBusy(error: unknown): boolean {
  return error instanceof Error && /database is locked/.test(error.message);
}

/** SQLITE_CONSTRAINT_UNIQUE: https://www.sqlite.org/rescode.html */
const uniqueViolation = 2067;

/** What has gone wrong in SQLite, as parts know it. */
export function storeError(error: unknown): unknown {
  if (!(error instanceof Error) || (error as { code?: string }).code !== "ERR_SQLITE_ERROR") {
    return error;
  }
  if ((error as { errcode?: number }).errcode === uniqueViolation) {
    return new StoreError("duplicate", error.message);
  }
  return new StoreError(isBusy(error) ? "busy" : "unavailable", error.message);
}
