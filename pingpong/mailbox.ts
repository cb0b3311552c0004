/**
 * Answers kept until the client that named itself has said that it has them: in memory, or in a
 * SQLite file so that they survive the server.
 *
 * An answer is put here before it is sent. The client's next ping says which answers it needs no
 * more; what a broken connection swallowed stays, and is delivered when the client is back.
 * Bounded in count, bytes and age: the oldest go first, and are counted. Nothing is lost by that,
 * as a client sends an unanswered ping again; the answer is then made anew.
 *
 * @module
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { StartError } from "../service/life_cycle.ts";

/** An answer that waits. */
export interface KeptAnswer {
  /** The run of the client whose ping it answers. */
  run: string;
  /** The ping's number in that run. */
  seq: number;
  /** The message, encoded, without extension. */
  message: Uint8Array;
}

/** What a mailbox holds. */
export interface MailboxSize {
  /** Answers. */
  answers: number;
  /** Bytes of their messages. */
  bytes: number;
  /** Clients that any of them are for. */
  clients: number;
}

/** Keeps answers by client. All methods are synchronous, so that an answer is kept before it is sent. */
export interface Mailbox {
  /** Keeps an answer; the oldest ones go if there is no room. */
  put(client: string, answer: KeptAnswer): void;
  /** The answer to a ping, if it is kept. */
  find(client: string, run: string, seq: number): Uint8Array | undefined;
  /** All that is kept for a client, the oldest first. */
  waiting(client: string): KeptAnswer[];
  /** The client needs no answer of this run below this number any more. */
  ackBelow(client: string, run: string, seq: number): void;
  /** The client has all that was kept for its earlier runs. */
  ackOtherRuns(client: string, run: string): void;
  /** Drops what is too old. */
  expire(): void;
  /** Carries out several changes as one, all or none. */
  batch<Result>(work: () => Result): Result;
  /** What it holds. */
  size(): MailboxSize;
  /** Answers that were dropped for want of room or for their age. */
  readonly dropped: number;
  /** Closes the file, if any. */
  close(): void;
}

/** Bounds of a mailbox. */
export interface MailboxOptions {
  /** Answers kept for one client. @default 1_024 */
  maxAnswersPerClient?: number;
  /** Answers kept in all. @default 100_000 */
  maxAnswers?: number;
  /** Bytes of messages kept in all. @default 67_108_864 */
  maxBytes?: number;
  /** How long an answer is kept, in milliseconds. @default 600_000 */
  maxAgeMs?: number;
  /** The clock, in milliseconds since the epoch. @default Date.now */
  now?: () => number;
}

interface Bounds extends Required<MailboxOptions> {}

function boundsOf(options: MailboxOptions): Bounds {
  return {
    maxAnswersPerClient: options.maxAnswersPerClient ?? 1_024,
    maxAnswers: options.maxAnswers ?? 100_000,
    maxBytes: options.maxBytes ?? 67_108_864,
    maxAgeMs: options.maxAgeMs ?? 600_000,
    now: options.now ?? Date.now,
  };
}

interface MemoryEntry extends KeptAnswer {
  client: string;
  keptAtMs: number;
  /** In the order they were put. */
  number: number;
}

/** Makes a mailbox that lives as long as the process. */
export function memoryMailbox(options: MailboxOptions = {}): Mailbox {
  const bounds = boundsOf(options);
  /** By client, run and number. A ping puts and acknowledges: nothing here may cost much. */
  const boxes = new Map<string, Map<string, Map<number, MemoryEntry>>>();
  /** The oldest comes first: a set keeps the order of insertion. */
  const all = new Set<MemoryEntry>();
  const counts = new Map<string, number>();
  let bytes = 0;
  let puts = 0;
  let dropped = 0;

  function runOf(client: string, run: string): Map<number, MemoryEntry> {
    let box = boxes.get(client);
    if (!box) boxes.set(client, box = new Map());
    let entries = box.get(run);
    if (!entries) box.set(run, entries = new Map());
    return entries;
  }

  function entriesOf(client: string): MemoryEntry[] {
    return [...boxes.get(client)?.values() ?? []]
      .flatMap((entries) => [...entries.values()])
      .sort((a, b) => a.number - b.number);
  }

  function remove(entry: MemoryEntry): void {
    all.delete(entry);
    bytes -= entry.message.length;
    counts.set(entry.client, counts.get(entry.client)! - 1);
    boxes.get(entry.client)!.get(entry.run)!.delete(entry.seq);
  }

  function drop(entry: MemoryEntry | undefined): void {
    if (!entry) return;
    remove(entry);
    dropped++;
  }

  return {
    put(client, { run, seq, message }) {
      const entries = runOf(client, run);
      const known = entries.get(seq);
      if (known) remove(known);
      const entry = { run, seq, message, client, keptAtMs: bounds.now(), number: puts++ };
      entries.set(seq, entry);
      all.add(entry);
      bytes += message.length;
      const count = (counts.get(client) ?? 0) + 1;
      counts.set(client, count);
      if (count > bounds.maxAnswersPerClient) drop(entriesOf(client)[0]);
      while (all.size > bounds.maxAnswers || bytes > bounds.maxBytes) {
        drop(all.values().next().value);
      }
    },
    find: (client, run, seq) => boxes.get(client)?.get(run)?.get(seq)?.message,
    waiting: (client) => entriesOf(client).map(({ run, seq, message }) => ({ run, seq, message })),
    ackBelow(client, run, seq) {
      const entries = boxes.get(client)?.get(run);
      if (!entries) return;
      for (const entry of entries.values()) if (entry.seq < seq) remove(entry);
    },
    ackOtherRuns(client, run) {
      const box = boxes.get(client);
      if (!box || (box.size === 1 && box.has(run))) return;
      for (const entry of entriesOf(client)) if (entry.run !== run) remove(entry);
      for (const other of box.keys()) if (other !== run) box.delete(other);
    },
    expire() {
      const oldest = bounds.now() - bounds.maxAgeMs;
      for (const entry of all) {
        if (entry.keptAtMs > oldest) break;
        drop(entry);
      }
      // A client that has nothing here is forgotten; it is made anew by its next answer.
      for (const [client, count] of counts) {
        if (count > 0) continue;
        counts.delete(client);
        boxes.delete(client);
      }
    },
    batch: (work) => work(),
    size: () => ({
      answers: all.size,
      bytes,
      clients: counts.values().filter((count) => count > 0).toArray().length,
    }),
    get dropped() {
      return dropped;
    },
    close() {},
  };
}

const schema = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  PRAGMA busy_timeout = 2000;
  CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    client TEXT NOT NULL,
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    message BLOB NOT NULL,
    kept_at_ms INTEGER NOT NULL,
    UNIQUE (client, run, seq)
  ) STRICT;
`;

/**
 * Opens a mailbox in a SQLite file. What was answered before the process was killed is in it; a
 * power failure may take the last moments.
 *
 * @throws {StartError} when the file cannot be opened as one
 */
export function sqliteMailbox(path: string, options: MailboxOptions = {}): Mailbox {
  const bounds = boundsOf(options);
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(path);
    database.exec(schema);
  } catch (error) {
    throw new StartError(
      `Cannot keep the mailbox in ${path}: ${
        error instanceof Error ? error.message : String(error)
      }. Give a file that can be written to, or that an earlier server has made, with --mailbox.`,
    );
  }
  const statements = new Map<string, StatementSync>();
  /** Each statement is compiled once. */
  function sql(text: string): StatementSync {
    const known = statements.get(text) ?? database.prepare(text);
    statements.set(text, known);
    return known;
  }

  let dropped = 0;
  // Counting rows takes as long as there are rows; keeping count does not.
  const count = () =>
    sql("SELECT count(*) AS answers, coalesce(sum(length(message)), 0) AS bytes FROM answers")
      .get() as { answers: number; bytes: number };
  let total = count();

  /** Deletes by a condition and keeps count. */
  function remove(condition: string, ...values: (string | number)[]): number {
    const gone = sql(`DELETE FROM answers WHERE ${condition} RETURNING length(message) AS bytes`)
      .all(...values) as { bytes: number }[];
    total.answers -= gone.length;
    for (const { bytes } of gone) total.bytes -= bytes;
    return gone.length;
  }

  return {
    put(client, { run, seq, message }) {
      remove("client = ? AND run = ? AND seq = ?", client, run, seq);
      sql("INSERT INTO answers (client, run, seq, message, kept_at_ms) VALUES (?, ?, ?, ?, ?)")
        .run(client, run, seq, message, bounds.now());
      total.answers++;
      total.bytes += message.length;
      dropped += remove(
        "number IN (SELECT number FROM answers WHERE client = ? ORDER BY number DESC LIMIT -1 OFFSET ?)",
        client,
        bounds.maxAnswersPerClient,
      );
      while (total.answers > bounds.maxAnswers || total.bytes > bounds.maxBytes) {
        dropped += remove("number = (SELECT min(number) FROM answers)");
      }
    },
    find(client, run, seq) {
      const row = sql("SELECT message FROM answers WHERE client = ? AND run = ? AND seq = ?")
        .get(client, run, seq) as { message: Uint8Array } | undefined;
      return row?.message;
    },
    waiting(client) {
      return sql("SELECT run, seq, message FROM answers WHERE client = ? ORDER BY number")
        .all(client)
        .map((row) => ({ ...row }) as unknown as KeptAnswer);
    },
    ackBelow(client, run, seq) {
      remove("client = ? AND run = ? AND seq < ?", client, run, seq);
    },
    ackOtherRuns(client, run) {
      remove("client = ? AND run <> ?", client, run);
    },
    expire() {
      dropped += remove("kept_at_ms <= ?", bounds.now() - bounds.maxAgeMs);
    },
    batch(work) {
      database.exec("BEGIN IMMEDIATE");
      try {
        const result = work();
        database.exec("COMMIT");
        return result;
      } catch (error) {
        database.exec("ROLLBACK");
        total = count();
        throw error;
      }
    },
    size() {
      const { clients } = sql("SELECT count(DISTINCT client) AS clients FROM answers").get() as {
        clients: number;
      };
      return { answers: total.answers, bytes: total.bytes, clients };
    },
    get dropped() {
      return dropped;
    },
    close() {
      database.close();
    },
  };
}
