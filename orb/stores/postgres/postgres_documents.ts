/**
 * Small documents in PostgreSQL, within the transaction of their caller.
 *
 * @module
 */
import { maxListedBytes, type RecordCommands, type StoredDocument } from "../record_commands.ts";
import type { Sql } from "./sql.ts";

/** The table of documents. */
export class PostgresDocuments {
  readonly #sql: Sql;
  readonly #nowMs: number;

  constructor(sql: Sql, nowMs: number) {
    this.#sql = sql;
    this.#nowMs = nowMs;
  }

  /** Writes one; `null` where it is of another version than it should be. */
  async put(command: RecordCommands["putDocument"][0]): Promise<StoredDocument | null> {
    const { collection, key, value, ifVersion } = command;
    const text = JSON.stringify(value);
    const [row] = ifVersion === undefined
      ? await this.#sql<DocumentRow>`
        INSERT INTO orb_documents (collection, key, value, version, updated_ms)
        VALUES (${collection}, ${key}, ${text}, 1, ${this.#nowMs})
        ON CONFLICT (collection, key) DO UPDATE SET value = excluded.value,
          version = orb_documents.version + 1, updated_ms = excluded.updated_ms
        RETURNING *`
      : ifVersion === 0
      ? await this.#sql<DocumentRow>`
        INSERT INTO orb_documents (collection, key, value, version, updated_ms)
        VALUES (${collection}, ${key}, ${text}, 1, ${this.#nowMs})
        ON CONFLICT (collection, key) DO NOTHING RETURNING *`
      : await this.#sql<DocumentRow>`
        UPDATE orb_documents SET value = ${text}, version = version + 1,
          updated_ms = ${this.#nowMs}
        WHERE collection = ${collection} AND key = ${key} AND version = ${ifVersion}
        RETURNING *`;
    return row === undefined ? null : documentOf(row);
  }

  /** The document of a key. */
  async get(collection: string, key: string): Promise<StoredDocument | null> {
    const [row] = await this.#sql<DocumentRow>`
      SELECT * FROM orb_documents WHERE collection = ${collection} AND key = ${key}`;
    return row === undefined ? null : documentOf(row);
  }

  /** By key, ascending. */
  async list(query: RecordCommands["listDocuments"][0]): Promise<StoredDocument[]> {
    const { collection, after = "", limit } = query;
    const rows = await this.#sql<DocumentRow>`
      SELECT * FROM (
        SELECT *, sum(length(value)) OVER (ORDER BY key) AS listed,
          row_number() OVER (ORDER BY key) AS number FROM (
          SELECT * FROM orb_documents WHERE collection = ${collection}
            AND key > ${after}::text COLLATE "C" ORDER BY key LIMIT ${limit}
        ) AS page
      ) AS measured WHERE listed <= ${maxListedBytes} OR number = 1 ORDER BY key`;
    return rows.map(documentOf);
  }

  /** Removes one, and says whether it was there. */
  async delete(collection: string, key: string): Promise<boolean> {
    const rows = await this.#sql`
      DELETE FROM orb_documents WHERE collection = ${collection} AND key = ${key} RETURNING key`;
    return rows.length > 0;
  }
}

interface DocumentRow {
  key: string;
  value: string;
  version: number;
  updated_ms: number;
}

function documentOf({ key, value, version, updated_ms }: DocumentRow): StoredDocument {
  return { key, value: JSON.parse(value), version, updatedMs: updated_ms };
}
