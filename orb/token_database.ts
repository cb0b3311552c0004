/**
 * The tokens on disk: one SQLite file, one row an image, which holds the image's SHA-256.
 *
 * Every call is one transaction that is durable when the call returns: write-ahead log with
 * `synchronous=FULL` (https://www.sqlite.org/pragma.html#pragma_synchronous). It is synchronous
 * and waits for the disk, so the server runs it in a worker (`token_worker.ts`).
 *
 * Rows are only ever appended, so a transaction writes one page or two however many tokens there
 * are. (Digests are random: as the key of a table, each of them would dirty a page of its own.)
 * Whether a digest is there is known by an index in memory (`token_index.ts`, with what it was
 * measured against), read from the rows at the start. The
 * file is locked while it is open: a second program could not know what the first one adds.
 *
 * @module
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { TokenIndex } from "./token_index.ts";

/** Bytes of a SHA-256 digest. */
export const digestBytes = 32;
const digestWords = digestBytes / 4;

/** What became of an image: stored now, there before, or nothing, as the disk refused. */
export type InsertResult = "new" | "duplicate" | "failed";

/** `PRAGMA user_version` of the schema below. */
const schemaVersion = 1;

const schema = `
  CREATE TABLE tokens (
    seq INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL CHECK (length(sha256) = ${digestBytes})
  ) STRICT;
`;

/** Digests in a row, one row of the table each: in one statement it costs a fifth of one each. */
const insertMany = `
  WITH RECURSIVE digest(n) AS (
    SELECT 0 UNION ALL SELECT n + 1 FROM digest WHERE n + 1 < length(?1) / ${digestBytes}
  )
  INSERT INTO tokens (seq, sha256)
  SELECT ?2 + n, substr(?1, 1 + ${digestBytes} * n, ${digestBytes}) FROM digest
`;

/** The first 64 bits of many digests in one string: row by row it would take ten times longer. */
const readHeads = `
  SELECT group_concat(hex(substr(sha256, 1, 8)), '' ORDER BY seq) AS hex
  FROM tokens WHERE seq > ?1 AND seq <= ?2
`;
const rowsPerRead = 16_384;

/** The database of a file. */
export class TokenDatabase {
  #database: DatabaseSync;
  #insertMany: StatementSync;
  #readRow: StatementSync;
  #index = new TokenIndex();
  /** Tokens stored, which is also the last row's number: rows have no gaps. */
  #count = 0;

  /**
   * Opens the file, making it if need be, and reads its index.
   *
   * @throws the reason of SQLite (not a database, corrupt, locked, disk full, not permitted), or
   * that the file was made by a later version.
   */
  constructor(path: string) {
    // The timeout lets a predecessor finish that is just going.
    this.#database = new DatabaseSync(path, { timeout: 2_000 });
    try {
      this.#database.exec(`
        PRAGMA locking_mode = EXCLUSIVE;
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
      `);
      this.#migrate(path);
      this.#insertMany = this.#database.prepare(insertMany);
      this.#readRow = this.#database.prepare("SELECT sha256 FROM tokens WHERE seq = ?");
      this.#readIndex();
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  #migrate(path: string): void {
    const version = Number(this.#database.prepare("PRAGMA user_version").get()?.user_version);
    if (version > schemaVersion) {
      throw new Error(
        `${path} has schema version ${version} and this program knows up to ${schemaVersion}; run the newer one`,
      );
    }
    if (version === schemaVersion) return;
    this.#transaction(() =>
      this.#database.exec(`${schema} PRAGMA user_version = ${schemaVersion};`)
    );
  }

  #readIndex(): void {
    const heads = this.#database.prepare(readHeads);
    for (;;) {
      const hex = heads.get(this.#count, this.#count + rowsPerRead)?.hex as string | null;
      if (hex === null) return;
      const words = wordsOf(Uint8Array.fromHex(hex));
      for (let at = 0; at < words.length; at += 2) {
        this.#index.add(words[at]!, words[at + 1]!, ++this.#count);
      }
    }
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
    const results = this.find(digests);
    const fresh = new Uint8Array(digests.length);
    let freshCount = 0;
    const seen = new Set<string>();
    results.forEach((result, position) => {
      if (result === "duplicate") return;
      const digest = digestAt(digests, position);
      const key = digest.toHex();
      results[position] = seen.has(key) ? "duplicate" : "new";
      if (seen.has(key)) return;
      seen.add(key);
      fresh.set(digest, digestBytes * freshCount++);
    });
    if (freshCount === 0) return results;

    const stored = fresh.subarray(0, digestBytes * freshCount);
    this.#transaction(() => this.#insertMany.run(stored, this.#count + 1));
    // Only now, as the index must not know what the disk does not.
    const words = wordsOf(stored);
    for (let at = 0; at < words.length; at += digestWords) {
      this.#index.add(words[at]!, words[at + 1]!, ++this.#count);
    }
    return results;
  }

  /** Says of each digest whether it is there; `failed` stands for one that is not. */
  find(digests: Uint8Array): InsertResult[] {
    const words = wordsOf(digests);
    const results: InsertResult[] = [];
    for (let position = 0; position < digests.length / digestBytes; position++) {
      const at = position * digestWords;
      const row = this.#index.find(words[at]!, words[at + 1]!, (row) => {
        const digest = this.#readRow.get(row)?.sha256 as Uint8Array;
        return digest.every((byte, index) => byte === digests[position * digestBytes + index]);
      });
      results.push(row === 0 ? "failed" : "duplicate");
    }
    return results;
  }

  /** Forgets every token. Durable when it returns. @throws the reason of SQLite */
  reset(): void {
    this.#transaction(() => this.#database.exec("DELETE FROM tokens"));
    this.#index.clear();
    this.#count = 0;
  }

  /** Proves that a transaction can be made durable, by one that changes nothing. @throws the reason of SQLite */
  probe(): void {
    // Writes the page that holds it, although the value stays the same.
    this.#transaction(() => this.#database.exec(`PRAGMA user_version = ${schemaVersion}`));
  }

  /** Closes the file; its write-ahead log is merged into it. */
  close(): void {
    this.#database.close();
  }

  #transaction(work: () => void): void {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#database.exec("COMMIT");
    } catch (error) {
      // On some errors (a full disk) SQLite rolls back by itself, on others it leaves that to us.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }
}

function digestAt(digests: Uint8Array, position: number): Uint8Array {
  return digests.subarray(position * digestBytes, (position + 1) * digestBytes);
}

/** The 32-bit words, in the byte order of this machine: it is the same each time. */
function wordsOf(digests: Uint8Array): Uint32Array {
  return new Uint32Array(digests.buffer, digests.byteOffset, digests.byteLength / 4);
}
