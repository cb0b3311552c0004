/**
 * The signups in SQLite, and how many there are of each state, within the transactions of its
 * caller.
 *
 * @module
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import {
  type ImageMediaType,
  type SignupRecord,
  type SignupState,
  signupStates,
} from "../../signups/signup_record.ts";
import type { SignupQuery } from "../record_commands.ts";

/** Columns and the fields that they hold, in the order of the statements below. */
const columns = {
  id: "id",
  sha256: "sha256",
  image_bytes: "imageBytes",
  media_type: "mediaType",
  token: "token",
  orb_id: "orbId",
  upload_id: "uploadId",
  traceparent: "traceparent",
  state: "state",
  attempts: "attempts",
  fence: "fence",
  due_ms: "dueMs",
  worker: "worker",
  reason: "reason",
  duplicate_of: "duplicateOf",
  distance: "distance",
  created_ms: "createdMs",
  updated_ms: "updatedMs",
  decided_ms: "decidedMs",
} as const satisfies Record<string, keyof SignupRecord>;

const names = Object.keys(columns);
const fields = Object.values(columns);

type Row = Record<string, SQLInputValue>;

/** The table of signups. */
export class SignupTable {
  readonly #database: DatabaseSync;
  readonly #find: StatementSync;
  readonly #insert: StatementSync;
  readonly #update: StatementSync;
  readonly #due: StatementSync;
  readonly #oldest: StatementSync;
  readonly #acceptedOf: StatementSync;
  readonly #isReferenced: StatementSync;
  readonly #count: StatementSync;
  readonly #readCount: StatementSync;
  readonly #lists = new Map<string, StatementSync>();
  #counts: Record<SignupState, number>;
  /** What this transaction changes in them. */
  readonly #deltas = new Map<SignupState, number>();

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#find = database.prepare("SELECT * FROM signups WHERE id = ?");
    this.#insert = database.prepare(
      `INSERT INTO signups (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`,
    );
    this.#update = database.prepare(
      `UPDATE signups SET state = ?, attempts = ?, fence = ?, due_ms = ?, worker = ?, reason = ?,
         duplicate_of = ?, distance = ?, updated_ms = ?, decided_ms = ? WHERE id = ?`,
    );
    this.#due = database.prepare(
      `SELECT * FROM signups WHERE state IN ('queued', 'processing') AND due_ms <= ?
       ORDER BY due_ms, id LIMIT ?`,
    );
    this.#oldest = database.prepare(
      `SELECT due_ms FROM signups WHERE state IN ('queued', 'processing') ORDER BY due_ms LIMIT 1`,
    );
    this.#acceptedOf = database.prepare(
      "SELECT id FROM signups WHERE sha256 = ? AND state = 'accepted' LIMIT 1",
    );
    this.#isReferenced = database.prepare("SELECT 1 FROM signups WHERE sha256 = ? LIMIT 1");
    this.#count = database.prepare(
      "UPDATE signup_counts SET signups = signups + ? WHERE state = ?",
    );
    this.#readCount = database.prepare("SELECT state, signups FROM signup_counts");
    this.#counts = this.#readCounts();
  }

  /** The signup of an id. */
  find(id: string): SignupRecord | null {
    const row = this.#find.get(id);
    return row === undefined ? null : recordOf(row);
  }

  /** Adds one whose id is not there. */
  insert(record: SignupRecord): void {
    this.#insert.run(
      ...fields.map((field) =>
        field === "sha256" ? Uint8Array.fromHex(record.sha256) : record[field] ?? null
      ),
    );
    this.#add(record.state, 1);
  }

  /** Writes what may change of one that is there. */
  update(before: SignupRecord, after: SignupRecord): void {
    this.#update.run(
      ...[after.state, after.attempts, after.fence, after.dueMs, after.worker ?? null],
      ...[after.reason ?? null, after.duplicateOf ?? null, after.distance ?? null],
      ...[after.updatedMs, after.decidedMs ?? null, after.id],
    );
    if (before.state === after.state) return;
    this.#add(before.state, -1);
    this.#add(after.state, 1);
  }

  /** Signups under way whose time has come, the longest due first. */
  due(nowMs: number, limit: number): SignupRecord[] {
    return this.#due.all(nowMs, limit).map(recordOf);
  }

  /** When the next signup under way is due. */
  oldestDueMs(): number | undefined {
    return this.#oldest.get()?.due_ms as number | undefined;
  }

  /** The signup whose image it was. */
  acceptedOf(sha256: Uint8Array): string | undefined {
    return this.#acceptedOf.get(sha256)?.id as string | undefined;
  }

  /** Whether a signup has this image. */
  isReferenced(sha256: Uint8Array): boolean {
    return this.#isReferenced.get(sha256) !== undefined;
  }

  /** Newest first. */
  list({ states, orbId, before, limit }: SignupQuery): SignupRecord[] {
    const conditions = ["TRUE"];
    const values: SQLInputValue[] = [];
    if (states !== undefined) {
      conditions.push(`state IN (${states.map((state) => `'${state}'`).join(", ")})`);
    }
    if (orbId !== undefined) {
      conditions.push("orb_id = ?");
      values.push(orbId);
    }
    if (before !== undefined) {
      conditions.push("id < ?");
      values.push(before);
    }
    const sql = `SELECT * FROM signups WHERE ${conditions.join(" AND ")} ORDER BY id DESC LIMIT ?`;
    let statement = this.#lists.get(sql);
    if (statement === undefined) this.#lists.set(sql, statement = this.#database.prepare(sql));
    return statement.all(...values, limit).map(recordOf);
  }

  /** Signups by state, with what this transaction has changed. */
  get counts(): Record<SignupState, number> {
    const counts = { ...this.#counts };
    for (const [state, delta] of this.#deltas) counts[state] += delta;
    return counts;
  }

  /** Signups under way, with what this transaction has changed. */
  get depth(): number {
    const { queued, processing } = this.#counts;
    return queued + processing + (this.#deltas.get("queued") ?? 0) +
      (this.#deltas.get("processing") ?? 0);
  }

  /** Writes the counts; call it last in a transaction that changes something. */
  writeCounts(): void {
    for (const [state, delta] of this.#deltas) if (delta !== 0) this.#count.run(delta, state);
  }

  /** The transaction is durable. Another program may have changed the counts, too: an operator's. */
  committed(): void {
    if (this.#deltas.size > 0) this.#counts = this.#readCounts();
    this.#deltas.clear();
  }

  /** The transaction was rolled back. */
  rolledBack(): void {
    this.#deltas.clear();
  }

  /**
   * After a start: whoever had a signup is gone. Its attempt counts, as the image may be what broke
   * it. And what waits for a time that is far off waits no more: the clock was put back.
   */
  recover(nowMs: number, longestWaitMs: number): void {
    this.#database.prepare(
      `UPDATE signups SET due_ms = ?1 WHERE state IN ('queued', 'processing')
         AND (state = 'processing' OR due_ms > ?1 + ?2)`,
    ).run(nowMs, longestWaitMs);
  }

  #add(state: SignupState, delta: number): void {
    this.#deltas.set(state, (this.#deltas.get(state) ?? 0) + delta);
  }

  #readCounts(): Record<SignupState, number> {
    const counts = Object.fromEntries(signupStates.map((state) => [state, 0]));
    for (const row of this.#readCount.all()) {
      counts[row.state as SignupState] = row.signups as number;
    }
    return counts as Record<SignupState, number>;
  }
}

/** What a row says. */
export function recordOf(row: Row): SignupRecord {
  const record: Record<string, unknown> = {};
  for (const name of names) {
    const value = row[name];
    if (value !== null) record[columns[name as keyof typeof columns]] = value;
  }
  record.sha256 = (row.sha256 as Uint8Array).toHex();
  record.mediaType = row.media_type as ImageMediaType;
  return record as unknown as SignupRecord;
}
