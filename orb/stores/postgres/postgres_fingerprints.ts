/**
 * What accepted images are compared by, in PostgreSQL, within the transaction of its caller.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { Decision, SignupRecord } from "../../signups/signup_record.ts";
import { maxListedBytes, type ReplyOf } from "../record_commands.ts";
import type { Sql } from "./sql.ts";

/** The tables of fingerprints and their counters. */
export class PostgresFingerprints {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Those of the signups that are accepted now. Whoever asks holds the counters. */
  async addAccepted(
    held: readonly Decision[],
    after: ReadonlyMap<string, SignupRecord>,
    newestSeq: number,
  ): Promise<void> {
    const added = held.flatMap(({ id, verdict }) =>
      verdict.state === "accepted" && verdict.fingerprint !== undefined &&
        after.get(id)!.state === "accepted"
        ? [{ id, bytes: verdict.fingerprint }]
        : []
    );
    await this.add(added, newestSeq);
  }

  /** Whoever asks holds the counters. */
  async add(
    added: readonly { id: string; bytes: Uint8Array }[],
    newestSeq: number,
  ): Promise<void> {
    if (added.length === 0) return;
    const sql = this.#sql;
    await sql`
      INSERT INTO orb_fingerprints (seq, signup_id, bytes)
      SELECT ${newestSeq}::bigint + number, id, bytes
      FROM unnest(${added.map(({ id }) => id)}::text[],
        ${added.map(({ bytes }) => Buffer.from(bytes))}::bytea[])
        WITH ORDINALITY AS row (id, bytes, number)`;
    await sql`UPDATE orb_counters SET value = ${newestSeq + added.length}
      WHERE name = 'fingerprints'`;
  }

  /** How many there are, and since which reset; with `lock` nobody else adds any meanwhile. */
  async counters(lock: boolean): Promise<{ epoch: number; fingerprints: number }> {
    const rows = lock
      ? await this.#sql<CounterRow>`
        SELECT name, value FROM orb_counters ORDER BY name FOR UPDATE`
      : await this.#sql<CounterRow>`SELECT name, value FROM orb_counters`;
    const valueOf = (name: string) => rows.find((row) => row.name === name)?.value ?? 0;
    return { epoch: valueOf("epoch"), fingerprints: valueOf("fingerprints") };
  }

  /** Those after this one, as many as fit into a page. */
  async list(afterSeq: number): Promise<ReplyOf<"fingerprints">> {
    const { epoch, fingerprints: newestSeq } = await this.counters(false);
    const rows = await this.#sql<{ seq: number; signup_id: string; bytes: Uint8Array }>`
      SELECT seq, signup_id, bytes FROM (
        SELECT *, sum(length(bytes)) OVER (ORDER BY seq) AS listed FROM (
          SELECT * FROM orb_fingerprints WHERE seq > ${afterSeq} ORDER BY seq LIMIT 10000
        ) AS page
      ) AS measured WHERE listed <= ${maxListedBytes} ORDER BY seq`;
    return {
      epoch,
      newestSeq,
      fingerprints: rows.map(({ seq, signup_id, bytes }) => ({
        seq,
        signupId: signup_id,
        bytes: new Uint8Array(bytes),
      })),
    };
  }
}

interface CounterRow {
  name: string;
  value: number;
}
