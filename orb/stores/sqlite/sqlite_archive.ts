/**
 * The SQLite file as an archive, in this process: also while a server has it open, as of one moment
 * (a read transaction on the write-ahead log).
 *
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import { type ArchivedRecord, type RecordArchive, restored } from "../record_archive.ts";
import { recordOf, SignupTable } from "./signup_table.ts";
import { TokenTable } from "./token_table.ts";

/** The database of {@linkcode SqliteRecords} as an archive; `close` closes it. */
export class SqliteArchive implements RecordArchive {
  readonly #database: DatabaseSync;
  readonly #close: () => void;

  constructor(database: DatabaseSync, close: () => void) {
    this.#database = database;
    this.#close = close;
  }

  async *read(): AsyncIterable<ArchivedRecord> {
    const database = this.#database;
    database.exec("BEGIN");
    try {
      for (const row of database.prepare("SELECT sha256 FROM tokens ORDER BY seq").iterate()) {
        yield { kind: "token", sha256: (row.sha256 as Uint8Array).toHex() };
      }
      for (const row of database.prepare("SELECT * FROM signups ORDER BY id").iterate()) {
        yield { kind: "signup", signup: recordOf(row) };
      }
      for (const row of database.prepare("SELECT * FROM fingerprints ORDER BY seq").iterate()) {
        const { seq, signup_id, bytes } = row;
        yield {
          kind: "fingerprint",
          fingerprint: {
            seq: seq as number,
            signupId: signup_id as string,
            bytes: bytes as Uint8Array,
          },
        };
      }
      for (const row of database.prepare("SELECT * FROM documents").iterate()) {
        yield {
          kind: "document",
          collection: row.collection as string,
          document: {
            key: row.key as string,
            value: JSON.parse(row.value as string),
            version: row.version as number,
            updatedMs: row.updated_ms as number,
          },
        };
      }
    } finally {
      database.exec("ROLLBACK");
    }
  }

  isEmpty(): Promise<boolean> {
    const row = this.#database.prepare(
      `SELECT EXISTS (SELECT 1 FROM tokens) OR EXISTS (SELECT 1 FROM signups)
         OR EXISTS (SELECT 1 FROM documents) AS is_filled`,
    ).get();
    return Promise.resolve(row?.is_filled === 0);
  }

  async write(records: AsyncIterable<ArchivedRecord>): Promise<void> {
    const database = this.#database;
    const tokens = new TokenTable(database);
    const signups = new SignupTable(database);
    const addFingerprint = database.prepare(
      "INSERT INTO fingerprints (seq, signup_id, bytes) VALUES (?, ?, ?)",
    );
    const addDocument = database.prepare(
      `INSERT INTO documents (collection, key, value, version, updated_ms) VALUES (?, ?, ?, ?, ?)`,
    );
    database.exec("BEGIN IMMEDIATE");
    try {
      for await (const record of records) {
        if (record.kind === "token") tokens.add(Uint8Array.fromHex(record.sha256));
        else if (record.kind === "signup") signups.insert(restored(record.signup));
        else if (record.kind === "fingerprint") {
          const { seq, signupId, bytes } = record.fingerprint;
          addFingerprint.run(seq, signupId, bytes);
        } else {
          const { key, value, version, updatedMs } = record.document;
          addDocument.run(record.collection, key, JSON.stringify(value), version, updatedMs);
        }
      }
      tokens.write();
      signups.writeCounts();
      database.exec("COMMIT");
    } catch (error) {
      if (database.isTransaction) database.exec("ROLLBACK");
      throw error;
    }
  }

  faults(): Promise<string[]> {
    const rows = this.#database.prepare("PRAGMA integrity_check").all();
    return Promise.resolve(
      rows.map((row) => String(row.integrity_check)).filter((text) => text !== "ok"),
    );
  }

  close(): Promise<void> {
    this.#close();
    return Promise.resolve();
  }
}
