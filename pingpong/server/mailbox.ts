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
import { StartError } from "../../service/life_cycle.ts";

/** An answer that waits. */
export interface KeptAnswer {
  /** The run of the client whose ping it answers. */
  run: string;
  /** The ping's number in that run. */
  seq: number;
  /** The id of that ping, from which the answer is made again. */
  requestId: Uint8Array;
}

/** What a mailbox holds. */
export interface MailboxSize {
  /** Answers. */
  answers: number;
  /** Bytes of the ids in them. */
  bytes: number;
  /** Clients that any of them are for. */
  clients: number;
}

/** Keeps answers by client. All methods are synchronous, so that an answer is kept before it is sent. */
export interface Mailbox {
  /** Keeps an answer; the oldest ones go if there is no room. */
  put(client: string, answer: KeptAnswer): void;
  /** Whether the answer to a ping is kept. */
  has(client: string, run: string, seq: number): boolean;
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
  /** Bytes of ids kept in all. @default 67_108_864 */
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
  /** The entries put before and after it, of whatever client. */
  older: MemoryEntry | undefined;
  newer: MemoryEntry | undefined;
}

interface MemoryBox {
  /** In the order they were put; few, as a client's next ping takes them away. */
  entries: MemoryEntry[];
  /** The highest number put, by run: anything above it is not here. */
  highest: Map<string, number>;
}

/**
 * Makes a mailbox that lives as long as the process.
 *
 * Every ping puts and acknowledges: with all entries in one linked list it leaves nothing to the
 * collector but the entry itself.
 */
export function memoryMailbox(options: MailboxOptions = {}): Mailbox {
  const bounds = boundsOf(options);
  const boxes = new Map<string, MemoryBox>();
  let oldest: MemoryEntry | undefined;
  let newest: MemoryEntry | undefined;
  let answers = 0;
  let bytes = 0;
  let dropped = 0;

  function append(entry: MemoryEntry): void {
    entry.older = newest;
    if (newest) newest.newer = entry;
    else oldest = entry;
    newest = entry;
    answers++;
    bytes += entry.requestId.length;
  }

  function unlink(entry: MemoryEntry): void {
    if (entry.older) entry.older.newer = entry.newer;
    else oldest = entry.newer;
    if (entry.newer) entry.newer.older = entry.older;
    else newest = entry.older;
    // What the collector has moved aside must not hold on to its neighbours.
    entry.older = entry.newer = undefined;
    answers--;
    bytes -= entry.requestId.length;
  }

  /** Takes away the entries that are meant. */
  function remove({ entries }: MemoryBox, isMeant: (entry: MemoryEntry) => boolean): void {
    let kept = 0;
    for (const entry of entries) {
      if (isMeant(entry)) unlink(entry);
      else entries[kept++] = entry;
    }
    entries.length = kept;
  }

  function drop(entry: MemoryEntry): void {
    remove(boxes.get(entry.client)!, (one) => one === entry);
    dropped++;
  }

  function forgetEmptyRuns({ entries, highest }: MemoryBox): void {
    const runs = new Set(entries.map((entry) => entry.run));
    for (const run of highest.keys()) if (!runs.has(run)) highest.delete(run);
  }

  function has(box: MemoryBox | undefined, run: string, seq: number): boolean {
    return box !== undefined && seq <= (box.highest.get(run) ?? -1) &&
      box.entries.some((entry) => entry.run === run && entry.seq === seq);
  }

  return {
    put(client, { run, seq, requestId }) {
      let box = boxes.get(client);
      if (!box) boxes.set(client, box = { entries: [], highest: new Map() });
      if (has(box, run, seq)) remove(box, (entry) => entry.run === run && entry.seq === seq);
      const entry: MemoryEntry = {
        ...{ run, seq, requestId, client, keptAtMs: bounds.now() },
        ...{ older: undefined, newer: undefined },
      };
      box.entries.push(entry);
      append(entry);
      if (seq > (box.highest.get(run) ?? -1)) box.highest.set(run, seq);
      if (box.highest.size > bounds.maxAnswersPerClient) forgetEmptyRuns(box);
      if (box.entries.length > bounds.maxAnswersPerClient) drop(box.entries[0]!);
      while (oldest && (answers > bounds.maxAnswers || bytes > bounds.maxBytes)) drop(oldest);
    },
    has: (client, run, seq) => has(boxes.get(client), run, seq),
    waiting: (client) =>
      boxes.get(client)?.entries.map(({ run, seq, requestId }) => ({ run, seq, requestId })) ?? [],
    ackBelow(client, run, seq) {
      const box = boxes.get(client);
      if (box) remove(box, (entry) => entry.run === run && entry.seq < seq);
    },
    ackOtherRuns(client, run) {
      const box = boxes.get(client);
      if (!box || (box.highest.size === 1 && box.highest.has(run))) return;
      remove(box, (entry) => entry.run !== run);
      for (const other of box.highest.keys()) if (other !== run) box.highest.delete(other);
    },
    expire() {
      const latest = bounds.now() - bounds.maxAgeMs;
      while (oldest && oldest.keptAtMs <= latest) drop(oldest);
      // A client that has nothing here is forgotten; it is made anew by its next answer.
      for (const [client, { entries }] of boxes) if (entries.length === 0) boxes.delete(client);
    },
    batch: (work) => work(),
    size: () => ({
      answers,
      bytes,
      clients: boxes.values().filter(({ entries }) => entries.length > 0).toArray().length,
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
    sql(
      "SELECT count(*) AS answers, coalesce(sum(length(request_id)), 0) AS bytes FROM kept_answers",
    )
      .get() as { answers: number; bytes: number };
  let total = count();

  /** Deletes by a condition and keeps count. */
  function remove(condition: string, ...values: (string | number)[]): number {
    const gone = sql(
      `DELETE FROM kept_answers WHERE ${condition} RETURNING length(request_id) AS bytes`,
    )
      .all(...values) as { bytes: number }[];
    total.answers -= gone.length;
    for (const { bytes } of gone) total.bytes -= bytes;
    return gone.length;
  }

  return {
    put(client, { run, seq, requestId }) {
      remove("client = ? AND run = ? AND seq = ?", client, run, seq);
      sql(
        "INSERT INTO kept_answers (client, run, seq, request_id, kept_at_ms) VALUES (?, ?, ?, ?, ?)",
      )
        .run(client, run, seq, requestId, bounds.now());
      total.answers++;
      total.bytes += requestId.length;
      dropped += remove(
        "number IN (SELECT number FROM kept_answers WHERE client = ? ORDER BY number DESC LIMIT -1 OFFSET ?)",
        client,
        bounds.maxAnswersPerClient,
      );
      while (total.answers > bounds.maxAnswers || total.bytes > bounds.maxBytes) {
        dropped += remove("number = (SELECT min(number) FROM kept_answers)");
      }
    },
    has(client, run, seq) {
      return sql("SELECT 1 FROM kept_answers WHERE client = ? AND run = ? AND seq = ?")
        .get(client, run, seq) !== undefined;
    },
    waiting(client) {
      return sql(
        "SELECT run, seq, request_id AS requestId FROM kept_answers WHERE client = ? ORDER BY number",
      )
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
      const { clients } = sql("SELECT count(DISTINCT client) AS clients FROM kept_answers")
        .get() as {
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
