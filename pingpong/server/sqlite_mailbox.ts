/**
 * The mailbox in a SQLite file, which outlives the server.
 *
 * A disk that fails costs the keeping, not the answers: they are sent all the same, and a client whose
 * session breaks then sends its pings again.
 *
 * @module
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { StartError } from "../../service/life_cycle.ts";
import { reasonOf } from "../../service/resilience.ts";
import {
  type KeptAnswer,
  type Mailbox,
  type MailboxBounds,
  mailboxBounds,
  type MailboxOptions,
  type MailboxSize,
} from "./mailbox.ts";

/** After a failure it has to work for this long, in milliseconds, to be said to work again. */
export const stableAfterMs = 1_000;

const schema = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  PRAGMA busy_timeout = 2000;
  CREATE TABLE IF NOT EXISTS kept_answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    client TEXT NOT NULL,
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    request_id BLOB NOT NULL,
    kept_at_ms INTEGER NOT NULL,
    UNIQUE (client, run, seq)
  ) STRICT;
`;

/** Options of {@linkcode SqliteMailbox}. */
export interface SqliteMailboxOptions extends MailboxOptions {
  /** Notified when the file begins to refuse what is written, and when it takes it again. @default nobody is */
  onState?: (state: "ok" | { reason: string }) => void;
}

/**
 * A mailbox in a file. What was answered before the process was killed is in it; a power failure
 * may take the last moments.
 *
 * @example
 * ```ts
 * const mailbox = new SqliteMailbox("mailbox.sqlite");
 * mailbox.batch(() => mailbox.put("alice-01", { run: "first-run", seq: 0, requestId: ping.id }));
 * mailbox.close();
 * ```
 */
export class SqliteMailbox implements Mailbox {
  readonly #bounds: MailboxBounds;
  readonly #database: DatabaseSync;
  /** Each statement is compiled once. */
  readonly #statements = new Map<string, StatementSync>();
  /** Counting rows takes as long as there are rows; keeping count does not. */
  #total: { answers: number; bytes: number };
  #dropped = 0;
  readonly #onState: (state: "ok" | { reason: string }) => void;
  /** Set while it fails: when it did last. */
  #failing: { lastMs: number } | undefined;
  #isClosed = false;

  /**
   * @throws {StartError} when the file cannot be opened as one
   * @throws {RangeError} a bound is out of range
   */
  constructor(path: string, options: SqliteMailboxOptions = {}) {
    this.#bounds = mailboxBounds(options);
    this.#onState = options.onState ?? (() => {});
    this.#database = openDatabase(path);
    this.#total = this.#count();
  }

  get dropped(): number {
    return this.#dropped;
  }

  put(client: string, answer: KeptAnswer): void {
    if (!this.#write(() => this.#insert(client, answer))) this.#dropped++;
    // In a batch it is kept when that is.
    else if (!this.#database.isTransaction) this.#succeeded();
  }

  #insert(client: string, { run, seq, requestId }: KeptAnswer): void {
    const { maxAnswersPerClient, maxAnswers, maxBytes, world } = this.#bounds;
    this.#remove("client = ? AND run = ? AND seq = ?", client, run, seq);
    this.#sql(
      "INSERT INTO kept_answers (client, run, seq, request_id, kept_at_ms) VALUES (?, ?, ?, ?, ?)",
    ).run(client, run, seq, requestId, world.nowMs());
    this.#total.answers++;
    this.#total.bytes += requestId.length;
    this.#dropped += this.#remove(
      "number IN (SELECT number FROM kept_answers WHERE client = ? ORDER BY number DESC LIMIT -1 OFFSET ?)",
      client,
      maxAnswersPerClient,
    );
    while (this.#total.answers > maxAnswers || this.#total.bytes > maxBytes) {
      this.#dropped += this.#remove("number = (SELECT min(number) FROM kept_answers)");
    }
  }

  has(client: string, run: string, seq: number): boolean {
    const select = "SELECT 1 FROM kept_answers WHERE client = ? AND run = ? AND seq = ?";
    let found = false;
    this.#write(() => found = this.#sql(select).get(client, run, seq) !== undefined);
    return found;
  }

  waiting(client: string): KeptAnswer[] {
    const select =
      "SELECT run, seq, request_id AS requestId FROM kept_answers WHERE client = ? ORDER BY number";
    let kept: KeptAnswer[] = [];
    this.#write(() =>
      kept = this.#sql(select).all(client).map((row) => ({ ...row }) as unknown as KeptAnswer)
    );
    return kept;
  }

  ackBelow(client: string, run: string, seq: number): void {
    this.#write(() => this.#remove("client = ? AND run = ? AND seq < ?", client, run, seq));
  }

  ackOtherRuns(client: string, run: string): void {
    this.#write(() => this.#remove("client = ? AND run <> ?", client, run));
  }

  expire(): void {
    const { world, maxAgeMs } = this.#bounds;
    const latestMs = world.nowMs() - maxAgeMs;
    this.#write(() => this.#dropped += this.#remove("kept_at_ms <= ?", latestMs));
  }

  batch<Result>(work: () => Result): Result {
    this.#write(() => this.#database.exec("BEGIN IMMEDIATE"));
    let result: Result;
    try {
      result = work();
    } catch (error) {
      this.#rollBack();
      throw error;
    }
    // On some errors (a full disk) SQLite has rolled back by itself.
    if (this.#isClosed || !this.#database.isTransaction) return result;
    if (this.#write(() => this.#database.exec("COMMIT"))) this.#succeeded();
    else this.#rollBack();
    return result;
  }

  #rollBack(): void {
    this.#write(() => {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      this.#total = this.#count();
    });
  }

  /** False when the file refuses it. @throws what is no error of SQLite */
  #write(work: () => void): boolean {
    // A session may end behind the server: what it has to say is lost with a kill as well.
    if (this.#isClosed) return false;
    try {
      work();
      return true;
    } catch (error) {
      if ((error as { code?: string }).code !== "ERR_SQLITE_ERROR") throw error;
      this.#failed(reasonOf(error));
      return false;
    }
  }

  #failed(reason: string): void {
    const lastMs = this.#bounds.world.nowMs();
    if (this.#failing) this.#failing.lastMs = lastMs;
    else {
      this.#failing = { lastMs };
      this.#onState({ reason });
    }
    try {
      this.#total = this.#count();
    } catch {
      // Not to be read either: it is counted when it works again.
    }
  }

  /** On a disk that is full some writes find room: it works again when it has for a while. */
  #succeeded(): void {
    if (!this.#failing) return;
    if (this.#bounds.world.nowMs() < this.#failing.lastMs + stableAfterMs) return;
    this.#failing = undefined;
    this.#onState("ok");
  }

  size(): MailboxSize {
    const select = "SELECT count(DISTINCT client) AS clients FROM kept_answers";
    let clients = 0;
    this.#write(() => clients = Number(this.#sql(select).get()?.clients));
    return { ...this.#total, clients };
  }

  close(): void {
    this.#isClosed = true;
    this.#database.close();
  }

  #sql(text: string): StatementSync {
    const known = this.#statements.get(text);
    if (known) return known;
    const prepared = this.#database.prepare(text);
    this.#statements.set(text, prepared);
    return prepared;
  }

  #count(): { answers: number; bytes: number } {
    const { answers, bytes } = this.#sql(
      "SELECT count(*) AS answers, coalesce(sum(length(request_id)), 0) AS bytes FROM kept_answers",
    ).get() as { answers: number; bytes: number };
    return { answers, bytes };
  }

  /** Deletes by a condition, keeps count, and says how many went. */
  #remove(condition: string, ...values: (string | number)[]): number {
    const gone = this.#sql(
      `DELETE FROM kept_answers WHERE ${condition} RETURNING length(request_id) AS bytes`,
    ).all(...values) as { bytes: number }[];
    this.#total.answers -= gone.length;
    for (const { bytes } of gone) this.#total.bytes -= bytes;
    return gone.length;
  }
}

function openDatabase(path: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    database.exec(schema);
    return database;
  } catch (error) {
    database?.close();
    throw new StartError(
      `Cannot keep the mailbox in ${path}: ${
        reasonOf(error)
      }. Give a file that can be written to, or that an earlier server has made, with --mailbox.`,
    );
  }
}
