/**
 * The tokens in SQLite: one row an image, which holds the image's SHA-256.
 *
 * Rows are only ever appended, so a transaction writes one page or two however many tokens there
 * are. (Digests are random: as the key of a table, each of them would dirty a page of its own.)
 * Whether a digest is there is known by an index in memory (`token_index.ts`, with what it was
 * measured against), read from the rows at the start. What a transaction adds is known to the rest
 * of that transaction, and to the index only once it is durable.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { TokenIndex } from "./token_index.ts";

/** Bytes of a SHA-256 digest. */
export const digestBytes = 32;

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

/** The table of tokens, within the transactions of its caller. */
export class TokenTable {
  readonly #database: DatabaseSync;
  readonly #insertMany: StatementSync;
  readonly #readRow: StatementSync;
  readonly #index = new TokenIndex();
  /** Durable tokens, which is also the last row's number: rows have no gaps. */
  #count = 0;
  /** What this transaction has added so far, by its hex. */
  readonly #added = new Map<string, Uint8Array>();
  #wasReset = false;

  /** Reads the index. @throws the reason of SQLite */
  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#insertMany = database.prepare(insertMany);
    this.#readRow = database.prepare("SELECT sha256 FROM tokens WHERE seq = ?");
    const heads = database.prepare(readHeads);
    for (;;) {
      const hex = heads.get(this.#count, this.#count + rowsPerRead)?.hex as string | null;
      if (hex === null) return;
      const words = wordsOf(Uint8Array.fromHex(hex));
      for (let at = 0; at < words.length; at += 2) {
        this.#index.add(words[at]!, words[at + 1]!, ++this.#count);
      }
    }
  }

  /** Tokens stored, with those of this transaction. */
  get count(): number {
    return (this.#wasReset ? 0 : this.#count) + this.#added.size;
  }

  /** Whether a digest is there. */
  has(digest: Uint8Array): boolean {
    return this.#added.has(digest.toHex()) || (!this.#wasReset && this.#isDurable(digest));
  }

  /**
   * Adds digests (their bytes in a row, {@linkcode digestBytes} each) that are not there, and says
   * of each whether it was new. {@linkcode TokenTable.write} writes them.
   */
  add(digests: Uint8Array): ("new" | "duplicate")[] {
    const results: ("new" | "duplicate")[] = [];
    for (let at = 0; at < digests.length; at += digestBytes) {
      const digest = digests.subarray(at, at + digestBytes);
      const hex = digest.toHex();
      const isKnown = this.#added.has(hex) || (!this.#wasReset && this.#isDurable(digest));
      results.push(isKnown ? "duplicate" : "new");
      if (!isKnown) this.#added.set(hex, digest);
    }
    return results;
  }

  /**
   * Writes what was added, in one piece; call it last in a transaction.
   *
   * @throws the reason of SQLite; the transaction is to be rolled back.
   */
  write(): void {
    if (this.#added.size === 0) return;
    const digests = new Uint8Array(this.#added.size * digestBytes);
    let at = 0;
    for (const digest of this.#added.values()) {
      digests.set(digest, at);
      at += digestBytes;
    }
    this.#insertMany.run(digests, (this.#wasReset ? 0 : this.#count) + 1);
  }

  /** Forgets every token. @throws the reason of SQLite */
  reset(): void {
    this.#database.exec("DELETE FROM tokens");
    this.#added.clear();
    this.#wasReset = true;
  }

  /** The transaction is durable. */
  committed(): void {
    if (this.#wasReset) {
      this.#index.clear();
      this.#count = 0;
    }
    for (const digest of this.#added.values()) {
      const words = wordsOf(digest);
      this.#index.add(words[0]!, words[1]!, ++this.#count);
    }
    this.rolledBack();
  }

  /** The transaction was rolled back. */
  rolledBack(): void {
    this.#added.clear();
    this.#wasReset = false;
  }

  #isDurable(digest: Uint8Array): boolean {
    const [first, second] = wordsOf(digest);
    const row = this.#index.find(first!, second!, (row) => {
      const stored = this.#readRow.get(row)?.sha256 as Uint8Array;
      return stored.every((byte, index) => byte === digest[index]);
    });
    return row !== 0;
  }
}

/** The 32-bit words, in the byte order of this machine: it is the same each time. */
function wordsOf(digests: Uint8Array): Uint32Array {
  return digests.byteOffset % 4 === 0
    ? new Uint32Array(digests.buffer, digests.byteOffset, digests.byteLength / 4)
    : new Uint32Array(digests.slice().buffer);
}
