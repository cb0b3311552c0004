/**
 * A store in an SQLite file: one writer at a time, write-ahead log, every commit on the disk before
 * it is said to be.
 *
 * Waiting for the disk is most of what a commit costs, so commits are grouped: transactions that
 * wait for their turn run one after another, each within a savepoint, and one COMMIT makes all of
 * them durable. Nobody is told of a commit before that. Several programs may have the file open.
 *
 * @module
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import {
  type ReadOptions,
  type Row,
  type Snapshot,
  type Store,
  StoreError,
  type Transaction,
  type Value,
} from "../topology/ports.ts";
import { type Step, waitFor } from "../topology/step.ts";
import { type LiveProcess, newLiveProcess, waitAs } from "./live_process.ts";
import {
  checkWhere,
  countedTables,
  depthOf,
  type LiveStore,
  type LiveStoreOptions,
  loadRows,
  quoted,
  rowOf,
  statusQueries,
  type StoreStatus,
  tableStatements,
} from "./live_store.ts";
import { countedRows, countQuery, lastIdOf, noId, RowCounts } from "./row_counts.ts";
import {
  isBusy,
  noLimit,
  selectSql,
  SqliteTransaction,
  storeError,
  type TransactionStore,
} from "./sqlite_transaction.ts";

/** Options of {@linkcode openSqliteStore}. */
export interface SqliteStoreOptions extends LiveStoreOptions {
  /** The file; made if need be. */
  readonly path: string;
  /**
   * What a commit survives: `power-loss`, or only the end of this program, which is quicker.
   *
   * @default "power-loss"
   */
  readonly durability?: "power-loss" | "process-end";
}

/** The most transactions that share a COMMIT, and the longest that the first of them waits for it. */
const group = { transactions: 128, ms: 10 };

/** Between two attempts to begin while another program writes, in milliseconds. */
const retryMs = 2;

/**
 * Opens a store.
 *
 * @example
 * ```ts
 * const store = openSqliteStore({ path: "backend-1.sqlite", schema: backendSchema(settings), world });
 * ```
 */
export function openSqliteStore(options: SqliteStoreOptions): LiveStore {
  return new SqliteStore(options);
}

/** Who waits to write, in the order of arrival. */
interface Waiter {
  readonly process: LiveProcess;
  readonly life: number;
  begin(transaction: SqliteTransaction): void;
  fail(error: unknown): void;
}

/** A transaction that has ended well, as soon as its group has. */
interface Ended {
  readonly transaction: SqliteTransaction;
  resume(): void;
  fail(error: unknown): void;
}

class SqliteStore implements LiveStore, TransactionStore {
  readonly system = "sqlite";
  readonly options: SqliteStoreOptions;
  readonly #writer: DatabaseSync;
  readonly #reader: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #counts = { orders: new RowCounts(), effects: new RowCounts() };
  #waiters: Waiter[] = [];
  #current: SqliteTransaction | undefined;
  #group: { readonly sinceMs: number; readonly ended: Ended[] } | undefined;
  #isPumping = false;
  #isClosed = false;

  constructor(options: SqliteStoreOptions) {
    this.options = options;
    const { path, schema, durability = "power-loss" } = options;
    this.#writer = new DatabaseSync(path);
    // Waiting within SQLite would keep whoever it waits for from going on.
    this.#writer.exec("PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL");
    this.#writer.exec(`PRAGMA synchronous = ${durability === "power-loss" ? "FULL" : "NORMAL"}`);
    const dialect = { id: "INTEGER PRIMARY KEY AUTOINCREMENT", text: "TEXT", number: "REAL" };
    for (const statement of tableStatements(schema, dialect)) this.#writer.exec(statement);
    this.#writer.exec("PRAGMA busy_timeout = 0");
    this.#reader = new DatabaseSync(path);
    this.#reader.exec("PRAGMA busy_timeout = 1000; PRAGMA query_only = ON");
  }

  connect(process: LiveProcess): Store {
    return {
      begin: () => this.#begin(process),
      read: (table, where, options) => this.#read(table, where, options),
    };
  }

  abandon(process: LiveProcess): void {
    if (this.#current?.process === process) this.#current.end();
  }

  load(
    rows: Iterable<readonly [table: string, row: Readonly<Record<string, Value>>]>,
  ): Promise<void> {
    return loadRows(this.connect(newLiveProcess("setup")), rows);
  }

  status(): Promise<StoreStatus> {
    const one = (query: string) => this.#query(query).get()!;
    return Promise.resolve({
      boxes: [
        depthOf("outbox", one(statusQueries.outbox)),
        depthOf("inbox", one(statusQueries.inbox)),
      ],
      orders: this.#count("orders")["all"] ?? 0,
      effects: this.#count("effects"),
      nowMs: this.nowMs(),
    });
  }

  /** One writes at a time, so that rows are seen in the order of their ids: each is counted once. */
  #count(table: keyof typeof countedTables): Record<string, number> {
    const counts = this.#counts[table];
    const query = countQuery(countedTables[table], (index) => `?${index}`);
    const rows = countedRows(this.#query(query).all(counts.settledTo, noId));
    if (rows.length > 0) counts.settle(rows, lastIdOf(rows));
    return counts.totals();
  }

  newest(table: string, limit: number): Promise<readonly Row[]> {
    const statement = this.#query(`SELECT * FROM ${quoted(table)} ORDER BY id DESC LIMIT ?`);
    return Promise.resolve(statement.all(limit).map(rowOf));
  }

  close(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.#isClosed = true;
    this.#current?.end();
    this.#commitGroup();
    for (const waiter of this.#waiters.splice(0)) waiter.fail(closed());
    this.#statements.clear();
    this.#reader.close();
    this.#writer.close();
    return Promise.resolve();
  }

  nowMs(): number {
    return this.options.world.nowMs();
  }

  /** A statement of the connection that writes, prepared once. */
  prepare(sql: string): StatementSync {
    return this.#prepared(`w ${sql}`, () => this.#writer.prepare(sql));
  }

  /** Its savepoint is gone; what it has written lasts once the group is committed. */
  ended(transaction: SqliteTransaction, isKept: boolean): Step<void> {
    this.prepare(isKept ? "RELEASE part" : "ROLLBACK TO part").run();
    if (!isKept) this.prepare("RELEASE part").run();
    this.#current = undefined;
    this.#pumpSoon();
    if (!isKept) return nothing();
    return waitFor<void>((resume, fail) => {
      this.#group!.ended.push({ transaction, resume: resume as () => void, fail });
    });
  }

  *#begin(process: LiveProcess): Step<Transaction> {
    if (this.#isClosed) throw closed();
    const { world, busyMs = 5_000 } = this.options;
    return yield* waitAs<Transaction>(process, (resume, fail) => {
      const giveUp = () => {
        const place = this.#waiters.indexOf(waiter);
        if (place < 0) return;
        this.#waiters.splice(place, 1);
        fail(new StoreError("busy", `Others write for more than ${busyMs} ms`));
      };
      const timer = world.setTimeout(giveUp, busyMs);
      const waiter: Waiter = {
        process,
        life: process.life,
        begin: (transaction) => {
          world.clearTimeout(timer);
          resume(transaction);
        },
        fail: (error) => {
          world.clearTimeout(timer);
          fail(error);
        },
      };
      this.#waiters.push(waiter);
      this.#pumpSoon();
      return () => {
        this.#waiters = this.#waiters.filter((one) => one !== waiter);
        world.clearTimeout(timer);
      };
    });
  }

  // deno-lint-ignore require-yield -- SQLite answers at once
  *#read(
    table: string,
    where: Readonly<Record<string, Value>>,
    { limit = noLimit }: ReadOptions = {},
  ): Step<Snapshot> {
    if (this.#isClosed) throw closed();
    checkWhere(this.options.schema, table, where);
    const columns = Object.keys(where);
    try {
      const values = columns.map((one) => where[one]!);
      const rows = this.#query(selectSql(table, columns)).all(...values, limit);
      return { rows: rows.map(rowOf), nowMs: this.nowMs() };
    } catch (error) {
      throw storeError(error);
    }
  }

  #query(sql: string): StatementSync {
    return this.#prepared(`r ${sql}`, () => this.#reader.prepare(sql));
  }

  #prepared(name: string, prepare: () => StatementSync): StatementSync {
    let statement = this.#statements.get(name);
    if (statement === undefined) this.#statements.set(name, statement = prepare());
    return statement;
  }

  #pumpSoon(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    queueMicrotask(() => {
      this.#isPumping = false;
      if (!this.#isClosed) this.#pump();
    });
  }

  /** Gives the next one its turn, or ends the group. */
  #pump(): void {
    if (this.#current !== undefined) return;
    const { world } = this.options;
    const isFull = this.#group !== undefined &&
      (this.#group.ended.length >= group.transactions ||
        world.monotonicMs() - this.#group.sinceMs >= group.ms);
    if (isFull || this.#waiters.length === 0) this.#commitGroup();
    const waiter = this.#waiters[0];
    if (waiter === undefined) return;
    if (this.#group === undefined && !this.#beginGroup()) {
      world.setTimeout(() => this.#pumpSoon(), retryMs);
      return;
    }
    this.#waiters.shift();
    if (!waiter.process.isLive || waiter.process.life !== waiter.life) return this.#pumpSoon();
    this.prepare("SAVEPOINT part").run();
    this.#current = new SqliteTransaction(this, waiter.process);
    waiter.begin(this.#current);
  }

  /** False while another program writes. */
  #beginGroup(): boolean {
    try {
      this.prepare("BEGIN IMMEDIATE").run();
    } catch (error) {
      if (isBusy(error)) return false;
      for (const waiter of this.#waiters.splice(0)) waiter.fail(storeError(error));
      return false;
    }
    this.#group = { sinceMs: this.options.world.monotonicMs(), ended: [] };
    return true;
  }

  #commitGroup(): void {
    if (this.#group === undefined) return;
    const { ended } = this.#group;
    this.#group = undefined;
    try {
      this.prepare("COMMIT").run();
    } catch (error) {
      try {
        this.prepare("ROLLBACK").run();
      } catch {
        // SQLite has rolled back by itself: that is what the commit's error says.
      }
      for (const { fail } of ended) fail(storeError(error));
      return;
    }
    const { onInserted } = this.options;
    for (const { transaction, resume } of ended) {
      for (const [table, row] of transaction.inserted) {
        onInserted?.(table, row, transaction.process);
      }
      resume();
    }
  }
}

function* nothing(): Step<void> {}

function closed(): StoreError {
  return new StoreError("unavailable", "The store is closed");
}
