/**
 * A store in PostgreSQL: transactions beside each other (READ COMMITTED), each in a session of its
 * own; tables in a schema of their own, so that both backends may share a database.
 *
 * By npm `pg`: a client is one session, which can be let go of in the middle of a transaction, and
 * what goes wrong in it comes as an error of its query or of the client.
 *
 * @module
 */
import { reasonOf, settledWithin } from "../../service/resilience.ts";
import {
  type ReadOptions,
  type Row,
  type SelectOptions,
  type Snapshot,
  type Store,
  StoreError,
  transact,
  type Transaction,
  type Value,
} from "../topology/ports.ts";
import { fromPromise, type Step, toPromise } from "../topology/step.ts";
import { forever, type LiveProcess, newLiveProcess } from "./live_process.ts";
import {
  checkWhere,
  countedTables,
  depthOf,
  type LiveStore,
  type LiveStoreOptions,
  observedTables,
  quoted,
  rowOf,
  statusQueries,
  type StoreStatus,
  tableStatements,
} from "./live_store.ts";
import { countedRows, countQuery, noId, RowCounts } from "./row_counts.ts";

/** Options of {@linkcode openPostgresStore}. */
export interface PostgresStoreOptions extends LiveStoreOptions {
  /** `postgres://user:password@host:port/database` */
  readonly url: string;
  /** Where its tables are; made if need be. */
  readonly namespace: string;
  /** Sessions at once; who needs one more waits. @default 10 */
  readonly maxSessions?: number;
}

/** A value of a statement: ids are one, as an array. */
type Parameter = Value | readonly number[];

/** What of `pg` is used: it has no types of its own. */
interface Client {
  query(text: string, values?: readonly Parameter[]): Promise<{
    rows: Record<string, unknown>[];
    rowCount: number | null;
  }>;
  /** Gives it back; with `true` it is closed instead. */
  release(destroy?: boolean): void;
  on(event: "error", listener: (error: Error) => void): void;
}

interface Pool {
  connect(): Promise<Client>;
  end(): Promise<void>;
  on(event: "error", listener: (error: Error) => void): void;
  on(event: "connect", listener: (client: Client) => void): void;
}

type PoolClass = new (options: Readonly<Record<string, unknown>>) => Pool;

/** Limits of a session, in milliseconds: of a statement, of waiting for a lock, of doing nothing in a transaction. */
const limits = { statementMs: 30_000, lockMs: 10_000, idleMs: 60_000 };

/**
 * Opens a store: makes schema and tables if they are not there.
 *
 * @throws {StoreError} `unavailable`
 *
 * @example
 * ```ts
 * const store = await openPostgresStore({ url, namespace: "backend_1", schema, world });
 * ```
 */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<LiveStore> {
  // Only where it is wanted, as is everything that reads the environment.
  const { default: pg } = await import("pg") as unknown as { default: { Pool: PoolClass } };
  const { url, namespace, maxSessions = 10, busyMs = 5_000 } = options;
  const pool = new pg.Pool({
    connectionString: url,
    max: maxSessions,
    connectionTimeoutMillis: busyMs,
    application_name: "orrery-simulator",
    statement_timeout: limits.statementMs,
    lock_timeout: limits.lockMs,
    idle_in_transaction_session_timeout: limits.idleMs,
    options: `-c search_path=${namespace}`,
  });
  const store = new PostgresStore(pool, options);
  try {
    await store.makeTables();
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
}

class PostgresStore implements LiveStore {
  readonly system = "postgresql";
  readonly options: PostgresStoreOptions;
  readonly active = new Map<PostgresTransaction, LiveProcess>();
  readonly #pool: Pool;
  readonly #counts = { orders: new RowCounts(), effects: new RowCounts() };
  /** Counts that are under way; what has failed is told to whoever has asked. */
  readonly #counting: Record<keyof typeof countedTables, Promise<unknown>> = {
    orders: Promise.resolve(),
    effects: Promise.resolve(),
  };
  #closed: Promise<void> | undefined;

  constructor(pool: Pool, options: PostgresStoreOptions) {
    this.#pool = pool;
    this.options = options;
    // Of sessions that nobody uses: the next one to connect finds out.
    pool.on("error", () => {});
    // Of one that is in use and waits for no answer: without a listener it would end the process.
    // The next statement on it fails.
    pool.on("connect", (client) => client.on("error", () => {}));
  }

  async makeTables(): Promise<void> {
    const { schema, namespace } = this.options;
    const dialect = {
      id: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
      text: "TEXT",
      number: "DOUBLE PRECISION",
    };
    const client = await this.session();
    try {
      // All of them come into being at once. Who only uses them must not wait for locks to look.
      const known = `SELECT count(*) FROM information_schema.tables WHERE table_schema = $1`;
      const { rows: [found] } = await client.query(known, [namespace]);
      if (Number(found!["count"]) >= Object.keys(schema).length) return client.release();
      // Two that make the same schema at once would get in each other's way.
      await client.query("BEGIN");
      await client.query("SELECT pg_advisory_xact_lock(7305432051)");
      await client.query(`CREATE SCHEMA IF NOT EXISTS ${quoted(namespace)}`);
      for (const statement of tableStatements(schema, dialect)) await client.query(statement);
      await client.query("COMMIT");
      client.release();
    } catch (error) {
      client.release(true);
      throw storeError(error);
    }
  }

  connect(process: LiveProcess): Store {
    return {
      begin: () => this.#begin(process),
      read: (table, where, options) => fromPromise(() => this.#read(table, where, options)),
    };
  }

  abandon(process: LiveProcess): void {
    for (const [transaction, owner] of this.active) {
      if (owner === process) transaction.drop();
    }
  }

  async load(
    rows: Iterable<readonly [table: string, row: Readonly<Record<string, Value>>]>,
  ): Promise<void> {
    const store = this.connect(newLiveProcess("setup"));
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

  async status(): Promise<StoreStatus> {
    const one = async (query: string) => (await this.query(query)).rows[0]!;
    const [outbox, inbox, clock, orders, effects] = await Promise.all([
      one(statusQueries.outbox),
      one(statusQueries.inbox),
      one(`SELECT ${clockSql} AS now`),
      this.#count("orders"),
      this.#count("effects"),
    ]);
    return {
      boxes: [depthOf("outbox", outbox), depthOf("inbox", inbox)],
      orders: orders["all"] ?? 0,
      effects,
      nowMs: Number(clock["now"]),
    };
  }

  /** Counts one after the other: two at once would take the same rows for good. */
  #count(table: keyof typeof countedTables): Promise<Record<string, number>> {
    const counting = this.#counting[table].then(() => this.#countNow(table));
    this.#counting[table] = counting.catch(() => {});
    return counting;
  }

  async #countNow(table: keyof typeof countedTables): Promise<Record<string, number>> {
    const counts = this.#counts[table];
    const query = countQuery(countedTables[table], (index) => `$${index}`);
    const between = async (after: number, until: number) =>
      countedRows((await this.query(query, [after, until])).rows);
    const { rows } = await this.query(writersSql, [quoted(table)]);
    const until = counts.settledBy(rows.map(({ writer }) => String(writer)));
    if (until !== undefined) counts.settle(await between(counts.settledTo, until), until);
    const rest = await between(counts.settledTo, noId);
    counts.seen(rest);
    return counts.totals(rest);
  }

  async newest(table: string, limit: number): Promise<readonly Row[]> {
    const { rows } = await this.query(
      `SELECT * FROM ${quoted(table)} ORDER BY id DESC LIMIT $1`,
      [limit],
    );
    return rows.map(rowOf);
  }

  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  /** A session for a while. @throws {StoreError} `busy`: all are in use; `unavailable` */
  async session(): Promise<Client> {
    if (this.#closed) throw new StoreError("unavailable", "The store is closed");
    try {
      return await this.#pool.connect();
    } catch (error) {
      const isBusy = /timeout exceeded when trying to connect/.test(reasonOf(error));
      throw isBusy ? new StoreError("busy", "All sessions are in use") : storeError(error);
    }
  }

  /** One query in a session of its own. */
  async query(text: string, values: readonly Parameter[] = []) {
    const client = await this.session();
    let error: unknown;
    try {
      return await client.query(text, values);
    } catch (caught) {
      error = caught;
      throw storeError(error);
    } finally {
      client.release(error !== undefined);
    }
  }

  async #close(): Promise<void> {
    for (const transaction of [...this.active.keys()]) transaction.drop();
    // A server that does not answer keeps nobody from going.
    await settledWithin(this.#pool.end(), 5_000, { world: this.options.world });
  }

  *#begin(process: LiveProcess): Step<Transaction> {
    const { life } = process;
    return yield* fromPromise(async () => {
      const client = await this.session();
      try {
        await client.query("BEGIN");
        const { rows } = await client.query(`SELECT ${clockSql} AS now`);
        const transaction = new PostgresTransaction(this, client, process, Number(rows[0]!["now"]));
        // Nobody waits for it any more.
        if (!process.isLive || process.life !== life) transaction.drop();
        return transaction;
      } catch (error) {
        client.release(true);
        throw storeError(error);
      }
    });
  }

  async #read(
    table: string,
    where: Readonly<Record<string, Value>>,
    options?: ReadOptions,
  ): Promise<Snapshot> {
    checkWhere(this.options.schema, table, where);
    const { sql, values } = selection(table, where, options);
    // The clock is asked together with the rows, and answers where there are none, too.
    const { rows } = await this.query(
      `SELECT ${clockSql} AS "now$", found.* FROM (SELECT 1) AS one LEFT JOIN ` +
        `(${sql}) AS found ON TRUE ORDER BY found.id`,
      values,
    );
    const found = rows.filter(({ id }) => id !== null)
      .map(({ "now$": _, ...row }) => rowOf(row));
    return { rows: found, nowMs: Number(rows[0]!["now$"]) };
  }
}

const clockSql = "(extract(epoch FROM clock_timestamp()) * 1000)::double precision";

/**
 * Transactions that have written to a table, or are about to. The lock is theirs from before an id is
 * taken until what they have written can be seen: https://www.postgresql.org/docs/15/view-pg-locks.html
 */
const writersSql = `SELECT virtualtransaction AS writer FROM pg_locks
  WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND relation = $1::regclass
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;

class PostgresTransaction implements Transaction {
  readonly #store: PostgresStore;
  readonly #client: Client;
  readonly #process: LiveProcess;
  readonly #inserted: [table: string, row: Readonly<Record<string, Value>>][] = [];
  /** By the store's clock, and by ours: one runs on by the other. */
  readonly #beganAt: { readonly storeMs: number; readonly ownMs: number };
  #isOver = false;

  constructor(store: PostgresStore, client: Client, process: LiveProcess, nowMs: number) {
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
    const { crash, onInserted } = this.#store.options;
    if (this.#process.doom === "before-commit" && crash !== undefined) {
      this.#process.doom = "none";
      crash(this.#process);
      return yield* forever();
    }
    yield* this.#do("COMMIT");
    this.#end();
    for (const [table, row] of this.#inserted) onInserted?.(table, row, this.#process);
    if (this.#process.doom === "after-commit" && crash !== undefined) {
      this.#process.doom = "none";
      crash(this.#process);
      yield* forever();
    }
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

function selection(
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

function storeError(error: unknown): unknown {
  if (error instanceof StoreError || !(error instanceof Error)) return error;
  const { code } = error as { code?: string };
  const kind = kindsBySqlState[code ?? ""];
  if (kind !== undefined) return new StoreError(kind, error.message);
  // A mistake in a statement is a defect of ours; all else is the server's or the network's state.
  const isDefect = code !== undefined && /^(42|22|23)/.test(code);
  return isDefect ? error : new StoreError("unavailable", reasonOf(error));
}
