/**
 * A transaction of the store in PostgreSQL, in a session of its own.
 *
 * @module
 */
import {
  type Row,
  type SelectOptions,
  StoreError,
  type Transaction,
  type Value,
} from "../topology/ports.ts";
import { fromPromise, type Step } from "../topology/step.ts";
import type { LiveProcess } from "./live_process.ts";
import {
  checkWhere,
  commitAs,
  type LiveStoreOptions,
  observedTables,
  quoted,
  rowOf,
} from "./live_store.ts";
import { type Client, type Parameter, selection, storeError } from "./postgres_session.ts";

/** What of its store a transaction uses. */
export interface TransactionStore {
  readonly options: LiveStoreOptions;
  /** Those that have not ended. */
  readonly active: Map<PostgresTransaction, LiveProcess>;
}

/** See the module. */
export class PostgresTransaction implements Transaction {
  readonly #store: TransactionStore;
  readonly #client: Client;
  readonly #process: LiveProcess;
  readonly #inserted: [table: string, row: Readonly<Record<string, Value>>][] = [];
  /** By the store's clock, and by ours: one runs on by the other. */
  readonly #beganAt: { readonly storeMs: number; readonly ownMs: number };
  #isOver = false;

  constructor(store: TransactionStore, client: Client, process: LiveProcess, nowMs: number) {
    this.#store = store;
    this.#client = client;
    this.#process = process;
    this.#beganAt = { storeMs: nowMs, ownMs: store.options.world.monotonicMs() };
    store.active.set(this, process);
  }

  nowMs(): number {
    const { storeMs, ownMs } = this.#beganAt;
    return storeMs + this.#store.options.world.monotonicMs() - ownMs;
  }

  *insert(table: string, row: Readonly<Record<string, Value>>): Step<number> {
    const columns = Object.keys(row);
    // A violated constraint would end the transaction: it is to cost only the statement.
    const { rows } = yield* this.#do(
      `INSERT INTO ${quoted(table)} (${columns.map(quoted).join(", ")}) ` +
        `VALUES (${columns.map((_, index) => `$${index + 1}`).join(", ")}) ` +
        "ON CONFLICT DO NOTHING RETURNING id",
      columns.map((one) => row[one]!),
    );
    const [inserted] = rows;
    if (inserted === undefined) throw new StoreError("duplicate", `${table}: it is there already`);
    if (observedTables.includes(table)) this.#inserted.push([table, row]);
    return Number(inserted["id"]);
  }

  *select(
    table: string,
    where: Readonly<Record<string, Value>>,
    { lock, ids, limit }: SelectOptions = {},
  ): Step<readonly Row[]> {
    checkWhere(this.#store.options.schema, table, where);
    const { sql, values } = selection(table, where, { ids, limit });
    const locking = lock === undefined
      ? ""
      : lock === "wait"
      ? " FOR UPDATE"
      : " FOR UPDATE SKIP LOCKED";
    const { rows } = yield* this.#do(`${sql}${locking}`, values);
    return rows.map(rowOf);
  }

  *update(table: string, id: number, changes: Readonly<Record<string, Value>>): Step<boolean> {
    const columns = Object.keys(changes);
    const set = columns.map((one, index) => `${quoted(one)} = $${index + 2}`).join(", ");
    const { rowCount } = yield* this.#do(
      `UPDATE ${quoted(table)} SET ${set} WHERE id = $1`,
      [id, ...columns.map((one) => changes[one]!)],
    );
    return (rowCount ?? 0) > 0;
  }

  *delete(table: string, id: number): Step<boolean> {
    const { rowCount } = yield* this.#do(`DELETE FROM ${quoted(table)} WHERE id = $1`, [id]);
    return (rowCount ?? 0) > 0;
  }

  *commit(): Step<void> {
    yield* commitAs(this.#process, this.#store.options.crash, () => this.#commit());
  }

  *#commit(): Step<void> {
    yield* this.#do("COMMIT");
    this.#end();
    const { onInserted } = this.#store.options;
    for (const [table, row] of this.#inserted) onInserted?.(table, row, this.#process);
  }

  *rollback(): Step<void> {
    if (this.#isOver) return;
    try {
      yield* this.#do("ROLLBACK");
    } catch (error) {
      // Its session is gone, and so is what it has written.
      if (!(error instanceof StoreError)) throw error;
      return;
    }
    this.#end();
  }

  /** Closes its session in the middle of whatever it does: the server rolls it back. */
  drop(): void {
    this.#end(true);
  }

  #end(destroy = false): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#store.active.delete(this);
    this.#client.release(destroy);
  }

  *#do(text: string, values: readonly Parameter[] = []) {
    if (this.#isOver) throw new StoreError("ended", "The transaction has ended");
    try {
      return yield* fromPromise(() => this.#client.query(text, values));
    } catch (error) {
      // PostgreSQL takes nothing more in a transaction in which something has failed.
      this.drop();
      throw storeError(error);
    }
  }
}
