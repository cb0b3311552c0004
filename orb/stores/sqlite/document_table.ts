/**
 * Small JSON documents in SQLite, within the transactions of its caller.
 *
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { maxListedBytes, type RecordCommands, type StoredDocument } from "../record_commands.ts";

/** The table of documents. */
export class DocumentTable {
  readonly #get: StatementSync;
  readonly #put: StatementSync;
  readonly #list: StatementSync;
  readonly #delete: StatementSync;

  constructor(database: DatabaseSync) {
    this.#get = database.prepare("SELECT * FROM documents WHERE collection = ? AND key = ?");
    this.#put = database.prepare(
      `INSERT INTO documents (collection, key, value, version, updated_ms) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET value = excluded.value, version = excluded.version,
         updated_ms = excluded.updated_ms`,
    );
    this.#list = database.prepare(
      "SELECT * FROM documents WHERE collection = ? AND key > ? ORDER BY key LIMIT ?",
    );
    this.#delete = database.prepare("DELETE FROM documents WHERE collection = ? AND key = ?");
  }

  /** The document of a key. */
  get(collection: string, key: string): StoredDocument | null {
    const row = this.#get.get(collection, key);
    return row === undefined ? null : documentOf(row);
  }

  /** Writes it, with `ifVersion` only if it is of that version. */
  put(
    { collection, key, value, ifVersion }: RecordCommands["putDocument"][0],
    nowMs: number,
  ): StoredDocument | null {
    const before = this.get(collection, key)?.version ?? 0;
    if (ifVersion !== undefined && ifVersion !== before) return null;
    const document = { key, value, version: before + 1, updatedMs: nowMs };
    this.#put.run(collection, key, JSON.stringify(value), document.version, nowMs);
    return document;
  }

  /** By key, ascending; at least one if there is one, and not many bytes. */
  list({ collection, after = "", limit }: RecordCommands["listDocuments"][0]): StoredDocument[] {
    const documents: StoredDocument[] = [];
    let bytes = 0;
    for (const row of this.#list.iterate(collection, after, limit)) {
      bytes += (row.value as string).length;
      if (bytes > maxListedBytes && documents.length > 0) break;
      documents.push(documentOf(row));
    }
    return documents;
  }

  /** True if it was there. */
  delete(collection: string, key: string): boolean {
    return Number(this.#delete.run(collection, key).changes) > 0;
  }
}

function documentOf(row: Record<string, unknown>): StoredDocument {
  return {
    key: row.key as string,
    value: JSON.parse(row.value as string),
    version: row.version as number,
    updatedMs: row.updated_ms as number,
  };
}
