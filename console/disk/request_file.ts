/**
 * The file of `--store`: accepted OTLP requests as they came, in SQLite, the oldest of which go when
 * there are too many bytes of them or they are too old.
 *
 * Requests and not spans: writing one is a copy of bytes, and what a later console can read of a
 * request, it reads. What was written survives the process (WAL, synchronous NORMAL); a machine that
 * loses its power may lose the last transactions, never the file.
 *
 * @module
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";

/** A request as it lies in the file. */
export interface KeptRequest {
  readonly signal: "traces" | "metrics" | "logs";
  readonly contentType: string;
  /** Empty for none. */
  readonly contentEncoding: string;
  readonly receivedMs: number;
  readonly body: Uint8Array;
}

/** Options of {@linkcode RequestFile}. */
export interface RequestFileOptions {
  path: string;
  /** Bytes of requests kept, at least 1; the file is somewhat larger. */
  maxBytes: number;
  /** How old a request may become, in milliseconds. */
  maxAgeMs: number;
}

/** "Orry": what says that a file is ours. */
const applicationId = 0x4f727279;
const schemaVersion = 1;
/** What a row costs besides its body. */
const rowBytes = 64;

/**
 * See the module. Opens the file, or makes it.
 *
 * @throws {Error} it is no such file, of another version, broken, or another process has it
 *
 * @example
 * ```ts
 * const file = new RequestFile({ path: "console.sqlite", maxBytes: 256e6, maxAgeMs: 86_400_000 });
 * file.write([request], nowMs);
 * for (const { body } of file.readAfter(file.startOfNewest(96e6), 100)) take(body);
 * ```
 */
export class RequestFile {
  readonly #options: RequestFileOptions;
  readonly #database: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #readAfter: StatementSync;
  readonly #sizes: StatementSync;
  #bytes = 0;

  constructor(options: RequestFileOptions) {
    this.#options = options;
    const database = this.#database = new DatabaseSync(options.path, { timeout: 200 });
    try {
      // One console a file: another one finds it locked.
      database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA auto_vacuum = INCREMENTAL;");
      this.#checkOurs();
      database.exec(`
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = NORMAL;
        PRAGMA journal_size_limit = 16777216;
        CREATE TABLE IF NOT EXISTS requests (
          seq INTEGER PRIMARY KEY,
          received_ms INTEGER NOT NULL,
          signal TEXT NOT NULL,
          content_type TEXT NOT NULL,
          content_encoding TEXT NOT NULL,
          body BLOB NOT NULL
        ) STRICT;
        PRAGMA application_id = ${applicationId};
        PRAGMA user_version = ${schemaVersion};
      `);
      this.#insert = database.prepare(
        "INSERT INTO requests (received_ms, signal, content_type, content_encoding, body) VALUES (?, ?, ?, ?, ?)",
      );
      this.#readAfter = database.prepare(
        "SELECT * FROM requests WHERE seq > ? ORDER BY seq LIMIT ?",
      );
      this.#sizes = database.prepare(
        "SELECT seq, received_ms, length(body) AS length FROM requests ORDER BY seq",
      );
      this.#bytes = this.#number(
        `SELECT coalesce(sum(length(body) + ${rowBytes}), 0) FROM requests`,
      );
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** Bytes of the requests in it. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many requests are in it. */
  get requests(): number {
    return this.#number("SELECT count(*) FROM requests");
  }

  /** Adds requests, all or none, and lets go of the oldest that are too many or too old. */
  write(requests: Iterable<KeptRequest>, nowMs: number): void {
    this.#transaction(() => {
      for (const { receivedMs, signal, contentType, contentEncoding, body } of requests) {
        this.#insert.run(Math.round(receivedMs), signal, contentType, contentEncoding, body);
        this.#bytes += body.length + rowBytes;
      }
      this.#forgetOld(nowMs);
    });
    this.#database.exec("PRAGMA incremental_vacuum(1000)");
  }

  /** Lets go of all of it. */
  clear(): void {
    this.#transaction(() => {
      this.#database.exec("DELETE FROM requests");
      this.#bytes = 0;
    });
    this.#database.exec("PRAGMA incremental_vacuum");
  }

  /** The number before the first of the newest requests that have so many bytes together. */
  startOfNewest(maxBytes: number): number {
    return this.#number(
      `SELECT coalesce(max(seq), 0) FROM (
         SELECT seq, sum(length(body)) OVER (ORDER BY seq DESC) AS total FROM requests
       ) WHERE total > ${Math.floor(maxBytes)}`,
    );
  }

  /** The next requests after a number, in their order. */
  readAfter(seq: number, limit: number): { seq: number; request: KeptRequest }[] {
    return this.#readAfter.all(seq, limit).map((row) => ({
      seq: Number(row.seq),
      request: {
        signal: String(row.signal) as KeptRequest["signal"],
        contentType: String(row.content_type),
        contentEncoding: String(row.content_encoding),
        receivedMs: Number(row.received_ms),
        body: row.body as Uint8Array,
      },
    }));
  }

  /** Ends it; what was written is in the one file then. */
  close(): void {
    this.#database.close();
  }

  /** The oldest are first, so that looking ends at the first that stays. */
  #forgetOld(nowMs: number): void {
    const { maxAgeMs, maxBytes } = this.#options;
    const tooOldMs = nowMs - maxAgeMs;
    // A tenth more than needed: each time costs something, however little goes.
    let surplus = this.#bytes > maxBytes ? this.#bytes - maxBytes * 0.9 : 0;
    let last = 0;
    for (const { seq, received_ms, length } of this.#sizes.iterate()) {
      if (surplus <= 0 && Number(received_ms) >= tooOldMs) break;
      last = Number(seq);
      surplus -= Number(length) + rowBytes;
      this.#bytes -= Number(length) + rowBytes;
    }
    if (last > 0) this.#database.exec(`DELETE FROM requests WHERE seq <= ${last}`);
  }

  #checkOurs(): void {
    const id = this.#number("SELECT application_id FROM pragma_application_id");
    const tables = this.#number("SELECT count(*) FROM sqlite_schema");
    if (id !== applicationId && tables > 0) throw new Error("it is the file of another program");
    const version = this.#number("SELECT user_version FROM pragma_user_version");
    if (version > schemaVersion) {
      throw new Error(
        `it is of a later console: version ${version}, this one knows ${schemaVersion}`,
      );
    }
  }

  #number(sql: string): number {
    const row = this.#database.prepare(sql).get() ?? {};
    return Number(Object.values(row)[0] ?? 0);
  }

  #transaction(run: () => void): void {
    const bytes = this.#bytes;
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      run();
      this.#database.exec("COMMIT");
    } catch (error) {
      this.#bytes = bytes;
      // A full disk may have ended the transaction by itself.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }
}
