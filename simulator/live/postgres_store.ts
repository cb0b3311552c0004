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
  type Snapshot,
  type Store,
  StoreError,
  type Transaction,
  type Value,
} from "../topology/ports.ts";
import { fromPromise, type Step } from "../topology/step.ts";
import { type LiveProcess, newLiveProcess } from "./live_process.ts";
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
import {
  type Client,
  clockSql,
  type Parameter,
  selection,
  storeError,
} from "./postgres_session.ts";
import { PostgresTransaction, type TransactionStore } from "./postgres_transaction.ts";
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

class PostgresStore implements LiveStore, TransactionStore {
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

  load(
    rows: Iterable<readonly [table: string, row: Readonly<Record<string, Value>>]>,
  ): Promise<void> {
    return loadRows(this.connect(newLiveProcess("setup")), rows);
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

/**
 * Transactions that have written to a table, or are about to. The lock is theirs from before an id is
 * taken until what they have written can be seen: https://www.postgresql.org/docs/15/view-pg-locks.html
 */
const writersSql = `SELECT virtualtransaction AS writer FROM pg_locks
  WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND relation = $1::regclass
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
