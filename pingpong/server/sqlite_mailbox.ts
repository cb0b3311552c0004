/**
 * The mailbox in a SQLite file, which outlives the server.
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

  /**
   * @throws {StartError} when the file cannot be opened as one
   * @throws {RangeError} a bound is out of range
   */
  constructor(path: string, options: MailboxOptions = {}) {
    this.#bounds = mailboxBounds(options);
    this.#database = openDatabase(path);
    this.#total = this.#count();
  }

  get dropped(): number {
    return this.#dropped;
  }

  put(client: string, { run, seq, requestId }: KeptAnswer): void {
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
    return this.#sql("SELECT 1 FROM kept_answers WHERE client = ? AND run = ? AND seq = ?")
      .get(client, run, seq) !== undefined;
  }

  waiting(client: string): KeptAnswer[] {
    return this.#sql(
      "SELECT run, seq, request_id AS requestId FROM kept_answers WHERE client = ? ORDER BY number",
    )
      .all(client)
      .map((row) => ({ ...row }) as unknown as KeptAnswer);
  }

  ackBelow(client: string, run: string, seq: number): void {
    this.#remove("client = ? AND run = ? AND seq < ?", client, run, seq);
  }

  ackOtherRuns(client: string, run: string): void {
    this.#remove("client = ? AND run <> ?", client, run);
  }

  expire(): void {
    const { world, maxAgeMs } = this.#bounds;
    this.#dropped += this.#remove("kept_at_ms <= ?", world.nowMs() - maxAgeMs);
  }

  batch<Result>(work: () => Result): Result {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      this.#database.exec("COMMIT");
      return result;
    } catch (error) {
      this.#database.exec("ROLLBACK");
      this.#total = this.#count();
      throw error;
    }
  }

  size(): MailboxSize {
    const { clients } = this.#sql("SELECT count(DISTINCT client) AS clients FROM kept_answers")
      .get() as { clients: number };
    return { ...this.#total, clients };
  }

  close(): void {
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
