/**
 * PostgreSQL as a {@linkcode RecordBackend}, for several servers at once: `FOR UPDATE SKIP LOCKED`
 * deals signups to workers, `LISTEN` tells of what other servers do, its clock ends leases.
 *
 * Library: `pg`, without its native part. `postgres` is smaller and was tried first: in version 3.4.9 a
 * server that stops under load makes it write to a socket that is gone, which ends the process, and its
 * `LISTEN` is lost when the first new connection fails.
 *
 * @module
 */
// @ts-types="./pg.d.ts"
import pg from "pg";
import type { Client, ClientBase, Pool } from "./pg.d.ts";
import { backoffDelayMs, pause, reasonOf } from "../../../service/resilience.ts";
import { realWorld, type World } from "../../../service/world/world.ts";
import type { SignupState } from "../../signups/signup_record.ts";
import type { RecordBackend, SignupChange } from "../record_backend.ts";
import type { RecordArchive } from "../record_archive.ts";
import type { RecordCommand } from "../record_commands.ts";
import { StoreError } from "../store_error.ts";
import {
  type CachedStatistics,
  type Change,
  PostgresTransaction,
  type TransactionContext,
} from "./postgres_transaction.ts";
import { DatabaseHosts } from "./database_hosts.ts";
import { PostgresArchive } from "./postgres_archive.ts";
import { migrations, schemaVersion } from "./schema.ts";
import { type Sql, sqlOn } from "./sql.ts";

/** Options of {@linkcode openPostgresBackend}. */
export interface PostgresBackendOptions {
  /** `postgres://user:password@host:port/database`; of several hosts, with commas between, the one that takes writes. */
  databaseUrl: string;
  /** Transactions at once, at least 1; connections are one more. @default 4 */
  maxParallel?: number;
  /** How long one transaction may take, in milliseconds. @default 15_000 */
  timeoutMs?: number;
  /** Notified when the connection that hears of other servers is there (again). @default nobody */
  onListen?: () => void;
  /** Time and chance. @default the real world */
  world?: World;
}

/** Where changes are told. */
const channel = "orb_signups";
/** A notification has at most 8,000 bytes; a change takes 60 or so. */
const changesPerNotification = 100;
/** How long figures hold that are costly to count, in milliseconds, and the queue's depth. */
const statisticsMaxAgeMs = 10_000;
const depthMaxAgeMs = 100;
/** Depth is counted no further. */
const maxCountedDepth = 1_000_000;
/** Names the lock under which schemas are migrated: "orb1". */
const migrationLock = 0x6f726231;
/** Transactions that met: PostgreSQL ends one of them, and it begins anew. */
const retriedCodes = new Set(["40P01", "40001"]);
const maxAttempts = 5;

/**
 * Connects, and brings the schema up to date.
 *
 * @throws {StoreError} `unavailable`: it cannot be reached, or refuses; or its schema is of a later
 * version.
 *
 * @example
 * ```ts
 * const backend = await openPostgresBackend({ databaseUrl: "postgres://orb:…@db/orb" });
 * const [result] = await backend.apply([{ type: "addToken", sha256 }]);
 * await backend.close();
 * ```
 */
export async function openPostgresBackend(options: PostgresBackendOptions): Promise<RecordBackend> {
  const all = {
    maxParallel: 4,
    timeoutMs: 15_000,
    onListen: () => {},
    world: realWorld,
    ...options,
  };
  const hosts = new DatabaseHosts(all.databaseUrl);
  const pool = hosts.openPool({ ...connectionOptions(all), max: all.maxParallel });
  // A connection that is lost while nobody uses it: the next one is a new one.
  pool.on("error", () => {});
  try {
    await transaction({ hosts, pool }, migrate);
    const backend = new PostgresBackend({ hosts, pool }, all);
    await backend.startListening();
    return backend;
  } catch (error) {
    await pool.end();
    throw inWords(error);
  }
}

/**
 * Connects for an archive, to a schema that is up to date.
 *
 * @throws {StoreError} `unavailable`: it cannot be reached, or refuses.
 *
 * @example
 * ```ts
 * const archive = await openPostgresArchive("postgres://orb:…@db/orb");
 * for await (const record of archive.read()) console.log(record.kind);
 * await archive.close();
 * ```
 */
export async function openPostgresArchive(databaseUrl: string): Promise<RecordArchive> {
  const timeoutMs = 3_600_000;
  let client: Client | undefined;
  try {
    client = await new DatabaseHosts(databaseUrl).openClient(
      connectionOptions({ timeoutMs }),
      (client) => client.on("error", () => {}),
    );
    await client.query("BEGIN");
    await migrate(sqlOn(client), client);
    await client.query("COMMIT");
    const connected = client;
    return new PostgresArchive(connected, () => connected.end());
  } catch (error) {
    await client?.end().catch(() => {});
    throw inWords(error);
  }
}

function connectionOptions({ timeoutMs }: Required<Pick<PostgresBackendOptions, "timeoutMs">>) {
  return {
    application_name: "orb-server",
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    // One that hangs is given up by both sides: by the database, and where the network swallows all.
    statement_timeout: timeoutMs,
    idle_in_transaction_session_timeout: timeoutMs,
    query_timeout: timeoutMs + 1_000,
    types: {
      // Numbers of 64 bits as numbers: none is so large here.
      getTypeParser:
        ((oid: number, format?: "text") =>
          oid === pg.types.builtins.INT8
            ? Number
            : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
    },
  };
}

/** Where connections come from. */
interface Connections {
  readonly hosts: DatabaseHosts;
  readonly pool: Pool;
}

/** Runs in one transaction; a connection on which something failed is not used again. */
async function transaction<Result>(
  { hosts, pool }: Connections,
  work: (sql: Sql, client: ClientBase) => Promise<Result>,
): Promise<Result> {
  const client = await hosts.connect(pool);
  // It would end the process; the statement under way rejects as well.
  const ignore = () => {};
  client.on("error", ignore);
  let failure: Error | undefined;
  try {
    await client.query("BEGIN");
    const result = await work(sqlOn(client), client);
    await client.query("COMMIT");
    return result;
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error));
    throw error;
  } finally {
    client.off("error", ignore);
    client.release(failure);
  }
}

async function migrate(sql: Sql, client: ClientBase): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(${migrationLock})`;
  await client.query("CREATE TABLE IF NOT EXISTS orb_schema (version integer NOT NULL)");
  const { rows: [row] } = await client.query<{ version: number }>("SELECT version FROM orb_schema");
  const version = row?.version ?? 0;
  if (version > schemaVersion) {
    throw new StoreError(
      "unavailable",
      `the database has schema version ${version} and this program knows up to ${schemaVersion}; run the newer one`,
    );
  }
  for (const migration of migrations.slice(version)) await client.query(migration);
  const statement = row === undefined
    ? "INSERT INTO orb_schema (version) VALUES ($1)"
    : "UPDATE orb_schema SET version = $1";
  if (version < schemaVersion) await client.query(statement, [schemaVersion]);
}

/** A figure that is counted now and again. */
class Counted<Value> {
  readonly #maxAgeMs: number;
  readonly #world: World;
  #value: Promise<Value> | undefined;
  #atMs = -Infinity;

  constructor(maxAgeMs: number, world: World) {
    this.#maxAgeMs = maxAgeMs;
    this.#world = world;
  }

  get(count: () => Promise<Value>): Promise<Value> {
    const nowMs = this.#world.monotonicMs();
    if (this.#value === undefined || nowMs - this.#atMs > this.#maxAgeMs) {
      this.#atMs = nowMs;
      const value = count();
      this.#value = value;
      // Who asks hears of the failure; the next one counts anew.
      value.catch(() => {
        if (this.#value === value) this.#value = undefined;
      });
    }
    return this.#value;
  }
}

class PostgresBackend implements RecordBackend {
  readonly system = "postgresql";
  readonly maxParallel: number;
  readonly #connections: Connections;
  readonly #options: Required<PostgresBackendOptions>;
  readonly #context: TransactionContext;
  /** Tells our own notifications from those of others. */
  readonly #name: string;
  readonly #listeners: ((change: SignupChange) => void)[] = [];
  readonly #closing = new AbortController();
  #listening: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(connections: Connections, options: Required<PostgresBackendOptions>) {
    this.#connections = connections;
    this.#options = options;
    this.maxParallel = options.maxParallel;
    this.#name = options.world.randomUuid();
    const { world } = options;
    const depth = new Counted<number>(depthMaxAgeMs, world);
    const statistics = new Counted<CachedStatistics>(statisticsMaxAgeMs, world);
    this.#context = {
      depth: (sql) =>
        depth.get(async () => {
          const [row] = await sql<{ depth: number }>`
          SELECT count(*)::bigint AS depth FROM (
            SELECT FROM orb_signups WHERE state IN ('queued', 'processing') LIMIT ${maxCountedDepth}
          ) AS counted`;
          return row!.depth;
        }),
      statistics: (sql) =>
        statistics.get(async () => {
          const settled = await sql<{ state: SignupState; count: number }>`
          SELECT state, count(*)::bigint AS count FROM orb_signups
          WHERE state NOT IN ('queued', 'processing') GROUP BY state`;
          const [tokens] = await sql<{ count: number }>`
          SELECT count(*)::bigint AS count FROM orb_tokens`;
          return {
            settled: Object.fromEntries(settled.map(({ state, count }) => [state, count])),
            tokens: tokens!.count,
          };
        }),
    };
  }

  async apply(commands: readonly RecordCommand[]): Promise<never> {
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#transaction(commands) as never;
      } catch (error) {
        const code = (error as { code?: string }).code ?? "";
        if (attempt < maxAttempts && retriedCodes.has(code)) continue;
        throw inWords(error);
      }
    }
  }

  async probe(): Promise<void> {
    try {
      // A standby would read, but not write.
      await transaction(this.#connections, async (sql) => {
        await sql`UPDATE orb_counters SET value = value WHERE name = 'epoch'`;
      });
    } catch (error) {
      throw inWords(error);
    }
  }

  onRemoteChange(listener: (change: SignupChange) => void): void {
    this.#listeners.push(listener);
  }

  /** Hears of other servers; a connection that is lost is made anew. */
  async startListening(): Promise<void> {
    const first = await this.#listen();
    this.#listening = this.#keepListening(first);
  }

  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    await this.#listening;
    await this.#connections.pool.end();
  }

  /** Resolves once it listens, with what resolves once it does not any more. */
  async #listen(): Promise<{ ended: Promise<void> }> {
    let ended = Promise.withResolvers<void>();
    const options = connectionOptions(this.#options);
    const client = await this.#connections.hosts.openClient(options, (client) => {
      // Of another host than the one before.
      ended = Promise.withResolvers<void>();
      const { resolve } = ended;
      client.on("error", () => resolve());
      client.on("end", () => resolve());
      client.on("notification", ({ payload = "" }) => this.#hear(payload));
    });
    const { signal } = this.#closing;
    const end = () => void client.end().catch(() => {});
    try {
      await client.query(`LISTEN ${channel}`);
    } catch (error) {
      end();
      throw error;
    }
    this.#options.onListen();
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
    return {
      ended: ended.promise.finally(() => signal.removeEventListener("abort", end)),
    };
  }

  async #keepListening(first: { ended: Promise<void> }): Promise<void> {
    const { world } = this.#options;
    const { signal } = this.#closing;
    let listening: { ended: Promise<void> } | undefined = first;
    for (let failures = 0; !signal.aborted;) {
      try {
        await (listening ?? await this.#listen()).ended;
        failures = 0;
      } catch {
        // Why, the store's own state says: its transactions fail as well.
        failures++;
      }
      listening = undefined;
      const backoff = { baseDelayMs: 200, maxDelayMs: 5_000 };
      await pause(backoffDelayMs(Math.max(1, failures), backoff, world), { signal, world });
    }
  }

  async #transaction(commands: readonly RecordCommand[]): Promise<unknown[]> {
    return await transaction(this.#connections, async (sql) => {
      const [row] = await sql<{ now_ms: number }>`
        SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms`;
      const work = new PostgresTransaction(sql, this.#context, row!.now_ms);
      const replies = await work.run(commands);
      // What is only begun interests nobody elsewhere.
      const told = work.changes.filter(([, state]) => state !== "processing");
      for (let at = 0; at < told.length; at += changesPerNotification) {
        const text = this.#textOf(told.slice(at, at + changesPerNotification));
        await sql`SELECT pg_notify(${channel}, ${text})`;
      }
      return replies;
    });
  }

  #textOf(changes: readonly Change[]): string {
    return `${this.#name} ${changes.map((change) => change.join(":")).join(" ")}`;
  }

  #hear(text: string): void {
    const [name, ...changes] = text.split(" ");
    if (name === this.#name) return;
    for (const change of changes) {
      const [id = "", state] = change.split(":");
      for (const listener of this.#listeners) listener({ id, state: state as SignupState });
    }
  }
}

/** Whatever it is, it may work later: nothing was done, or nobody knows that it was. */
function inWords(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const { code = "" } = error as { code?: string };
  return new StoreError("unavailable", reasonOf(error), { code, cause: error });
}
