/**
 * The tokens on disk: one SQLite file, one row an image, keyed by the image's SHA-256.
 *
 * Every call is one transaction that is durable when the call returns: write-ahead log with
 * `synchronous=FULL` (https://www.sqlite.org/pragma.html#pragma_synchronous). It is synchronous
 * and waits for the disk, so the server runs it in a worker (`token_store.ts`).
 *
 * @module
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";

/** Bytes of a SHA-256 digest. */
export const digestBytes = 32;

/** What became of an image: stored now, there before, or unknown as the disk failed. */
export const insertResults = ["new", "duplicate", "failed"] as const;
/** One of {@linkcode insertResults}. */
export type InsertResult = typeof insertResults[number];

/** `PRAGMA user_version` of the schema below. */
const schemaVersion = 1;

/** The database of a file. */
export class TokenDatabase {
  #database: DatabaseSync;
  #insert: StatementSync;
  #find: StatementSync;
  #count: number;

  /**
   * Opens the file, making it if need be.
   *
   * @throws the reason of SQLite (not a database, corrupt, disk full, not permitted), or that the
   * file's schema is of a later version.
   */
  constructor(path: string) {
    this.#database = new DatabaseSync(path, { timeout: 5_000 });
    try {
      this.#database.exec(`
        PRAGMA page_size = 4096;
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
      `);
      this.#migrate(path);
      this.#insert = this.#database.prepare(
        "INSERT INTO tokens (sha256) VALUES (?) ON CONFLICT DO NOTHING",
      );
      this.#find = this.#database.prepare("SELECT 1 FROM tokens WHERE sha256 = ?");
      this.#count = Number(this.#database.prepare("SELECT count(*) AS n FROM tokens").get()?.n);
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  #migrate(path: string): void {
    const version = Number(this.#database.prepare("PRAGMA user_version").get()?.user_version);
    if (version > schemaVersion) {
      throw new Error(
        `${path} has schema version ${version}, this program knows up to ${schemaVersion}: run the newer program`,
      );
    }
    if (version === schemaVersion) return;
    this.#database.exec(`
      BEGIN IMMEDIATE;
      CREATE TABLE IF NOT EXISTS tokens (
        sha256 BLOB PRIMARY KEY CHECK (length(sha256) = ${digestBytes})
      ) STRICT, WITHOUT ROWID;
      PRAGMA user_version = ${schemaVersion};
      COMMIT;
    `);
  }

  /** Tokens stored. */
  get count(): number {
    return this.#count;
  }

  /**
   * Stores digests (their bytes in a row, {@linkcode digestBytes} each) and says of each whether it
   * was new. Durable when it returns.
   *
   * @throws the reason of SQLite; then none of them was stored.
   */
  insert(digests: Uint8Array): InsertResult[] {
    return this.#transaction(() => {
      const results: InsertResult[] = [];
      let added = 0;
      for (let at = 0; at < digests.length; at += digestBytes) {
        const { changes } = this.#insert.run(digests.subarray(at, at + digestBytes));
        results.push(changes === 0 ? "duplicate" : "new");
        added += Number(changes);
      }
      return { result: results, count: this.#count + added };
    });
  }

  /** For digests that could not be stored: those that were there before are still duplicates. */
  find(digests: Uint8Array): InsertResult[] {
    const results: InsertResult[] = [];
    for (let at = 0; at < digests.length; at += digestBytes) {
      const row = this.#find.get(digests.subarray(at, at + digestBytes));
      results.push(row === undefined ? "failed" : "duplicate");
    }
    return results;
  }

  /** Forgets every token. Durable when it returns. */
  reset(): void {
    this.#transaction(() => {
      this.#database.exec("DELETE FROM tokens");
      return { result: undefined, count: 0 };
    });
  }

  /** Proves that a transaction can be made durable, by one that changes nothing. @throws as {@linkcode insert} */
  probe(): void {
    // Writes the page that holds it, although the value is the same.
    this.#transaction(() => {
      this.#database.exec(`PRAGMA user_version = ${schemaVersion}`);
      return { result: undefined, count: this.#count };
    });
  }

  /** Closes the file; its write-ahead log is merged into it. */
  close(): void {
    this.#database.close();
  }

  #transaction<Result>(work: () => { result: Result; count: number }): Result {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      const { result, count } = work();
      this.#database.exec("COMMIT");
      this.#count = count;
      return result;
    } catch (error) {
      // SQLite rolls back by itself on some errors (a full disk), on others it leaves that to us.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }
}
