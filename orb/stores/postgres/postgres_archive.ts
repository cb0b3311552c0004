/**
 * PostgreSQL as an archive: one transaction that sees one moment (`REPEATABLE READ`).
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { ClientBase } from "./pg.d.ts";
import { type ArchivedRecord, type RecordArchive, restored } from "../record_archive.ts";
import { jsonRowOf, recordOf, type SignupRow } from "./rows.ts";
import { sqlOn } from "./sql.ts";

/** Rows that are fetched, or written, at once. */
const pageSize = 500;

/** A connection as an archive; `close` gives it back. */
export class PostgresArchive implements RecordArchive {
  readonly #client: ClientBase;
  readonly #close: () => Promise<void>;

  constructor(client: ClientBase, close: () => Promise<void>) {
    this.#client = client;
    this.#close = close;
  }

  async *read(): AsyncIterable<ArchivedRecord> {
    await this.#client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    try {
      for await (const { sha256 } of this.#rows<{ sha256: Uint8Array }>("orb_tokens", "sha256")) {
        yield { kind: "token", sha256: sha256.toHex() };
      }
      for await (const row of this.#rows<SignupRow>("orb_signups", "id")) {
        yield { kind: "signup", signup: recordOf(row) };
      }
      for await (
        const { seq, signup_id: signupId, bytes } of this.#rows<
          { seq: number; signup_id: string; bytes: Uint8Array }
        >("orb_fingerprints", "seq")
      ) {
        yield { kind: "fingerprint", fingerprint: { seq, signupId, bytes: new Uint8Array(bytes) } };
      }
      for await (const row of this.#rows<DocumentRow>("orb_documents", "collection, key")) {
        const { collection, key, value, version, updated_ms: updatedMs } = row;
        const document = { key, value: JSON.parse(value), version, updatedMs };
        yield { kind: "document", collection, document };
      }
    } finally {
      await this.#client.query("ROLLBACK");
    }
  }

  async isEmpty(): Promise<boolean> {
    const [row] = await sqlOn(this.#client)<{ filled: boolean }>`
      SELECT EXISTS (SELECT FROM orb_tokens) OR EXISTS (SELECT FROM orb_signups)
        OR EXISTS (SELECT FROM orb_documents) AS filled`;
    return row!.filled === false;
  }

  async write(records: AsyncIterable<ArchivedRecord>): Promise<void> {
    await this.#client.query("BEGIN");
    try {
      let page: ArchivedRecord[] = [];
      for await (const record of records) {
        page.push(record);
        if (page.length < pageSize) continue;
        await this.#writePage(page);
        page = [];
      }
      await this.#writePage(page);
      await this.#client.query(
        `UPDATE orb_counters SET value = (SELECT coalesce(max(seq), 0) FROM orb_fingerprints)
         WHERE name = 'fingerprints'`,
      );
      await this.#client.query("COMMIT");
    } catch (error) {
      await this.#client.query("ROLLBACK").catch(() => {});
      throw error;
    }
  }

  /** It checks its own pages as it reads them, where checksums are on. */
  faults(): Promise<string[]> {
    return Promise.resolve([]);
  }

  close(): Promise<void> {
    return this.#close();
  }

  async *#rows<Row>(table: string, order: string): AsyncIterable<Row> {
    const cursor = `${table}_archive`;
    await this.#client.query(
      `DECLARE ${cursor} NO SCROLL CURSOR FOR SELECT * FROM ${table} ORDER BY ${order}`,
    );
    for (;;) {
      const { rows } = await this.#client.query(`FETCH ${pageSize} FROM ${cursor}`);
      yield* rows as Row[];
      if (rows.length < pageSize) break;
    }
    await this.#client.query(`CLOSE ${cursor}`);
  }

  async #writePage(page: readonly ArchivedRecord[]): Promise<void> {
    const sql = sqlOn(this.#client);
    const tokens = page.flatMap((one) => one.kind === "token" ? [one.sha256] : []);
    if (tokens.length > 0) {
      await sql`INSERT INTO orb_tokens (sha256)
        SELECT unnest(${tokens.map((hex) => Buffer.from(hex, "hex"))}::bytea[])`;
    }
    const signups = page.flatMap((one) => one.kind === "signup" ? [restored(one.signup)] : []);
    if (signups.length > 0) {
      await sql`
        INSERT INTO orb_signups SELECT id, decode(sha256, 'hex'), image_bytes, media_type, token,
          orb_id, upload_id, traceparent, state, attempts, fence, due_ms, worker, reason,
          duplicate_of, distance, created_ms, updated_ms, decided_ms
        FROM jsonb_to_recordset(${JSON.stringify(signups.map(jsonRowOf))}::text::jsonb) AS row (
          id text, sha256 text, image_bytes bigint, media_type text, token text, orb_id text,
          upload_id text, traceparent text, state text, attempts integer, fence bigint,
          due_ms bigint, worker text, reason text, duplicate_of text, distance double precision,
          created_ms bigint, updated_ms bigint, decided_ms bigint
        )`;
    }
    for (const record of page) {
      if (record.kind === "fingerprint") {
        const { seq, signupId, bytes } = record.fingerprint;
        await sql`INSERT INTO orb_fingerprints (seq, signup_id, bytes)
          VALUES (${seq}, ${signupId}, ${Buffer.from(bytes)})`;
      } else if (record.kind === "document") {
        const { key, value, version, updatedMs } = record.document;
        await sql`INSERT INTO orb_documents (collection, key, value, version, updated_ms)
          VALUES (${record.collection}, ${key}, ${
          JSON.stringify(value)
        }, ${version}, ${updatedMs})`;
      }
    }
  }
}

interface DocumentRow {
  collection: string;
  key: string;
  value: string;
  version: number;
  updated_ms: number;
}
